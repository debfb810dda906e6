"""Problem documents for what is refused before any service sees it, counted by reason."""

from starlette.types import Receive, Scope, Send

from services.gateway import metrics
from shared.http.problems import problem

REQUEST_ID = "groundswell.request_id"
"""Key in the ASGI scope; the services read it for their problems, events and logs."""


async def refuse(
    scope: Scope,
    receive: Receive,
    send: Send,
    status: int,
    slug: str,
    detail: str,
    headers: dict[str, str] | None = None,
) -> None:
    """Answer with a problem document, and go no further."""
    metrics.refused.labels(slug).inc()
    answer = problem(scope.get(REQUEST_ID), status, slug, detail, None, headers)
    await answer(scope, receive, send)
