"""HTTP of the probes and the metrics, the same in every process. Open to all; they tell no business."""

from typing import Literal

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.http import problems
from shared.http.fields import View
from shared.http.health import Health
from shared.http.problems import problem, request_id_of

router = APIRouter(tags=["probes"])

PATHS = frozenset({"/livez", "/readyz", "/metrics"})


def probes_app(health: Health) -> FastAPI:
    """The probes alone: all that a process without an API listens for."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.state.health = health
    app.include_router(router)
    problems.install(app)
    return app


def probed(app: ASGIApp, health: Health) -> ASGIApp:
    """The app, with the probes in front of it: they need no principal and wait for nobody."""
    probes = probes_app(health)

    async def chosen(scope: Scope, receive: Receive, send: Send) -> None:
        await (probes if scope["path"] in PATHS else app)(scope, receive, send)

    return chosen


class ProbeView(View):
    """A probe that is content."""

    status: Literal["ok"] = "ok"


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
