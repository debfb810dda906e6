"""The hop to a service in another process, over real sockets: what goes through, and what breaks."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from time import monotonic
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.app import front_door
from services.gateway.edge import hop as hops
from services.gateway.edge.hop import hop, transport_to
from services.gateway.keyring import Signing
from services.listening import answering, listening, url_of
from shared.auth import PRINCIPAL, Principal
from shared.http.health import Health
from shared.http.inner import inner
from shared.http.room import Room
from shared.settings import Settings

KEY = "gs_0000000000_the-right-one"
SECRET = "one-secret-of-thirty-two-characters!"
ADA = Principal("key_1", "Ada", frozenset({"ingest"}))
BIG = 3_000_000

Serve = Callable[[ASGIApp], Awaitable[str]]
Front = Callable[[str], Awaitable[httpx.AsyncClient]]


UNSIGNED = dict[str, Signing]().get
"""No integration signs."""


def who(text: str) -> Principal | None:
    return ADA if text == KEY else None


class Service:
    """Answers as its path says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.asked.append(scope["method"])
        status, headers, pieces = self._answer(scope, body)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for number, piece in enumerate(pieces):
            if scope["path"] == "/v1/half" and number:
                raise ValueError("broken in the middle")
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def _answer(
        self, scope: Scope, body: bytes
    ) -> tuple[int, list[tuple[bytes, bytes]], list[bytes]]:
        match scope["path"]:
            case "/v1/problem":
                headers = [(b"content-type", b"application/problem+json"), (b"retry-after", b"7")]
                return 409, headers, [b'{"status": 409}']
            case "/v1/versioned":
                headers = [(b"etag", b'"3"'), (b"x-own", b"1"), (b"connection", b"x-hop")]
                return 201, [*headers, (b"x-hop", b"1")], [b"{}"]
            case "/v1/nothing":
                return 204, [], []
            case "/v1/big":
                return 200, [], [b"x" * 100_000] * (BIG // 100_000)
            case "/v1/half":
                return 200, [(b"content-length", b"100")], [b"x" * 50, b"x" * 50]
        principal: Principal | None = scope.get(PRINCIPAL)
        seen = {
            "method": scope["method"],
            "target": (scope["raw_path"] + b"?" + scope["query_string"]).decode(),
            "path": scope["path"],
            "headers": {n.decode(): v.decode("latin-1") for n, v in scope["headers"]},
            "principal": principal and principal.name,
            "request_id": scope.get("groundswell.request_id"),
            "body": body.decode("latin-1"),
        }
        return 200, [(b"content-type", b"application/json")], [json.dumps(seen).encode()]


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Puts an app on a socket; returns its address."""
    async with AsyncExitStack() as stack:

        async def put(app: ASGIApp) -> str:
            settings = Settings(port=0)
            listener = stack.enter_context(listening(settings))
            await stack.enter_async_context(answering(app, listener, Health({}), settings))
            return url_of(settings.host, listener)

        yield put


@pytest.fixture
async def front(serve: Serve) -> AsyncIterator[Front]:
    """A client of a gateway on a socket, behind which a service is at the given address."""
    async with AsyncExitStack() as stack:

        async def before(url: str) -> httpx.AsyncClient:
            transport = transport_to()
            stack.push_async_callback(transport.aclose)
            app = hop("incidents", url, transport, SECRET)
            table = {"/v1": app, "/api/v2/alerts": app}
            address = await serve(front_door(table, who, Room(100), UNSIGNED))
            headers = {"Authorization": f"Bearer {KEY}"}
            client = httpx.AsyncClient(
                base_url=address, headers=headers, trust_env=False, timeout=20
            )
            return await stack.enter_async_context(client)

        yield before


@pytest.fixture
async def client(serve: Serve, front: Front, service: Service) -> httpx.AsyncClient:
    return await front(await serve(inner(service, "incidents", [SECRET])))


async def test_the_service_sees_the_caller_and_the_request_as_they_came(
    client: httpx.AsyncClient,
) -> None:
    sent = {"X-Request-Id": "mine", "traceparent": "00-abc-def-01", "If-Match": '"3"'}
    answer = await client.put("/v1/a%2Fb%20c/%C3%A9?q=%00&x=1+2", headers=sent, content=b"{}")
    seen = answer.json()
    assert seen["target"] == "/v1/a%2Fb%20c/%C3%A9?q=%00&x=1+2"
    assert (seen["method"], seen["body"], seen["principal"]) == ("PUT", "{}", "Ada")
    assert seen["request_id"] == answer.headers["x-request-id"] == "mine"
    assert seen["headers"]["traceparent"] == "00-abc-def-01"
    assert seen["headers"]["if-match"] == '"3"'


async def test_nothing_of_a_clients_claims_or_of_its_connection_reaches_the_service(
    client: httpx.AsyncClient,
) -> None:
    claims = {
        "Groundswell-Principal": "forged",
        "Groundswell-Request-Id": "forged",
        "X-Groundswell-Principal": "forged",
        "X-Forwarded-User": "root",
        "Cookie": "session=1",
        "Connection": "X-Named, keep-alive",
        "X-Named": "1",
        "Keep-Alive": "timeout=5",
        "TE": "trailers",
        "Upgrade": "h2c",
        "Proxy-Authorization": "Basic eA==",
    }
    seen = (await client.get("/v1/x", headers=claims)).json()
    assert seen["principal"] == "Ada"
    assert seen["request_id"] != "forged"
    assert not {name.lower() for name in claims} & set(seen["headers"])
    assert "authorization" not in seen["headers"]


async def test_an_answer_comes_through_as_it_is(client: httpx.AsyncClient) -> None:
    refused = await client.post("/v1/problem", json={})
    assert (refused.status_code, refused.json()) == (409, {"status": 409})
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["retry-after"] == "7"
    made = await client.post("/v1/versioned", json={})
    assert (made.status_code, made.headers["etag"], made.headers["x-own"]) == (201, '"3"', "1")
    assert "x-hop" not in made.headers
    assert len(made.headers.get_list("date")) == 1
    nothing = await client.delete("/v1/nothing")
    assert (nothing.status_code, nothing.content) == (204, b"")
    head = await client.head("/v1/x")
    assert (head.status_code, head.content) == (200, b"")


async def test_a_long_answer_comes_through_whole(client: httpx.AsyncClient) -> None:
    assert len((await client.get("/v1/big")).content) == BIG


async def test_an_answer_that_breaks_in_the_middle_is_not_passed_off_as_whole(
    client: httpx.AsyncClient,
) -> None:
    with pytest.raises(httpx.TransportError):
        await client.get("/v1/half")


async def test_a_service_that_is_down_is_told_at_once_and_nothing_was_done(front: Front) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    client = await front(address)
    started = monotonic()
    answer = await client.post("/v1/x", json={})
    assert monotonic() - started < 2
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert "nothing was done" in answer.json()["detail"]
    spoken = await client.post("/api/v2/alerts", json=[])
    assert (spoken.status_code, spoken.headers["content-type"]) == (503, "application/json")
    assert isinstance(spoken.json(), str)


async def test_a_service_that_takes_no_connections_is_told_within_two_seconds(
    front: Front,
) -> None:
    async with deaf() as address:
        client = await front(address)
        started = monotonic()
        answer = await client.post("/v1/x", json={})
        assert monotonic() - started < 2.5
        assert answer.status_code == 503


@asynccontextmanager
async def deaf() -> AsyncIterator[str]:
    """An address where packets for new connections are dropped: the queue is full, nobody accepts."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        filling = [socket.socket() for _ in range(4)]
        try:
            for one in filling:
                one.setblocking(False)
                one.connect_ex(("127.0.0.1", port))
            await asyncio.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            for one in filling:
                one.close()


async def test_an_answer_that_never_comes_is_not_called_a_refusal(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hops, "TIMEOUT", httpx.Timeout(0.3))
    async with raw(swallow) as (address, asked):
        client = await front(address)
        changed = await client.post("/v1/x", json={})
        assert changed.status_code == 504
        assert "may or may not" in changed.json()["detail"]
        assert len(asked) == 1
        assert (await client.get("/v1/x")).status_code == 503


async def test_a_connection_lost_is_tried_anew_for_reads_only(front: Front) -> None:
    async with raw(hang_up) as (address, asked):
        client = await front(address)
        assert (await client.post("/v1/x", json={})).status_code == 504
        assert len(asked) == 1
        assert (await client.get("/v1/x")).status_code == 503
        assert len(asked) == 3


async def swallow() -> None:
    await asyncio.sleep(5)


async def hang_up() -> None:
    return


@asynccontextmanager
async def raw(
    then: Callable[[], Awaitable[None]],
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that reads a request's head, notes it, and does not answer."""
    asked: list[bytes] = []
    tasks: set[Any] = set()

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        try:
            await then()
        finally:
            writer.close()

    server = await asyncio.start_server(met, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def test_a_slow_service_holds_so_many_requests_and_no_more(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hops, "CONNECTIONS", 2)
    monkeypatch.setattr(hops, "TURN_SECONDS", 0.2)
    async with raw(swallow) as (address, asked):
        client = await front(address)
        held = [asyncio.create_task(client.get("/v1/x")) for _ in range(2)]
        while len(asked) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        third = await client.post("/v1/x", json={})
        assert third.status_code == 503
        assert "nothing was done" in third.json()["detail"]
        assert len(asked) == 2
        for one in held:
            one.cancel()
        await asyncio.gather(*held, return_exceptions=True)


async def test_a_service_with_another_secret_is_a_fault_of_ours_and_not_the_callers(
    serve: Serve, front: Front, service: Service
) -> None:
    client = await front(await serve(inner(service, "incidents", ["another" * 8])))
    answer = await client.post("/v1/x", json={})
    assert answer.status_code == 503
    assert "GROUNDSWELL_INTERNAL_SECRET" in answer.json()["detail"]
    assert service.asked == []


@pytest.mark.parametrize("target", ["/v1/x|y", "/v1/{x}", "/v1/x%zz", "/v1//x", "/v1/x;y='\""])
async def test_odd_targets_reach_the_service_as_they_were_sent(
    client: httpx.AsyncClient, target: str
) -> None:
    address = httpx.URL(client.base_url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    request = f"GET {target} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nConnection: close\r\n\r\n"
    writer.write(request.encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert head.startswith(b"HTTP/1.1 200"), (head, body)
    assert json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])["target"] == f"{target}?"
