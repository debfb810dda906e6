"""Problem documents for what is refused before any service sees it, counted by reason."""

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from services.gateway import metrics
from shared.http.inner import REQUEST_ID
from shared.http.problems import problem

__all__ = ["REQUEST_ID", "refuse"]

ALERTMANAGER_API = "/api/v2/"
"""Its clients read JSON strings only: amtool can't even say the status of a problem document."""


async def refuse(
    scope: Scope,
    receive: Receive,
    send: Send,
    status: int,
    slug: str,
    detail: str,
    headers: dict[str, str] | None = None,
) -> None:
    """Answer with a problem document, or as an Alertmanager does under its path; go no further."""
    metrics.refused.labels(slug).inc()
    if scope["path"].startswith(ALERTMANAGER_API):
        answer = JSONResponse(detail, status, headers)
    else:
        answer = problem(scope.get(REQUEST_ID), status, slug, detail, None, headers)
    await answer(scope, receive, send)
