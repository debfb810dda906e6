"""How much at once: beyond it a request is refused before anything of it is read.

What is let in is answered as fast as ever; the rest hears so at once, with a status on which every
sender tries again, instead of waiting in a queue that only grows.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from shared import metrics
from shared.http.inner import REQUEST_ID
from shared.http.probes import PATHS
from shared.http.problems import problem

LARGEST_BODY = 512 * 1024
MOST_BYTES = 64 * 1024 * 1024

FULL = "Too much is being asked at once; nothing was done. Send it again in a second."
RETRY = {"Retry-After": "1"}

Refuse = Callable[[Scope, Receive, Send, int, str, str, dict[str, str]], Awaitable[None]]
"""Answers with this status, slug, sentence and headers."""


@dataclass
class Room:
    """What a process has in hand: requests, and the bytes of their bodies."""

    most_requests: int
    most_bytes: int = MOST_BYTES
    requests: int = 0
    bytes: int = 0
    taken: int = 0
    """Requests that were ever let in."""

    def take(self, size: int) -> bool:
        """Is there room for one more request with a body of this size? Then it is taken."""
        if self.requests >= self.most_requests or self.bytes + size > self.most_bytes:
            return False
        self.requests += 1
        self.taken += 1
        self.bytes += size
        return True

    def give_back(self, size: int) -> None:
        """That request is answered."""
        self.requests -= 1
        self.bytes -= size


async def _refused(
    scope: Scope,
    receive: Receive,
    send: Send,
    status: int,
    slug: str,
    detail: str,
    headers: dict[str, str],
) -> None:
    answer = problem(scope.get(REQUEST_ID), status, slug, detail, None, headers)
    await answer(scope, receive, send)


NEVER_SENT_AGAIN = frozenset({"/ingest/github"})
"""What comes here comes once, so that it has room of its own, whatever else is going on."""
RESERVED_REQUESTS = 16


def admitted(app: ASGIApp, room: Room, refuse: Refuse = _refused) -> ASGIApp:
    """Let in what there is room for. The probes always are: who looks must not think us dead."""
    reserved = Room(RESERVED_REQUESTS, RESERVED_REQUESTS * LARGEST_BODY)

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in PATHS:
            return await app(scope, receive, send)
        size = declared(scope["headers"])
        if scope["path"] in NEVER_SENT_AGAIN and reserved.take(size):
            try:
                return await app(scope, receive, send)
            finally:
                reserved.give_back(size)
        if not room.take(size):
            metrics.requests_refused.inc()
            return await refuse(scope, receive, send, 503, "overloaded", FULL, RETRY)
        try:
            return await app(scope, receive, send)
        finally:
            room.give_back(size)

    return wrapped


def declared(headers: list[tuple[bytes, bytes]]) -> int:
    """The bytes that a body may take here: what its length says, or the most when it doesn't say."""
    seen = dict(headers)
    length = seen.get(b"content-length")
    if length is None:
        return LARGEST_BODY if b"transfer-encoding" in seen else 0
    return min(int(length[:19]), LARGEST_BODY) if length.isdigit() else LARGEST_BODY
