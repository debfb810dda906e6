"""Commands over HTTP: one transaction, then the answer; conflicts tried again; versions; scopes."""

from collections.abc import AsyncIterator

import pytest

from shared.auth import SCOPES
from shared.http.context import needs
from shared.refusals import Conflict
from tests.engines.stores import Store
from tests.shared.tiny_service import Tiny, tiny_service

NOTE = {"text": "a note"}


@pytest.fixture
async def tiny(store: Store) -> AsyncIterator[Tiny]:
    async with tiny_service(store) as tiny:
        yield tiny


async def written(tiny: Tiny) -> str:
    answer = await tiny.client.post("/v1/notes", json=NOTE)
    assert answer.status_code == 201
    return f"/v1/notes/{answer.json()['id']}/touch"


async def test_what_has_a_version_carries_it_as_its_etag(tiny: Tiny) -> None:
    touch = await written(tiny)
    answer = await tiny.client.post(touch)
    assert (answer.json()["version"], answer.headers["ETag"]) == (2, '"2"')
    plain = await tiny.client.post("/v1/plain", json=NOTE)
    assert plain.status_code == 200
    assert "ETag" not in plain.headers


@pytest.mark.parametrize("conflicts", [1, 2])
async def test_a_conflict_is_tried_again_and_its_first_attempt_leaves_nothing(
    tiny: Tiny, conflicts: int
) -> None:
    tiny.trouble.left = [Conflict("somebody was faster")] * conflicts
    answer = await tiny.client.post("/v1/notes", json=NOTE)
    assert answer.status_code == 201
    assert tiny.trouble.attempts == conflicts + 1
    assert await tiny.texts() == ["a note"]


async def test_a_conflict_that_stays_is_answered_after_three_attempts(tiny: Tiny) -> None:
    tiny.trouble.left = [Conflict("somebody was faster")] * 4
    answer = await tiny.client.post("/v1/notes", json=NOTE)
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:groundswell:problem:conflict"
    assert tiny.trouble.attempts == 3
    assert await tiny.texts() == []


@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        ('"1"', 200),
        ('W/"1"', 200),
        (" 1 ", 200),
        ("*", 200),
        ('"2"', 412),
        ('"0"', 412),
        ('"999999999999999"', 412),
        ('"1", "2"', 400),
        ('"x"', 400),
        ('""', 400),
        ("-1", 400),
        ("1" * 16, 400),
        ("1" * 101, 422),
        ("¹", 400),
    ],
)
async def test_if_match_is_the_version_seen_or_a_star(
    tiny: Tiny, if_match: str, status: int
) -> None:
    touch = await written(tiny)
    headers = [(b"If-Match", if_match.encode())]
    answer = await tiny.client.post(touch, headers=headers)
    assert answer.status_code == status, answer.text
    again = await tiny.client.post(touch)
    assert again.json()["version"] == (3 if status == 200 else 2)


def test_an_unknown_scope_is_found_when_the_service_is_imported() -> None:
    with pytest.raises(ValueError, match=r"unknown scope 'incidents:wirte'.*SCOPES"):
        needs("incidents:wirte")
    for scope in SCOPES:
        needs(scope)


async def test_admin_may_everything_and_others_what_they_hold(tiny: Tiny) -> None:
    async with tiny.caller("admin") as admin:
        assert (await admin.post("/v1/notes", json=NOTE)).status_code == 201
    async with tiny.caller("incidents:write") as writer:
        assert (await writer.post("/v1/notes", json=NOTE)).status_code == 201
        assert (await writer.get("/v1/notes")).status_code == 403
