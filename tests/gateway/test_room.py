"""How much at once: requests, bytes of bodies, connections. Over real sockets where it is about those."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from services import connections
from services.connections import LARGEST_HEAD
from services.gateway.app import front_door
from services.gateway.keyring import Signing
from services.listening import answering, listening, url_of
from shared.auth import Principal
from shared.http.health import Health
from shared.http.probes import PATHS
from shared.http.room import LARGEST_BODY, Room, declared
from shared.settings import Settings
from tests.conftest import client_of

KEY = "gs_0000000000_the-right-one"
HEADERS = {"Authorization": f"Bearer {KEY}"}


UNSIGNED = dict[str, Signing]().get
"""No integration signs."""


def who(text: str) -> Principal | None:
    return Principal("key_1", "admin", frozenset({"admin"})) if text == KEY else None


class Slow:
    """Answers when it is let, or crashes."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.inside += 1
        await self.go.wait()
        self.inside -= 1
        if scope["path"] == "/slow/crash":
            raise ValueError("broken on purpose")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async def holds(self, count: int) -> None:
        async with asyncio.timeout(5):
            while self.inside < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


def front_of(slow: Slow, room: Room) -> ASGIApp:
    table = dict.fromkeys(("/slow", "/api/v2/alerts", *PATHS), slow)
    return front_door(table, who, room, UNSIGNED)


async def test_what_there_is_no_room_for_is_refused_at_once_and_the_rest_is_answered() -> None:
    slow, room = Slow(), Room(2)
    async with client_of(front_of(slow, room)) as client:
        client.headers.update(HEADERS)
        held = [asyncio.create_task(client.get("/slow")) for _ in range(2)]
        await slow.holds(2)
        refused = await client.get("/slow")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["type"].endswith(":overloaded")
        spoken = await client.post("/api/v2/alerts", json=[])
        assert isinstance(spoken.json(), str)
        slow.go.set()
        assert [(await one).status_code for one in held] == [200, 200]
        assert (await client.get("/slow")).status_code == 200
    assert (room.requests, room.bytes) == (0, 0)


async def test_a_probe_is_answered_when_there_is_no_room() -> None:
    slow = Slow()
    slow.go.set()
    async with client_of(front_of(slow, Room(0))) as client:
        for path in PATHS:
            assert (await client.get(path)).status_code == 200
        assert (await client.get("/slow", headers=HEADERS)).status_code == 503


async def test_who_shows_no_key_takes_no_room() -> None:
    async with client_of(front_of(Slow(), Room(0))) as client:
        assert (await client.post("/slow", content=b"x" * 1000)).status_code == 401


async def test_bodies_are_bounded_together_before_any_is_read() -> None:
    slow, room = Slow(), Room(100, most_bytes=1000)

    async def unread() -> AsyncIterator[bytes]:
        raise AssertionError("its body was asked for")
        yield b""

    async with client_of(front_of(slow, room)) as client:
        client.headers.update(HEADERS)
        held = asyncio.create_task(client.post("/slow", content=b"x" * 800))
        await slow.holds(1)
        headers = {"Content-Length": "300"}
        refused = await client.post("/slow", content=unread(), headers=headers)
        assert refused.status_code == 503
        slow.go.set()
        assert (await held).status_code == 200
        assert (await client.post("/slow", content=b"x" * 300)).status_code == 200


async def test_a_crash_gives_its_room_back() -> None:
    slow, room = Slow(), Room(1)
    slow.go.set()
    async with client_of(front_of(slow, room)) as client:
        client.headers.update(HEADERS)
        assert (await client.get("/slow/crash")).status_code == 500
        assert (await client.get("/slow")).status_code == 200
    assert (room.requests, room.bytes) == (0, 0)


@pytest.mark.parametrize(
    ("headers", "size"),
    [
        ([], 0),
        ([(b"content-length", b"10")], 10),
        ([(b"content-length", b"9" * 5000)], LARGEST_BODY),
        ([(b"content-length", b"-1")], LARGEST_BODY),
        ([(b"transfer-encoding", b"chunked")], LARGEST_BODY),
    ],
)
def test_a_body_counts_as_what_it_may_become(headers: list[Any], size: int) -> None:
    assert declared(headers) == size


@asynccontextmanager
async def served(app: ASGIApp, **settings: Any) -> AsyncIterator[httpx.URL]:
    async with AsyncExitStack() as stack:
        chosen = Settings(port=0, **settings)
        listener = stack.enter_context(listening(chosen))
        await stack.enter_async_context(answering(app, listener, Health({}), chosen))
        yield httpx.URL(url_of(chosen.host, listener))


async def says(address: httpx.URL, request: bytes) -> bytes:
    """What comes back until the connection is closed."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        writer.write(request)
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_a_connection_too_many_is_told_so_and_those_open_go_on() -> None:
    slow = Slow()
    slow.go.set()
    front = front_of(slow, Room(10))
    async with (
        served(front, most_connections=2) as address,
        httpx.AsyncClient(base_url=address, trust_env=False) as one,
        httpx.AsyncClient(base_url=address, trust_env=False) as two,
    ):
        assert (await one.get("/livez")).status_code == 200
        assert (await two.get("/livez")).status_code == 200
        async with httpx.AsyncClient(base_url=address, trust_env=False) as three:
            refused = await three.get("/livez")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["status"] == 503
        assert (await one.get("/livez")).status_code == 200


async def test_who_connects_and_says_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    async with served(front_of(Slow(), Room(10))) as address:
        assert await says(address, b"") == b""
        assert await says(address, b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ") == b""


async def test_a_body_may_come_after_its_head_and_another_request_after_that() -> None:
    slow = Slow()
    slow.go.set()
    async with served(front_of(slow, Room(10))) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        head = b"POST /slow HTTP/1.1\r\nHost: x\r\nX-Api-Key: %b\r\nContent-Length: 4\r\n\r\n"
        async with asyncio.timeout(5):
            for pieces in [(b"", b"body"), (b"bo", b"dy"), (b"body", b"")]:
                writer.write(head % KEY.encode() + pieces[0])
                await asyncio.sleep(0.05)
                writer.write(pieces[1])
                assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
                await reader.readuntil(b"0\r\n\r\n")
        writer.close()


async def test_headers_without_end_are_refused() -> None:
    async with served(front_of(Slow(), Room(10))) as address:
        endless = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"x" * LARGEST_HEAD
        assert (await says(address, endless)).startswith(b"HTTP/1.1 400")


async def test_a_request_with_two_lengths_is_refused() -> None:
    """A length and chunks at once is how one request is smuggled inside another."""
    async with served(front_of(Slow(), Room(10))) as address:
        both = (
            b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n"
        )
        assert (await says(address, both)).startswith(b"HTTP/1.1 400")
