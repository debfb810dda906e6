"""Who calls, where only the body can tell: a routing key in it, or a signature over it."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from services.gateway.app import front_door
from services.gateway.integrations.sealing import SealBroken, seal, unseal
from services.gateway.keyring import Signing
from shared.auth import PRINCIPAL, Principal, Sender
from shared.http.room import Room
from tests.conftest import client_of

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEY = "0123456789abcdefghijklmnopqrstuv"
SHOP = Principal("int_1", "Shop", frozenset({"ingest"}), Sender("int_1", "shop", None, None))
BY_KEY = Principal("key_1", "Shop", frozenset({"ingest"}), SHOP.sender)
FREE = Principal("key_2", "Bank", frozenset({"ingest"}), Sender("int_2", "bank", None, None))
KEYS = {KEY: BY_KEY, "free": FREE}
SECRETS = (b"the first of them", b"the second of them")
BODY = b'{"action": "created"}'


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers who called, and with which body."""
    message = await receive()
    seen = {"who": scope[PRINCIPAL].id, "body": message["body"].decode()}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    signs = {"int_1": Signing(SHOP, SECRETS)}.get
    table = {"/ingest": echo, "/v2": echo, "/v1": echo}
    async with client_of(front_door(table, KEYS.get, Room(9), signs, lambda: NOW)) as client:
        yield client


def signature(secret: bytes, body: bytes) -> str:
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


def github(secret: bytes, body: bytes = BODY) -> dict[str, str]:
    return {"X-Hub-Signature-256": f"sha256={signature(secret, body)}"}


def sentry(secret: bytes, body: bytes = BODY) -> dict[str, str]:
    return {"Sentry-Hook-Signature": signature(secret, body)}


def grafana(secret: bytes, body: bytes = BODY) -> dict[str, str]:
    return {"X-Grafana-Alerting-Signature": signature(secret, body)}


SIGNERS = {"github": github, "sentry": sentry, "grafana": grafana}


@pytest.mark.parametrize("name", SIGNERS)
async def test_a_signature_with_either_secret_opens_and_needs_no_key(
    client: httpx.AsyncClient, name: str
) -> None:
    for secret in SECRETS:
        path = f"/ingest/{name}?integration=int_1"
        answer = await client.post(path, content=BODY, headers=SIGNERS[name](secret))
        assert answer.json() == {"who": "int_1", "body": BODY.decode()}


@pytest.mark.parametrize("name", SIGNERS)
@pytest.mark.parametrize("path", ["?integration=int_1", ""])
async def test_what_is_not_exactly_signed_is_refused_with_a_key_or_without(
    client: httpx.AsyncClient, name: str, path: str
) -> None:
    sign = SIGNERS[name]
    good = sign(SECRETS[0])
    (header, value) = next(iter(good.items()))
    forged: list[Any] = [
        {},
        sign(b"another secret!!"),
        sign(SECRETS[0], BODY + b" "),
        {header: value[:-1]},
        {header: ""},
        {header: "é"},
        [(header, value), (header, value)],
    ]
    forged += [sign(SECRETS[0], b"")] if name != "github" else [{header: value[7:]}]
    for headers in forged:
        shown = [] if path else [("X-API-Key", KEY)]
        given = [*(headers.items() if isinstance(headers, dict) else headers), *shown]
        encoded = [(n.encode(), v.encode("latin-1")) for n, v in given]
        answer = await client.post(f"/ingest/{name}{path}", content=BODY, headers=encoded)
        assert answer.status_code == 401, headers
        assert answer.json()["type"].endswith("signature-refused")


async def test_a_signed_time_must_be_signed_and_fresh(client: httpx.AsyncClient) -> None:
    async def status(at: str, signed: str | None = None) -> int:
        body = f"{at if signed is None else signed}:".encode() + BODY
        headers = {**grafana(SECRETS[0], body), "X-Grafana-Alerting-Timestamp": at}
        path = "/ingest/grafana?integration=int_1"
        return (await client.post(path, content=BODY, headers=headers)).status_code

    now = int(NOW.timestamp())
    assert await status(str(now - 290)) == await status(str(now + 290)) == 200
    for odd in (str(now - 310), str(now + 310), "", "now", "9" * 12, "-1"):
        assert await status(odd) == 401
    assert await status(str(now), str(now - 1)) == 401


async def test_an_integration_that_signs_sends_nothing_where_nobody_checks(
    client: httpx.AsyncClient,
) -> None:
    headers = {"X-API-Key": KEY, **github(SECRETS[0])}
    for path in ("/v1/signals", "/ingest/alertmanager", "/ingest/datadog"):
        answer = await client.post(path, content=BODY, headers=headers)
        assert answer.status_code == 401
        assert answer.json()["type"].endswith("signature-missing")
    enqueued = await client.post("/v2/enqueue", json={"routing_key": KEY})
    assert enqueued.status_code == 401
    headers = {"X-API-Key": "free"}
    assert (await client.post("/v1/signals", content=BODY, headers=headers)).status_code == 200


async def test_without_key_or_a_signing_integration_nobody_comes_in(
    client: httpx.AsyncClient,
) -> None:
    for query in ("", "?integration=int_2", "?integration=int_9", "?integration="):
        for path in ("/ingest/github", "/ingest/sentry", "/ingest/grafana"):
            answer = await client.post(path + query, content=BODY, headers=github(SECRETS[0]))
            assert answer.status_code == 401
    assert (await client.post("/v1/signals?integration=int_1", content=BODY)).status_code == 401
    unsigned = await client.post("/ingest/github", content=BODY, headers={"X-API-Key": "free"})
    assert unsigned.json()["who"] == "key_2"


async def test_pagerdutys_clients_are_known_by_the_routing_key_in_the_body(
    client: httpx.AsyncClient,
) -> None:
    for path in ("/v2/enqueue", "/v2/change/enqueue"):
        body = {"routing_key": "free", "event_action": 7, "payload": []}
        assert (await client.post(path, json=body)).json()["who"] == "key_2"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"{}",
        b"\xff",
        b'{"routing_key": 1}',
        b'{"routing_key": "x"}',
        b'{"routing_key": "\xff"}',
        b'{"a": ' + b"[" * 31,
    ],
)
async def test_a_wrong_routing_key_is_told_in_pagerdutys_words(
    client: httpx.AsyncClient, body: bytes
) -> None:
    for headers in ({}, {"X-API-Key": "free"}):
        answer = await client.post("/v2/enqueue", content=body, headers=headers)
        assert answer.status_code == 400
        assert answer.json()["status"] == "invalid event"
        assert "routing_key" in answer.json()["errors"][0]


def test_a_sealed_secret_opens_with_its_pepper_alone() -> None:
    sealed = seal(b"p" * 32, "the secret")
    assert "the secret" not in sealed
    assert unseal(b"p" * 32, sealed) == "the secret"
    for pepper, text in ((b"q" * 32, sealed), (b"p" * 32, sealed[:-4]), (b"p" * 32, "")):
        with pytest.raises(SealBroken):
            unseal(pepper, text)
