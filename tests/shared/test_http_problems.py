"""Every error is a problem document with a stable type and a sentence; none tells what is inside."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from shared import refusals
from shared.database import Database
from shared.http.edge import create_service
from tests.conftest import client_of, signed_in
from tests.engines.postgres import free_port
from tests.engines.stores import Store
from tests.shared.tiny_service import (
    REQUEST_ID,
    SECRET,
    NoteWontMove,
    Tiny,
    identified,
    router,
    tiny_service,
)

NEEDED = {"type", "title", "status", "detail", "request_id"}

REFUSED = [
    (refusals.Refusal("Say please."), 409, "refusal"),
    (refusals.NotFound("Look elsewhere."), 404, "not-found"),
    (refusals.Invalid("Mend it."), 422, "invalid"),
    (refusals.VersionMismatch("Read it again."), 412, "version-mismatch"),
    (refusals.Conflict("Try again."), 409, "conflict"),
    (refusals.Overloaded("Come back later."), 503, "overloaded"),
    (NoteWontMove("Let it rest."), 409, "note-wont-move"),
]


@pytest.fixture
async def tiny(store: Store) -> AsyncIterator[Tiny]:
    async with tiny_service(store) as tiny:
        yield tiny


def problem_in(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The problem document of an answer, which must be whole."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document.keys() >= NEEDED
    assert document["status"] == status
    assert document["type"].startswith("urn:groundswell:problem:")
    assert document["request_id"] == REQUEST_ID
    assert len(document["detail"]) > 5
    return document


@pytest.mark.parametrize(("refusal", "status", "slug"), REFUSED)
async def test_a_refusal_answers_with_its_status_its_name_and_its_sentence(
    tiny: Tiny, refusal: refusals.Refusal, status: int, slug: str
) -> None:
    tiny.trouble.left = [refusal]
    answer = await tiny.client.get("/v1/fail")
    document = problem_in(answer, status)
    assert document["type"] == f"urn:groundswell:problem:{slug}"
    assert document["detail"] == str(refusal)
    assert ("Retry-After" in answer.headers) == isinstance(refusal, refusals.Overloaded)


async def test_every_refusal_of_the_tree_is_tried_here() -> None:
    assert {type(refusal) for refusal, _, _ in REFUSED} >= {
        refusals.Refusal,
        *(
            kind
            for kind in refusals.Refusal.__subclasses__()
            if kind.__module__ == refusals.__name__
        ),
    }


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("GET", "/v1/nothing", 404, "There is nothing at /v1/nothing"),
        ("GET", "/v1/%00%ff", 404, "There is nothing at"),
        ("GET", "/v1/notes?cursor=%00", 422, "remove it"),
        ("DELETE", "/v1/notes", 405, "DELETE is not possible at /v1/notes"),
        ("GET", "/v1/teapot", 418, "ask a kettle"),
        ("GET", "/v1/notes?limit=0", 422, "query.limit"),
    ],
)
async def test_what_the_framework_refuses_is_a_problem_too(
    tiny: Tiny, method: str, path: str, status: int, says: str
) -> None:
    document = problem_in(await tiny.client.request(method, path), status)
    assert says in document["detail"]


async def test_headers_of_an_error_are_kept(tiny: Tiny) -> None:
    assert (await tiny.client.get("/v1/teapot")).headers["X-Short"] == "and stout"
    assert (await tiny.client.delete("/v1/notes")).headers["Allow"]


async def test_a_stranger_and_a_caller_without_the_scope_are_told_what_to_send(tiny: Tiny) -> None:
    async with client_of(identified(tiny.app)) as stranger:
        answer = await stranger.get("/v1/notes")
    assert "Authorization: Bearer" in problem_in(answer, 401)["detail"]
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    async with tiny.caller("incidents:read") as reader:
        refused = await reader.post("/v1/notes", json={"text": "x"})
    assert "'incidents:write'" in problem_in(refused, 403)["detail"]
    assert await tiny.texts() == []


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"[]", 422),
        (b'"text"', 422),
        (b"null", 422),
        (b"\xff\xfe", 422),
        (b'{"text": ' + b"9" * 5000 + b"}", 400),
        (b'{"text": "\\ud800"}', 422),
        (b'{"\\ud800": 1, "text": "x"}', 422),
        (b'{"text": "x", "count": 1e400}', 422),
        (b'{"text": "x", "weight": NaN}', 422),
    ],
)
async def test_a_body_that_makes_no_sense_is_answered_not_choked_on(
    tiny: Tiny, content: bytes, status: int
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await tiny.client.post("/v1/notes", content=content, headers=headers)
    problem_in(answer, status)
    assert await tiny.texts() == []


async def test_wrong_fields_are_named_one_by_one(tiny: Tiny) -> None:
    body = {"text": "", "count": -1, "colour": "red"}
    document = problem_in(await tiny.client.post("/v1/notes", json=body), 422)
    assert document["type"] == "urn:groundswell:problem:invalid-request"
    named = {error["field"] for error in document["errors"]}
    assert named == {"body.text", "body.count", "body.colour"}


async def test_a_fault_of_ours_tells_nothing_of_the_inside(tiny: Tiny) -> None:
    tiny.trouble.left = [RuntimeError(SECRET)]
    answer = await tiny.client.get("/v1/fail")
    document = problem_in(answer, 500)
    assert document["type"] == "urn:groundswell:problem:internal-error"
    for inside in (SECRET, "Traceback", "RuntimeError", ".py"):
        assert inside not in answer.text


async def test_a_fault_in_the_middle_of_a_write_leaves_nothing(tiny: Tiny) -> None:
    tiny.trouble.left = [RuntimeError(SECRET)]
    problem_in(await tiny.client.post("/v1/notes", json={"text": "half"}), 500)
    assert await tiny.texts() == []


def counted(route: str, code: str, method: str = "GET") -> float:
    labels = {"service": "tiny", "route": route, "method": method, "code": code}
    return REGISTRY.get_sample_value("http_server_requests_total", labels) or 0.0


async def test_requests_are_counted_by_route_never_by_what_a_caller_typed(tiny: Tiny) -> None:
    before = counted("unmatched", "404"), counted("/v1/notes/{note_id}/touch", "404", "POST")
    await tiny.client.get("/v1/some/guess")
    await tiny.client.post("/v1/notes/some-guess/touch")
    after = counted("unmatched", "404"), counted("/v1/notes/{note_id}/touch", "404", "POST")
    assert after == (before[0] + 1, before[1] + 1)
    assert counted("/v1/some/guess", "404") == 0


async def test_without_its_database_a_service_says_so_and_when_to_come_again() -> None:
    db = Database(f"postgresql+asyncpg://tiny:{SECRET}@127.0.0.1:{free_port()}/t?schema=t")
    app = create_service("tiny", "Tiny", db, [router])
    note = {"text": "a", "at": "2026-03-01T00:00:00Z", "count": 1, "weight": 1.0}
    async with client_of(signed_in(identified(app))) as client:
        for asked in (client.get("/v1/notes"), client.post("/v1/notes", json=note)):
            answer = await asked
            document = problem_in(answer, 503)
            assert document["type"].endswith(":database-unavailable")
            assert "send it again" in document["detail"]
            assert int(answer.headers["Retry-After"]) >= 1
            assert SECRET not in answer.text
    await db.close()
