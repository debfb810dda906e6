"""The inner hop, seen from the service: whom it believes, and whom it doesn't."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx
import jwt
import pytest
from starlette.types import Receive, Scope, Send

from shared.auth import PRINCIPAL, SCOPES, Principal
from shared.clock import utc_now
from shared.http.health import Health
from shared.http.inner import LIFETIME, PrincipalRefused, inner, sign, verify
from shared.http.probes import probed
from tests.conftest import client_of

SECRET = "one-secret-of-thirty-two-characters!"
OTHER = "another-secret-of-thirty-two-chars!!"
ADA = Principal("key_1", "Ada Ünïcode", frozenset({"ingest", "incidents:read"}))


async def told(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with who it thinks is calling, and with the headers that came."""
    principal: Principal | None = scope.get(PRINCIPAL)
    if scope["path"] == "/crash":
        raise ValueError("broken on purpose")
    body = {
        "id": principal and principal.id,
        "name": principal and principal.name,
        "scopes": sorted(principal.scopes) if principal else None,
        "request_id": scope["groundswell.request_id"],
        "headers": [name.decode() for name, _ in scope["headers"]],
    }
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


async def ask(
    headers: Sequence[tuple[str, str]], path: str = "/v1/x", secrets: Sequence[str] = (SECRET,)
) -> httpx.Response:
    app = probed(inner(told, "incidents", secrets), Health({}))
    async with client_of(app) as client:
        return await client.get(path, headers=list(headers))


def vouched(token: str) -> list[tuple[str, str]]:
    return [("Groundswell-Principal", token), ("Groundswell-Request-Id", "req_1")]


def claims(**other: Any) -> dict[str, Any]:
    now = utc_now()
    honest = {
        "iss": "groundswell-gateway",
        "aud": "incidents",
        "sub": "key_1",
        "iat": now,
        "exp": now + LIFETIME,
        "name": "Ada",
        "scopes": sorted(SCOPES),
    }
    return {name: value for name, value in (honest | other).items() if value is not None}


async def test_the_caller_that_the_gateway_vouches_for_is_who_calls() -> None:
    answer = await ask(vouched(sign(ADA, "incidents", SECRET)))
    seen = answer.json()
    assert (seen["id"], seen["name"]) == (ADA.id, ADA.name)
    assert seen["scopes"] == sorted(ADA.scopes)
    assert seen["request_id"] == "req_1"
    assert not [name for name in seen["headers"] if name.startswith("groundswell")]


def forgeries() -> dict[str, str]:
    """Every wrong value, made now: a token that is to come would be good in a few minutes."""
    return {
        "nothing": "",
        "no token": "admin",
        "another secret": jwt.encode(claims(), OTHER, algorithm="HS256"),
        "no algorithm": jwt.encode(claims(), None, algorithm="none"),  # pyright: ignore[reportArgumentType]
        "another algorithm": jwt.encode(claims(), SECRET * 2, algorithm="HS512"),
        "another service": sign(ADA, "roadmap", SECRET),
        "another issuer": jwt.encode(claims(iss="somebody"), SECRET, algorithm="HS256"),
        "long ago": jwt.encode(
            claims(iat=utc_now() - timedelta(minutes=5), exp=utc_now() - timedelta(minutes=4)),
            SECRET,
            algorithm="HS256",
        ),
        "not yet": jwt.encode(
            claims(iat=utc_now() + timedelta(minutes=5), exp=utc_now() + timedelta(minutes=6)),
            SECRET,
            algorithm="HS256",
        ),
        "for an hour": jwt.encode(
            claims(exp=utc_now() + timedelta(hours=1)), SECRET, algorithm="HS256"
        ),
        "for ever": jwt.encode(claims(exp=None), SECRET, algorithm="HS256"),
        "from whenever": jwt.encode(claims(iat=None), SECRET, algorithm="HS256"),
        "for everybody": jwt.encode(claims(aud=None), SECRET, algorithm="HS256"),
        "by nobody": jwt.encode(claims(sub=None), SECRET, algorithm="HS256"),
        "scopes as text": jwt.encode(claims(scopes="admin"), SECRET, algorithm="HS256"),
        "no scopes": jwt.encode(claims(scopes=None), SECRET, algorithm="HS256"),
    }


@pytest.mark.parametrize("forgery", forgeries())
async def test_a_token_that_is_not_exactly_right_opens_nothing(forgery: str) -> None:
    answer = await ask(vouched(forgeries()[forgery]))
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:groundswell:problem:principal-refused"
    assert "GROUNDSWELL_INTERNAL_SECRET" in answer.json()["detail"]


async def test_two_tokens_open_nothing() -> None:
    good = ("Groundswell-Principal", sign(ADA, "incidents", SECRET))
    assert (await ask([good, good])).status_code == 401


async def test_clocks_may_be_apart_by_less_than_a_minute() -> None:
    for apart in (timedelta(seconds=-50), timedelta(seconds=50)):
        at = utc_now() + apart
        token = jwt.encode(claims(iat=at, exp=at + LIFETIME), SECRET, algorithm="HS256")
        assert (await ask(vouched(token))).status_code == 200


def test_a_secret_is_replaced_without_a_refusal() -> None:
    """Services accept the new one beside the old, then gateways sign with it, then the old one goes."""
    for signed_with in (SECRET, OTHER):
        token = sign(ADA, "incidents", signed_with)
        assert verify(token, "incidents", [SECRET, OTHER]) == ADA
    with pytest.raises(PrincipalRefused):
        verify(sign(ADA, "incidents", SECRET), "incidents", [OTHER])


async def test_the_probes_answer_without_a_token() -> None:
    for path in ("/livez", "/readyz", "/metrics"):
        assert (await ask([], path)).status_code == 200
    assert (await ask([], "/livez/")).status_code == 401


async def test_a_crash_is_a_problem_that_names_the_request() -> None:
    answer = await ask(vouched(sign(ADA, "incidents", SECRET)), "/crash")
    assert answer.status_code == 500
    assert answer.json()["request_id"] == "req_1"
