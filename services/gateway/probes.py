"""HTTP of the probes, the metrics and the front page. Open to all; they tell nothing of the business."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from services.gateway.health import Health
from shared.http.fields import View
from shared.http.problems import problem, request_id_of
from shared.version import VERSION

router = APIRouter(tags=["probes"])


class StartView(View):
    """Where things are."""

    name: str
    version: str
    documentation: str
    openapi: str
    metrics: str
    summary: str


class ProbeView(View):
    """A probe that is content."""

    status: Literal["ok"] = "ok"


@router.get("/", summary="Where things are", response_model=StartView)
async def start(request: Request) -> Response | StartView:
    """Browsers are led to the documentation."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("/docs")
    return StartView(
        name="Groundswell",
        version=VERSION,
        documentation="/docs",
        openapi="/openapi.json",
        metrics="/metrics",
        summary="/v1/summary",
    )


@router.get("/livez", summary="Is the process alive?", response_model=ProbeView)
async def livez(request: Request) -> Response | ProbeView:
    """503 when a background job has not gone round for a minute: the process should be restarted."""
    health: Health = request.app.state.health
    if stuck := health.stuck():
        detail = f"These jobs are stuck: {', '.join(stuck)}; restart the process."
        return problem(request_id_of(request), 503, "jobs-stuck", detail)
    return ProbeView()


@router.get("/readyz", summary="Can the process take work?", response_model=ProbeView)
async def readyz(request: Request) -> Response | ProbeView:
    """503 while it is stopping, or when a service's own database can't write."""
    health: Health = request.app.state.health
    if reasons := await health.unready():
        detail = f"Not ready: {'; '.join(reasons)}. Send work elsewhere until this is over."
        return problem(request_id_of(request), 503, "not-ready", detail)
    return ProbeView()


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {}, "application/openmetrics-text": {}}}},
)
async def metrics(request: Request) -> Response:
    """The Prometheus text format, or OpenMetrics to whom accepts that."""
    health: Health = request.app.state.health
    await health.measured()
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(REGISTRY), headers={"Content-Type": content_type})
