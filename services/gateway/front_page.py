"""HTTP of the front page: it tells programs where things are, and leads people to the documentation."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from shared.http.fields import View
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
