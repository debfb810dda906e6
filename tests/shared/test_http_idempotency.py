"""Idempotency-Key: the first answer again, one effect, whatever comes twice."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import func, select

from shared.http.idempotency import idempotency_keys
from shared.refusals import Conflict
from tests.engines.stores import Store
from tests.shared.tiny_service import NoteWontMove, Tiny, tiny_service

KEY = {"Idempotency-Key": "k-1"}
NOTE = {"text": "a note"}


@pytest.fixture
async def tiny(store: Store) -> AsyncIterator[Tiny]:
    async with tiny_service(store) as tiny:
        yield tiny


async def write(tiny: Tiny, text: str = "a note", key: str = "k-1") -> httpx.Response:
    headers = {"Idempotency-Key": key}
    return await tiny.client.post("/v1/notes", json={"text": text}, headers=headers)


async def keys(tiny: Tiny) -> int:
    async with tiny.db.read() as conn:
        query = select(func.count()).select_from(idempotency_keys)
        return (await conn.execute(query)).scalar_one()


async def test_the_same_request_again_has_the_same_answer_and_one_effect(tiny: Tiny) -> None:
    first, again = await write(tiny), await write(tiny)
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert first.headers["ETag"] == again.headers["ETag"] == '"1"'
    assert await tiny.texts() == ["a note"]


async def test_the_same_body_written_otherwise_is_the_same_request(tiny: Tiny) -> None:
    first = await write(tiny)
    content = b'{ "count": 0, "text": "  a note " }'
    headers = {**KEY, "Content-Type": "application/json"}
    again = await tiny.client.post("/v1/notes", content=content, headers=headers)
    assert again.content == first.content


async def test_another_body_under_the_same_key_is_refused(tiny: Tiny) -> None:
    await write(tiny)
    refused = await write(tiny, "another note")
    assert refused.status_code == 422
    assert refused.json()["type"] == "urn:groundswell:problem:idempotency-key-reused"
    assert await tiny.texts() == ["a note"]


async def test_another_operation_under_the_same_key_is_refused(tiny: Tiny) -> None:
    note = (await write(tiny)).json()["id"]
    touched = await tiny.client.post(f"/v1/notes/{note}/touch", headers=KEY)
    assert touched.status_code == 422
    assert touched.json()["type"] == "urn:groundswell:problem:idempotency-key-reused"


async def test_the_answer_stays_the_first_one_when_the_thing_has_moved_on(tiny: Tiny) -> None:
    note = (await write(tiny)).json()["id"]
    path, once = f"/v1/notes/{note}/touch", {"Idempotency-Key": "touch-1"}
    first = await tiny.client.post(path, headers=once)
    await tiny.client.post(path)
    again = await tiny.client.post(path, headers=once)
    assert first.json()["version"] == again.json()["version"] == 2
    assert (await tiny.client.post(path)).json()["version"] == 4


@pytest.mark.parametrize("trouble", [NoteWontMove("no"), RuntimeError("crash")])
async def test_an_attempt_that_failed_is_not_kept(tiny: Tiny, trouble: Exception) -> None:
    tiny.trouble.left = [trouble]
    assert (await write(tiny)).status_code in (409, 500)
    assert await keys(tiny) == 0
    assert (await write(tiny)).status_code == 201
    assert await tiny.texts() == ["a note"]


async def test_a_conflict_on_the_way_keeps_one_answer(tiny: Tiny) -> None:
    tiny.trouble.left = [Conflict("faster"), Conflict("faster")]
    first, again = await write(tiny), await write(tiny)
    assert first.content == again.content
    assert await tiny.texts() == ["a note"]


async def test_a_key_belongs_to_its_caller(tiny: Tiny) -> None:
    await write(tiny)
    async with tiny.caller(name="somebody else") as other:
        answer = await other.post("/v1/notes", json=NOTE, headers=KEY)
    assert answer.status_code == 201
    assert await tiny.texts() == ["a note", "a note"]


async def test_requests_that_come_at_once_under_one_key_have_one_effect(tiny: Tiny) -> None:
    answers = await asyncio.gather(*(write(tiny) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert await tiny.texts() == ["a note"]
    assert await keys(tiny) == 1


async def test_different_bodies_at_once_under_one_key_have_one_effect(tiny: Tiny) -> None:
    answers = await asyncio.gather(*(write(tiny, f"note {n}") for n in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 422, 422, 422]
    assert len(await tiny.texts()) == 1


async def test_without_a_key_every_request_counts(tiny: Tiny) -> None:
    for _ in range(2):
        assert (await tiny.client.post("/v1/notes", json=NOTE)).status_code == 201
    assert len(await tiny.texts()) == 2
    assert await keys(tiny) == 0


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_has_bounds(tiny: Tiny, key: str) -> None:
    answer = await write(tiny, key=key)
    assert answer.status_code == 422
    assert await tiny.texts() == []
