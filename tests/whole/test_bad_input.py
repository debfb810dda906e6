"""What must be refused is refused in a sentence that says what to do, and nothing of it is kept."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.whole.bad_bodies import Bad, odd_fields, odd_signals, unreadable
from tests.whole.system import System, check_refusal, rows, summary
from tests.whole.things import Things

LISTS = [
    "/v1/incidents",
    "/v1/signals",
    "/v1/catalog/services",
    "/v1/feedback",
    "/v1/themes",
    "/v1/outcomes",
    "/v1/candidates",
    "/v1/items",
    "/v1/objectives",
    "/v1/keys",
    "/v1/integrations",
    "/v1/changes",
    "/v1/mappings",
]
CURSORS = [
    "x",
    "WzFd",
    "bnVsbA",
    "WzEsICJhIiwgImIiXQ",
    "WzFlNDAwLCAxLCAiYSJd",
    "W3sidCI6ICJub3cifSwgImEiXQ",
    "e30",
    "%00",
    "%ff",
    "A" * 2001,
    "W" * 1999,
]


def got(name: str, path: str, status: int, slug: str, says: str, **more: Any) -> Bad:
    return Bad(name, path, status, slug, says, method="GET", headers={}, **more)


def questions() -> list[Bad]:
    """Reads that ask for what there is not."""
    found: list[Bad] = []
    for path in LISTS:
        for limit in ("1000000", "0", "-1", "many", "", "9" * 400, "1.5", "NaN"):
            asked = f"{path}?limit={limit}"
            found.append(got("page size", asked, 422, "invalid-request", "should be"))
        for cursor in CURSORS:
            asked = f"{path}?cursor={cursor}"
            slug = "invalid-request" if len(cursor) > 2000 or cursor == "%00" else "invalid-cursor"
            says = "leave it out|at most|remove it"
            found.append(got("forged cursor", asked, 422, slug, says))
    return found


def addresses() -> list[Bad]:
    """Methods and paths that lead nowhere."""
    see = "see /docs"
    return [
        got("unknown path", "/v1/nothing", 404, "not-found", see),
        got("another version", "/v2/incidents", 404, "not-found", see),
        got("a folder above", "/v1/../admin.key", 404, "not-found", see),
        got("a folder above, hidden", "/v1/incidents/..%2f..%2fadmin.key", 404, "not-found", see),
        got("two slashes", "//v1/incidents", 404, "not-found", see),
        got("NUL in the path", "/v1/%00", 404, "not-found", see),
        *(
            Bad(f"{method} {path}", path, 405, "method-not-allowed", "use|see", method=method)
            for path in ("/v1/incidents", "/v1/signals", "/v1/themes", "/v1/summary", "/v1/keys")
            for method in ("DELETE", "PATCH", "PUT", "TRACE")
        ),
    ]


def keys() -> list[Bad]:
    """Doors that stay shut, with a body that would be taken."""
    good = json.dumps({"title": "Payments fail", "severity": "high"}).encode()
    found: list[Bad] = []
    for path in ("/v1/signals", "/v1/incidents", "/api/v2/alerts", "/v1/keys", "/v1/nothing"):
        for name, key in {
            "garbled": "gsw_x",
            "endless": "x" * 5000,
            "another's": "gsw_" + "0" * 12 + "_" + "0" * 43,
            "foreign": "gsw_\xe9",
        }.items():
            says = "ask an administrator"
            found.append(
                Bad(f"a {name} key", path, 401, "key-refused", says, "POST", good, key=key)
            )
        says = "send `Authorization"
        found.append(Bad("no key", path, 401, "key-missing", says, "POST", good, key=None))
    return found


CASES = [*unreadable(), *odd_fields(), *odd_signals(), *questions(), *addresses(), *keys()]


@pytest.fixture(scope="module")
def client(system: System, things: Things) -> Iterator[httpx.Client]:
    with system.client(None) as client:
        yield client


def send(client: httpx.Client, system: System, bad: Bad) -> httpx.Response:
    """The request, byte for byte as it is written down."""
    key = system.admin_key if bad.key == "admin" else bad.key
    headers = {b"Authorization": b"Bearer " + key.encode("latin-1")} if key else {}
    headers |= {name.encode(): value.encode() for name, value in bad.headers.items()}
    content = bad.content
    if bad.chunked and content is not None:
        whole = content
        content = (whole[at : at + 65_536] for at in range(0, len(whole), 65_536))
    return client.request(bad.method, bad.path, content=content, headers=headers)


def sections() -> dict[str, list[Bad]]:
    """The cases by what is sent where: one test for each, since a test per case says no more."""
    found: dict[str, list[Bad]] = {}
    for bad in CASES:
        found.setdefault(f"{bad.method} {bad.path.partition('?')[0]}", []).append(bad)
    return found


@pytest.mark.parametrize("section", sections())
def test_what_is_bad_is_refused_whole_and_with_advice(
    section: str, client: httpx.Client, system: System
) -> None:
    before, counted = rows(system), summary(system)
    wrong: list[str] = []
    for bad in sections()[section]:
        answer = send(client, system, bad)
        shown = f"{bad.name}: {answer.status_code} {answer.text[:300]}"
        if answer.status_code != bad.status:
            wrong.append(f"{shown}, not {bad.status}")
            continue
        problem = check_refusal(answer)
        if problem["type"] and problem["type"].rpartition(":")[2] != bad.slug:
            wrong.append(f"{shown}, not {bad.slug}")
        if not re.search(bad.says, problem["detail"]):
            wrong.append(f"{shown} does not say /{bad.says}/")
    assert not wrong, "\n".join(wrong)
    assert rows(system) == before
    assert summary(system) == counted
