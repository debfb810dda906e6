"""What may come in: a body of at most 512 KB, uncompressed, nested at most 32 deep, one Host.

A body is read whole before any service sees the request, so that nothing is half processed when it
turns out too large or when its sender goes away in the middle.
"""

import asyncio
import re
from collections.abc import Generator
from types import coroutine
from typing import Any, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.edge.answers import refuse
from shared.http.room import LARGEST_BODY

DEEPEST = 32
BODY_SECONDS = 30.0
"""For a whole body: whoever dribbles must not hold room that others need."""

STRIPPED = frozenset(
    {
        b"x-forwarded-user",
        b"x-forwarded-email",
        b"x-forwarded-groups",
        b"x-forwarded-preferred-username",
        b"x-remote-user",
        b"remote-user",
        b"x-user",
        b"x-user-id",
        b"x-auth-request-user",
        b"x-authenticated-user",
        b"x-authenticated-userid",
        b"x-webauth-user",
    }
)
"""Names that proxies give to an identity. From a client they are a claim that nobody checked."""
STRIPPED_PREFIXES = (b"x-groundswell-", b"groundswell-")
"""Ours: what the gateway says to a service, and nobody else may."""

STRINGS = re.compile(rb'"(?:[^"\\]++|\\(?:.|\Z))*+(?:"|\Z)', re.DOTALL)
NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

TOO_LARGE = f"The body is larger than {LARGEST_BODY // 1024} KB; send it in smaller parts."
TOO_DEEP = f"The body is nested deeper than {DEEPEST} levels; send flatter JSON."
ENCODED = "Compressed bodies are not taken; send the body as it is, without Content-Encoding."
TOO_SLOW = f"The body did not come within {BODY_SECONDS:.0f} seconds; send it at once."
LAST = {"Connection": "close"}
TWO_HOSTS = "More than one Host header came; send one."


def bounded(app: ASGIApp) -> ASGIApp:
    """Refuse what is too large, too deep or compressed; drop headers in which a client names itself."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        kept = [
            h for h in headers if h[0] not in STRIPPED and not h[0].startswith(STRIPPED_PREFIXES)
        ]
        scope = {**scope, "headers": kept}
        seen = dict(kept)
        if len(seen) < len(kept) and sum(name == b"host" for name, _ in kept) > 1:
            return await refuse(scope, receive, send, 400, "duplicate-host", TWO_HOSTS)
        if seen.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
            return await refuse(scope, receive, send, 415, "body-compressed", ENCODED)
        length = seen.get(b"content-length")
        if length is None and b"transfer-encoding" not in seen:
            return await app(scope, receive, send)
        if length is not None and length.isdigit() and _number(length) > LARGEST_BODY:
            return await refuse(scope, receive, send, 413, "body-too-large", TOO_LARGE)
        try:
            body = await _read(receive)
        except TimeoutError:
            return await refuse(scope, receive, send, 408, "body-too-slow", TOO_SLOW, LAST)
        if body is None:
            return None
        if len(body) > LARGEST_BODY:
            return await refuse(scope, receive, send, 413, "body-too-large", TOO_LARGE)
        if nested_too_deep(body):
            return await refuse(scope, receive, send, 422, "body-too-deep", TOO_DEEP)
        return await app(scope, _replayed(body, receive), send)

    return wrapped


def _number(digits: bytes) -> int:
    return int(digits[:19])


async def _read(receive: Receive) -> bytes | None:
    """The whole body, or its beginning once it is too large, or None when the sender went away.

    Raises TimeoutError. A small body has come with its head nearly always; then no clock is set.
    """
    asked = receive().__await__()
    came: Message | None = None
    waits_for: object = None
    try:
        waits_for = next(asked)
    except StopIteration as at_once:
        came = cast("Message", at_once.value)
        if not came.get("more_body", False):
            return _piece(came)
    async with asyncio.timeout(BODY_SECONDS):
        return await _rest(came or await _continued(asked, waits_for), receive)


@coroutine
def _continued(
    asked: Generator[Any, Any, Message], waits_for: object
) -> Generator[Any, Any, Message]:
    """Await what has been begun already, and has said what it waits for."""
    try:
        while True:
            try:
                yield waits_for
            except BaseException as error:  # a cancellation is for what is awaited, too
                waits_for = asked.throw(error)
            else:
                waits_for = next(asked)
    except StopIteration as came:
        return came.value


async def _rest(message: Message, receive: Receive) -> bytes | None:
    parts: list[bytes] = []
    size = 0
    while (piece := _piece(message)) is not None:
        parts.append(piece)
        size += len(piece)
        if size > LARGEST_BODY or not message.get("more_body", False):
            return b"".join(parts)
        message = await receive()
    return None


def _piece(message: Message) -> bytes | None:
    return None if message["type"] == "http.disconnect" else message.get("body", b"")


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body as one message; after it, whatever the connection says next."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return pending.pop() if pending else await receive()

    return again


def nested_too_deep(body: bytes) -> bool:
    """Does this JSON nest deeper than any honest body? What isn't JSON is its reader's to refuse."""
    if body.count(b"[") + body.count(b"{") <= DEEPEST or body.lstrip()[:1] not in (b"{", b"["):
        return False
    depth = 0
    for bracket in STRINGS.sub(b"", body).translate(None, NOT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEEPEST:
            return True
    return False
