"""The outermost wrapper: every request has an id, every answer carries it, no crash gets past."""

import re

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.edge.answers import refuse
from shared.http.inner import CRASHED
from shared.http.inner import REQUEST_ID as IN_SCOPE
from shared.ids import new_id
from shared.logs import REQUEST_ID

logger = structlog.get_logger(__name__)

SANE = re.compile(rb"[\x21-\x7e]{1,100}")
HARDENING = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]


def identified(app: ASGIApp) -> ASGIApp:
    """Take the caller's X-Request-Id when it is at most 100 visible ASCII characters, else make one."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the gateway speaks HTTP only, not {scope['type']!r}")
        request_id = _asked_for(scope) or new_id("req")
        echoed = [(b"x-request-id", request_id.encode()), *HARDENING]
        started = ended = False

        async def tagged(message: Message) -> None:
            nonlocal started, ended
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), *echoed]
            elif message["type"] == "http.response.body":
                ended = not message.get("more_body", False)
            await send(message)

        inner = {**scope, IN_SCOPE: request_id}
        token = REQUEST_ID.set(request_id)
        try:
            await app(inner, receive, tagged)
        except Exception:
            if not started:
                logger.exception("request failed", path=scope["path"])
                await refuse(inner, receive, tagged, 500, "internal-error", CRASHED)
            elif not ended:
                raise  # the server cuts the connection, so that half an answer isn't taken for one
        finally:
            REQUEST_ID.reset(token)

    return wrapped


def _asked_for(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and SANE.fullmatch(value):
            return value.decode()
    return None
