"""The road to a service in another process: the request goes on over HTTP, and its answer comes back.

What the gateway can't know it doesn't claim: a request that never left is a 503, on which every
sender tries again; one that left and was not answered is a 504, since the service may have done it.
"""

import asyncio
from time import monotonic

import httpx
import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway import metrics
from services.gateway.edge.answers import REQUEST_ID, refuse
from shared.auth import PRINCIPAL, Principal
from shared.http.inner import PRINCIPAL_HEADER, REQUEST_ID_HEADER, sign

logger = structlog.get_logger(__name__)

CONNECT_SECONDS = 0.8
"""Tried twice: a service that is down is told within two seconds."""
ANSWER_SECONDS = 35.0
"""Longer than a service waits for its database, so that its own answer comes first."""
CONNECTIONS = 64
"""To one service. A slow one takes no more room than this, and the pool is quick with so many."""
TURN_SECONDS = 1.0
"""How long a request waits for one of them."""
IDLE_SECONDS = 20.0
"""Connections are kept for this long; shorter than the other side keeps them."""
QUIET_SECONDS = 5.0
"""Between two lines in the log about one service."""

TIMEOUT = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS)
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
OURS = HOP_BY_HOP | {b"host", b"content-length", b"expect", PRINCIPAL_HEADER, REQUEST_ID_HEADER}
"""Not passed on: about this connection only, or said anew by us."""
THEIRS = HOP_BY_HOP | {b"date", b"server"}

NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.WriteTimeout)
LOST = (httpx.ReadError, httpx.RemoteProtocolError)
"""The connection ended before the answer: perhaps an idle one that was being closed just then."""

AWAY = "The {} service can't be reached just now; nothing was done. Send it again."
SILENT = (
    "The {} service did not answer, and may or may not have done this. Look, or send it again: signals"
    " are recognised, and so is a POST with an Idempotency-Key."
)
UNTRUSTED = (
    "The {} service doesn't take this gateway's word for who calls; nothing was done. Give both the"
    " same GROUNDSWELL_INTERNAL_SECRET and set their clocks, then send it again."
)
UNSENDABLE = "This request can't be passed on: {}. Send it without what is odd about it."
RETRY = {"Retry-After": "1"}


def transport_to() -> httpx.AsyncHTTPTransport:
    """The pool of connections to one service."""
    limits = httpx.Limits(
        max_connections=CONNECTIONS,
        max_keepalive_connections=CONNECTIONS,
        keepalive_expiry=IDLE_SECONDS,
    )
    return httpx.AsyncHTTPTransport(limits=limits, retries=1, trust_env=False)


def hop(service: str, url: str, transport: httpx.AsyncBaseTransport, secret: str) -> ASGIApp:
    """The service at `url` as an app: its status, headers and body come through as they are."""
    log = _Quiet(service)
    turns = asyncio.Semaphore(CONNECTIONS)

    async def forwarded(scope: Scope, receive: Receive, send: Send) -> None:
        body = await _whole(receive)
        if body is None:
            return None
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await turns.acquire()
        except TimeoutError as error:
            log.failed(error)
            detail = AWAY.format(service)
            return await refuse(scope, receive, send, 503, "service-unavailable", detail, RETRY)
        try:
            return await asked(scope, receive, send, body)
        finally:
            turns.release()

    async def asked(scope: Scope, receive: Receive, send: Send, body: bytes) -> None:
        headers = [*_passed_on(scope["headers"], OURS), *_said_by_us(scope, service, secret)]
        try:
            answer = await _asked(transport, _request(scope, url, headers, body))
        except httpx.LocalProtocolError as error:
            detail = UNSENDABLE.format(error)
            return await refuse(scope, receive, send, 400, "unsendable", detail)
        except httpx.TransportError as error:
            log.failed(error)
            if isinstance(error, NEVER_LEFT) or scope["method"] in SAFE:
                detail, status, slug = AWAY.format(service), 503, "service-unavailable"
            else:
                detail, status, slug = SILENT.format(service), 504, "no-answer"
            return await refuse(scope, receive, send, status, slug, detail, RETRY)
        try:
            if answer.status_code == 401:  # the caller is known here: it is us that it refuses
                log.failed(PermissionError("it refuses our signature"))
                detail = UNTRUSTED.format(service)
                return await refuse(scope, receive, send, 503, "service-unavailable", detail, RETRY)
            await _brought_back(answer, send)
        finally:
            await answer.aclose()

    return forwarded


def _request(
    scope: Scope, url: str, headers: list[tuple[bytes, bytes]], body: bytes
) -> httpx.Request:
    """The same target, byte for byte: both sides must see the same path."""
    target: bytes = scope.get("raw_path") or scope["path"].encode("ascii", "replace")
    if query := scope.get("query_string"):
        target += b"?" + query
    extensions = {"timeout": TIMEOUT.as_dict(), "target": target}
    method: str = scope["method"]
    return httpx.Request(method, url, headers=headers, content=body, extensions=extensions)


async def _asked(transport: httpx.AsyncBaseTransport, request: httpx.Request) -> httpx.Response:
    """The answer's head. What changes nothing is asked once more when the connection was lost."""
    try:
        return await transport.handle_async_request(request)
    except LOST:
        if request.method not in SAFE:
            raise
        return await transport.handle_async_request(request)


async def _brought_back(answer: httpx.Response, send: Send) -> None:
    """Pass the answer on, piece by piece, as it comes. What breaks in the middle raises."""
    headers = _passed_on(answer.headers.raw, THEIRS)
    await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
    async for piece in answer.aiter_raw():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _passed_on(
    headers: list[tuple[bytes, bytes]], without: frozenset[bytes]
) -> list[tuple[bytes, bytes]]:
    """The headers that go further, lower case; those that Connection names stay here too."""
    lowered = [(name.lower(), value) for name, value in headers]
    named = {
        token.strip().lower()
        for name, value in lowered
        if name == b"connection"
        for token in value.split(b",")
    }
    return [(n, v) for n, v in lowered if n not in without and n not in named]


def _said_by_us(scope: Scope, service: str, secret: str) -> list[tuple[bytes, bytes]]:
    principal: Principal | None = scope.get(PRINCIPAL)
    said = [(REQUEST_ID_HEADER, str(scope.get(REQUEST_ID, "")).encode("latin-1"))]
    if principal is not None:
        said.append((PRINCIPAL_HEADER, sign(principal, service, secret).encode()))
    return said


async def _whole(receive: Receive) -> bytes | None:
    """The body, which the edge has bounded; None when the sender went away."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


class _Quiet:
    """Counts every failure, and logs one every few seconds: an outage must not flood the log."""

    def __init__(self, service: str) -> None:
        self.service = service
        self._told = float("-inf")

    def failed(self, error: Exception) -> None:
        metrics.hops_failed.labels(self.service, type(error).__name__).inc()
        if monotonic() - self._told > QUIET_SECONDS:
            self._told = monotonic()
            logger.warning(
                "a service does not answer",
                service=self.service,
                error=f"{type(error).__name__}: {error}",
            )
