"""The road of a request: ids, bounds, identity, routing. Behind it stands an app that says what it saw."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from services.gateway.app import front_door
from services.gateway.edge.bound import bounded, nested_too_deep
from services.gateway.edge.route import RoutesOverlap, longest, table_of
from services.gateway.keyring import Signing
from shared.auth import PRINCIPAL, Principal
from shared.http.room import LARGEST_BODY, Room
from tests.conftest import client_of

KEY = "gs_0000000000_the-right-one"


UNSIGNED = dict[str, Signing]().get
"""No integration signs."""


def who(text: str) -> Principal | None:
    return Principal("key_1", "admin", frozenset({"admin"})) if text == KEY else None


class Echo:
    """Answers with what reached it, and remembers the bodies it has seen."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        self.bodies.append(message.get("body", b""))
        if scope["path"] == "/echo/crash":
            raise ValueError("broken on purpose")
        principal = scope.get(PRINCIPAL)
        seen = {
            "headers": [name.decode() for name, _ in scope["headers"]],
            "principal": principal.name if principal else None,
            "request_id": scope["groundswell.request_id"],
            "bytes": len(self.bodies[-1]),
        }
        start = {"type": "http.response.start", "status": 200, "headers": []}
        await send(start)
        if scope["path"] == "/docs/half":
            raise ValueError("broken in the middle")
        await send({"type": "http.response.body", "body": json.dumps(seen).encode()})


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def client(echo: Echo) -> AsyncIterator[httpx.AsyncClient]:
    app = front_door({"/echo": echo, "/docs": echo}, who, Room(100), UNSIGNED)
    async with client_of(app) as client:
        client.headers["Authorization"] = f"Bearer {KEY}"
        yield client


