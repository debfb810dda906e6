"""Answers to what is refused before any service sees it, counted by reason."""

from starlette.types import Receive, Scope, Send

from services.gateway import metrics
from shared.http.dialects import refusal
from shared.http.inner import REQUEST_ID

__all__ = ["REQUEST_ID", "refuse"]


async def refuse(
    scope: Scope,
    receive: Receive,
    send: Send,
    status: int,
    slug: str,
    detail: str,
    headers: dict[str, str] | None = None,
) -> None:
    """Answer in the words of the address, and go no further."""
    metrics.refused.labels(slug).inc()
    answer = refusal(scope["path"], scope.get(REQUEST_ID), status, slug, detail, None, headers)
    await answer(scope, receive, send)
