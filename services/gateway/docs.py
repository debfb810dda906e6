"""The documentation pages, with every file from the wheel: they work with no internet access."""

import json

from fastapi_offline import FastAPIOffline
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.openapi import Document

CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; worker-src 'self' blob:; frame-ancestors 'none'"
)


def docs_of(document: Document) -> dict[str, ASGIApp]:
    """Path → app of /openapi.json, /docs (Swagger UI) and /redoc; their files lie under /docs/files."""
    served = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    pages = _guarded(FastAPIOffline(title="Groundswell", static_url="/docs/files"))
    answer = Response(served, media_type="application/json")
    return {"/openapi.json": answer, "/docs": pages, "/redoc": pages}


def _guarded(app: ASGIApp) -> ASGIApp:
    """The pages may run their own scripts only, and stand in nobody's frame."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def guard(message: Message) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", CONTENT_POLICY.encode())
                message["headers"] = [*message.get("headers", ()), policy]
            await send(message)

        await app(scope, receive, guard)

    return wrapped
