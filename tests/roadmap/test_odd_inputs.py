"""Odd requests get an answer that says what is wrong with them, never a fault of ours."""

import itertools
import json

import httpx
import pytest

from services.roadmap.app import create_app
from shared.database import Database
from tests.roadmap.conftest import Hear
from tests.roadmap.saying import escalated

ODD_IDS = ["nope", "cnd_" + "0" * 32, "%00", "%ff%fe", "a" * 201, "é" * 50, "' OR 1=1 --", "%2e%2e"]
ODD_VALUES = [None, "", " ", "\x00", "\ud800", 10**400, -1, 0, 1e308, True, [], {}, "x" * 600]
ODD_BODIES = ["", "null", "[]", '"x"', "{", '{"a": NaN}', "[" * 500, '{"unknown": 1}']
ODD_QUERIES = [
    "limit=0",
    "limit=99999999999999999999",
    "cursor=x",
    "cursor=WzFd",
    "cursor=WzEsICJhIiwgImIiXQ",
    "cursor=WzFlNDAwLCAxLCAiYSJd",
    "cursor=W3sidCI6ICJub3cifSwgImEiXQ",
    "product=%00",
    "product=" + "p" * 300,
    "q=%25_%5C",
    "q=%00",
    "state=gone",
    "sort=up",
    "quarter=2026Q5",
    "horizon=soon",
    "objective_id=%00%ff",
]
FIELDS = {
    "/v1/candidates": {"title": "t", "product": "p", "reason": "r", "theme_id": "x", "at": "now"},
    "/v1/candidates/{id}/accept": {"item_id": "i", "horizon": "now", "quarter": "2026Q4"},
    "/v1/candidates/{id}/decline": {"reason": "r", "at": "2026-01-01T00:00:00Z"},
    "/v1/candidates/{id}/snooze": {"until": "2027-01-01T00:00:00Z", "until_total": 900},
    "/v1/candidates/{id}/merge": {"into": "cnd_other"},
    "/v1/candidates/{id}/estimate": {"effort_person_months": 1, "duration_weeks": 1},
    "/v1/items": {"title": "t", "product": "p", "theme_ids": ["x"], "objective_id": "o"},
    "/v1/items/{item}/commit": {"expected_reduction": 0.5, "at": "2026-01-01T00:00:00Z"},
    "/v1/items/{item}/deliver": {"release": "1", "expected_reduction": 0.5},
    "/v1/items/{item}/cancel": {"reason": "r"},
    "/v1/objectives": {"title": "t", "product": "p", "target": "t"},
}


def routes() -> list[tuple[str, str]]:
    document = create_app(Database("sqlite:///never-opened.sqlite3")).openapi()
    return [(verb.upper(), path) for path, verbs in document["paths"].items() for verb in verbs]


async def check(answer: httpx.Response) -> None:
    assert answer.status_code < 500, (str(answer.request.url), answer.text)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]


async def test_odd_ids_and_bodies_are_answered(client: httpx.AsyncClient) -> None:
    for method, path in routes():
        ids = ODD_IDS if "{" in path else [""]
        bodies = ODD_BODIES if method != "GET" else [""]
        for odd_id, body in itertools.product(ids, bodies):
            parts = [odd_id if part.startswith("{") else part for part in path.split("/")]
            answer = await client.request(method, "/".join(parts), content=body)
            await check(answer)
            assert "{" not in path or answer.status_code in (400, 404, 405, 409, 422)


async def test_odd_values_in_every_field_are_answered(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    await hear(escalated())
    (candidate,) = (await client.get("/v1/candidates")).json()["items"]
    item = (await client.post("/v1/items", json={"title": "t", "product": "p"})).json()
    for path, fields in FIELDS.items():
        filled = path.replace("{id}", candidate["id"]).replace("{item}", item["id"])
        for name, odd in itertools.product(fields, ODD_VALUES):
            content = json.dumps({**fields, name: odd})
            await check(await client.post(filled, content=content))


@pytest.mark.parametrize("path", ["/v1/candidates", "/v1/items", "/v1/objectives", "/v1/roadmap"])
async def test_odd_queries_are_answered(client: httpx.AsyncClient, path: str) -> None:
    for query in ODD_QUERIES:
        await check(await client.get(f"{path}?{query}"))


@pytest.mark.parametrize("etag", ["x", '"', "99999999999999999999", "-1"])
async def test_an_odd_etag_is_answered(client: httpx.AsyncClient, etag: str) -> None:
    item = (await client.post("/v1/items", json={"title": "t", "product": "p"})).json()
    path = f"/v1/items/{item['id']}"
    answer = await client.patch(path, json={"title": "u"}, headers={"If-Match": etag})
    assert answer.status_code in (400, 412)