async def test_a_sane_request_id_is_kept_and_echoed(client: httpx.AsyncClient) -> None:
    answer = await client.get("/echo", headers={"X-Request-Id": "deploy-42/a"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "deploy-42/a"


@pytest.mark.parametrize("odd", ["", "two words", "x" * 101, "é", "tab\there", "\x7f"])
async def test_an_odd_request_id_is_replaced(client: httpx.AsyncClient, odd: str) -> None:
    answer = await client.get("/echo", headers=[(b"X-Request-Id", odd.encode())])
    assert answer.headers["x-request-id"].startswith("req_")


async def test_refusals_and_crashes_carry_the_request_id_too(client: httpx.AsyncClient) -> None:
    for path, status in [("/nowhere", 404), ("/echo/crash", 500)]:
        answer = await client.get(path, headers={"X-Request-Id": "mine"})
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-request-id"] == answer.json()["request_id"] == "mine"
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_crash_in_the_middle_of_an_answer_is_not_hidden(echo: Echo) -> None:
    transport = httpx.ASGITransport(front_door({"/docs": echo}, who, Room(100), UNSIGNED))
    async with httpx.AsyncClient(transport=transport, base_url="http://groundswell.test") as client:
        with pytest.raises(ValueError, match="broken in the middle"):
            await client.get("/docs/half")


async def test_a_body_of_exactly_the_limit_comes_through(
    client: httpx.AsyncClient, echo: Echo
) -> None:
    answer = await client.post("/echo", content=b"x" * LARGEST_BODY)
    assert answer.json()["bytes"] == LARGEST_BODY


async def test_a_larger_body_is_refused_before_any_service_sees_it(
    client: httpx.AsyncClient, echo: Echo
) -> None:
    answer = await client.post("/echo", content=b"x" * (LARGEST_BODY + 1))
    assert answer.status_code == 413
    assert "512 KB" in answer.json()["detail"]
    assert echo.bodies == []


async def chunks(count: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * size


async def test_a_chunked_body_is_counted_as_it_comes(client: httpx.AsyncClient, echo: Echo) -> None:
    assert (await client.post("/echo", content=chunks(8, 65_536))).json()["bytes"] == LARGEST_BODY
    echo.bodies.clear()
    assert (await client.post("/echo", content=chunks(9, 65_536))).status_code == 413
    assert echo.bodies == []


async def test_a_length_that_understates_the_body_is_caught_by_counting(
    client: httpx.AsyncClient, echo: Echo
) -> None:
    headers = {"Content-Length": "10"}
    answer = await client.post("/echo", content=chunks(9, 65_536), headers=headers)
    assert answer.status_code == 413
    assert echo.bodies == []


async def test_a_body_that_dribbles_is_given_up(
    client: httpx.AsyncClient, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.edge.bound.BODY_SECONDS", 0.1)

    async def dribble() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(5)
        yield b"}"

    answer = await client.post("/echo", content=dribble())
    assert answer.status_code == 408
    assert answer.headers["connection"] == "close"
    assert echo.bodies == []


async def test_a_body_that_never_begins_is_given_up(
    client: httpx.AsyncClient, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.edge.bound.BODY_SECONDS", 0.1)

    async def silence() -> AsyncIterator[bytes]:
        await asyncio.sleep(5)
        yield b"{}"

    answer = await client.post("/echo", content=silence())
    assert answer.status_code == 408
    assert echo.bodies == []


async def test_a_body_that_comes_after_its_head_is_taken_whole(
    client: httpx.AsyncClient, echo: Echo
) -> None:
    async def hesitant() -> AsyncIterator[bytes]:
        for piece in (b"one ", b"two ", b"three"):
            await asyncio.sleep(0.01)
            yield piece

    assert (await client.post("/echo", content=hesitant())).status_code == 200
    assert echo.bodies == [b"one two three"]


async def test_who_waits_for_a_body_can_be_cancelled() -> None:
    ended: list[BaseException] = []

    async def never() -> Message:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            ended.append(error)
            raise
        raise AssertionError("nobody sets it")

    async def unasked(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("no body came")

    async def unheard(message: Message) -> None:
        raise AssertionError(f"nobody is there to be told {message}")

    scope = {"type": "http", "path": "/echo", "headers": [(b"content-length", b"5")]}
    reading = asyncio.create_task(_awaited(bounded(unasked)(scope, never, unheard)))
    await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert len(ended) == 1


async def _awaited(work: Awaitable[None]) -> None:
    await work


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "1e9", "٣"])
async def test_an_odd_content_length_breaks_nothing(client: httpx.AsyncClient, length: str) -> None:
    headers = [(b"Content-Length", length.encode())]
    answer = await client.post("/echo", content=b"{}", headers=headers)
    assert answer.status_code in (200, 413)


async def test_a_sender_that_goes_away_in_the_middle_leaves_nothing_behind(echo: Echo) -> None:
    app = front_door({"/echo": echo}, who, Room(100), UNSIGNED)
    messages: list[Message] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        raise AssertionError("nobody is there to be answered")

    shown = (b"authorization", f"Bearer {KEY}".encode())
    headers = [(b"transfer-encoding", b"chunked"), shown]
    await app(
        {"type": "http", "path": "/echo", "headers": headers, "method": "POST"}, receive, send
    )
    assert echo.bodies == []


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, identity", "GZIP", "x"])
async def test_a_compressed_body_is_refused_with_a_sentence(
    client: httpx.AsyncClient, echo: Echo, encoding: str
) -> None:
    answer = await client.post("/echo", content=b"x", headers={"Content-Encoding": encoding})
    assert answer.status_code == 415
    assert "without Content-Encoding" in answer.json()["detail"]
    assert echo.bodies == []


async def test_identity_is_no_compression(client: httpx.AsyncClient) -> None:
    answer = await client.post("/echo", content=b"x", headers={"Content-Encoding": "identity"})
    assert answer.status_code == 200


async def test_a_client_cannot_name_itself_by_a_header(client: httpx.AsyncClient) -> None:
    claims = ["X-Forwarded-User", "Remote-User", "X-Groundswell-Principal", "x-groundswell-scopes"]
    answer = await client.get("/echo", headers=dict.fromkeys(claims, "root"))
    seen = answer.json()
    assert seen["principal"] == "admin"
    assert not {claim.lower() for claim in claims} & set(seen["headers"])


async def test_no_service_sees_a_credential(client: httpx.AsyncClient) -> None:
    headers = {"X-API-Key": KEY, "Cookie": "session=1"}
    seen = (await client.get("/echo", headers=headers)).json()["headers"]
    assert not {"authorization", "x-api-key", "cookie"} & set(seen)


async def test_a_principal_is_never_carried_over_on_a_public_path(echo: Echo) -> None:
    async with client_of(front_door({"/docs": echo}, who, Room(100), UNSIGNED)) as client:
        answer = await client.get("/docs", headers={"Authorization": f"Bearer {KEY}"})
    assert answer.json()["principal"] is None


@pytest.mark.parametrize("path", ["/echo", "/docsx", "//docs", "/DOCS", "/nowhere", "", "*"])
async def test_what_is_not_public_needs_a_key(echo: Echo, path: str) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    app = front_door({"/echo": echo, "/docs": echo}, who, Room(100), UNSIGNED)
    await app({"type": "http", "path": path, "headers": [], "method": "GET"}, receive, send)
    assert sent[0]["status"] == 401
    assert echo.bodies == []


async def test_alertmanagers_own_clients_are_refused_in_their_language(echo: Echo) -> None:
    async with client_of(front_door({"/api/v2/alerts": echo}, who, Room(100), UNSIGNED)) as client:
        answer = await client.post("/api/v2/alerts", json=[])
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/json"
    assert "API key" in answer.json()


async def test_two_hosts_are_refused(client: httpx.AsyncClient) -> None:
    answer = await client.get("/echo", headers=[(b"Host", b"a"), (b"Host", b"b")])
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"[" * 33 + b"]" * 33,
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b'  [{"x": [' * 20,
    ],
)
async def test_a_deep_body_is_refused(client: httpx.AsyncClient, echo: Echo, body: bytes) -> None:
    answer = await client.post("/echo", content=body)
    assert answer.status_code == 422
    assert answer.json()["type"].endswith("body-too-deep")
    assert echo.bodies == []


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 32 + b"]" * 32,
        b"[" + b"[]," * 5000 + b"[]]",
        json.dumps({"text": "[{" * 5000}).encode(),
        json.dumps({"text": '\\"[' * 5000}).encode(),
        b"[" * 20 + b'"' + b"[" * 50,
        b"plain text " + b"[" * 100,
    ],
)
def test_a_wide_body_is_not_taken_for_a_deep_one(body: bytes) -> None:
    assert not nested_too_deep(body)


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b'"\\' * (LARGEST_BODY // 3),
        b"[" * 31 + b'"\\"' * (LARGEST_BODY // 4) + b"[" * 31 + b"\\",
        b"[" + b"[]" * (LARGEST_BODY // 2 - 1),
        b"[" * 31 + b"]" * 31 + b'"' * (LARGEST_BODY - 70),
    ],
)
async def test_no_body_makes_the_measuring_slow(body: bytes) -> None:
    started = asyncio.get_running_loop().time()
    nested_too_deep(body)
    assert asyncio.get_running_loop().time() - started < 0.5


def test_the_longest_prefix_wins_and_ends_at_a_segment() -> None:
    table: dict[str, Any] = {"/v1/themes": "a", "/v1/themes/summary": "b", "/": "root"}
    assert longest(table, "/v1/themes") == "a"
    assert longest(table, "/v1/themes/thm_1/evidence") == "a"
    assert longest(table, "/v1/themes/summary") == "b"
    assert longest(table, "/v1/themesx") is None
    assert longest(table, "/v1") is None
    assert longest(table, "/") == "root"


def test_two_owners_of_one_path_stop_the_start() -> None:
    documents = {"a": {"paths": {"/v1/x": {}}}, "b": {"paths": {"/v1/x/{id}": {}}}}
    apps: dict[str, Any] = {"a": object(), "b": object()}
    with pytest.raises(RoutesOverlap, match="both a and b"):
        table_of(apps, documents)
