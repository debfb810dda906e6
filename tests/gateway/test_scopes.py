"""Role × operation over the merged document: each operation opens to its scope, and to no other."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.gateway import app as gateway
from services.gateway.edge.prove import KEY_IN_BODY
from services.gateway.openapi import PUBLIC, operations, scope_of
from services.standalone import MIGRATIONS, document, services_over
from shared.auth import SCOPES
from tests.conftest import MakeDatabase, MovingClock
from tests.gateway.conftest import Front, front_of, make_key


@pytest.fixture
async def whole(make_database: MakeDatabase, tmp_path: Path, clock: MovingClock) -> Front:
    """The gateway in front of every service."""
    dbs = {name: await make_database(name, history) for name, history in MIGRATIONS.items()}
    return await front_of(services_over(dbs), dbs[gateway.NAME], tmp_path, clock)


def guarded() -> Iterator[tuple[str, str, str]]:
    """Every operation that isn't public, as (method, a concrete path, scope)."""
    for name, operation in operations(document()):
        method, _, path = name.partition(" ")
        if path not in PUBLIC:
            yield method, re.sub(r"{[^}]+}", "x", path), str(scope_of(operation))


async def call(client: httpx.AsyncClient, method: str, path: str) -> int:
    key = client.headers.get("Authorization", "").removeprefix("Bearer ")
    sent = {"routing_key": key} if path in KEY_IN_BODY else {}
    body: dict[str, Any] = {} if method == "GET" else {"json": sent}
    return (await client.request(method, path, **body)).status_code


async def test_without_a_key_no_operation_answers(whole: Front) -> None:
    async with whole.client(None) as client:
        answered = {(m, p): await call(client, m, p) for m, p, _ in guarded()}
    assert answered
    for (_, path), status in answered.items():
        assert status == (400 if path in KEY_IN_BODY else 401), path


async def test_a_key_with_every_other_scope_is_refused(whole: Front) -> None:
    async with whole.client(whole.admin_key) as admin:
        for lacking in SCOPES:
            others = [scope for scope in SCOPES if scope not in (lacking, "admin")]
            key = (await make_key(admin, *others))["key"]
            async with whole.client(key) as client:
                for method, path, scope in guarded():
                    if scope == lacking:
                        assert await call(client, method, path) == 403, (method, path)


async def test_a_key_with_only_the_right_scope_gets_past_the_door(whole: Front) -> None:
    async with whole.client(whole.admin_key) as admin:
        for scope in SCOPES:
            key = (await make_key(admin, scope))["key"]
            async with whole.client(key) as client:
                for method, path, needed in guarded():
                    if needed == scope and method == "GET":
                        assert await call(client, method, path) not in (401, 403), (method, path)


async def test_public_paths_answer_without_a_key(whole: Front) -> None:
    async with whole.client(None) as client:
        for path in PUBLIC:
            assert await call(client, "GET", path) == 200, path
