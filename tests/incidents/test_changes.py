"""Changes: told again, told out of order, listed, and shown with the incident they may explain."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from services.incidents.app import create_app
from services.incidents.changes import commands
from services.incidents.changes.domain import Change, Recorded, begun, retold
from services.incidents.changes.store import changes
from shared.context import Context
from shared.database import Database
from tests.conftest import MovingClock, client_of, signed_in
from tests.incidents.conftest import published

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CTX = Context("incidents", "tester", NOON + timedelta(days=1), "req_1")


def deployment(minutes: float = 0, **more: Any) -> Change:
    fields = {"source": "ci", "external_ref": "d1", "kind": "deployment", "title": "Deploy"}
    at = NOON + timedelta(minutes=minutes)
    return Change(**{**fields, "service": "payments", "at": at, **more})


async def tell(client: httpx.AsyncClient, status: int = 201, **body: Any) -> dict[str, Any]:
    answer = await client.post("/v1/changes", json={"title": "Deploy", **body})
    assert answer.status_code == status, answer.text
    return answer.json()


async def titles(client: httpx.AsyncClient, path: str = "/v1/changes", **params: Any) -> list[str]:
    answer = await client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return [one["title"] for one in answer.json()["items"]]


def folded(told: list[Change]) -> Recorded:
    recorded = begun("chg_1", told[0], NOON)
    for one in told[1:]:
        recorded = retold(recorded, one)
    return recorded


moments = st.integers(0, 3)
tellings = st.builds(
    deployment, moments, state=st.sampled_from(["in_progress", "done"]), title=st.just("Deploy")
)


@given(st.lists(tellings, min_size=1, max_size=4))
def test_tellings_in_any_order_make_the_same_change(told: list[Change]) -> None:
    (only,) = {repr(folded(list(order))) for order in permutations(told)}
    assert only == repr(folded(told + told))


def test_of_one_moment_the_end_outweighs_the_beginning() -> None:
    end, beginning = deployment(state="failed"), deployment(state="in_progress")
    assert folded([end, beginning]).told == folded([beginning, end]).told == end


def test_a_correction_of_the_same_moment_holds() -> None:
    assert folded([deployment(), deployment(title="Mended")]).told.title == "Mended"


def test_what_is_told_again_is_the_very_same() -> None:
    recorded = begun("chg_1", deployment(), NOON)
    assert retold(recorded, deployment()) is recorded


async def test_a_bulk_tells_one_change_several_times(db: Database) -> None:
    told = [
        deployment(10, state="done"),
        deployment(0, state="in_progress"),
        deployment(5, external_ref="d2"),
    ]
    async with db.begin() as conn:
        first = await commands.record(conn, told, CTX)
    async with db.begin() as conn:
        again = await commands.record(conn, told, CTX)
        count = (await conn.execute(select(func.count()).select_from(changes))).scalar_one()
    assert [one.new for one in first] == [True, False, True]
    assert [one.new for one in again] == [False, False, False]
    assert [one.recorded for one in first] == [one.recorded for one in again]
    assert first[0].recorded == first[1].recorded
    assert (first[0].recorded.at, first[0].recorded.told) == (NOON, told[0])
    assert count == 2
    assert await published(db) == []


async def test_more_changes_than_one_statement_may_list_are_recorded(db: Database) -> None:
    many = [deployment(external_ref=f"d{n}") for n in range(1_100)]
    async with db.begin() as conn:
        assert all(one.new for one in await commands.record(conn, many, CTX))
        assert not any(one.new for one in await commands.record(conn, many, CTX))
        assert await commands.record(conn, [], CTX) == []


async def test_a_deployment_is_followed_from_its_beginning_to_its_end(
    client: httpx.AsyncClient,
) -> None:
    same = {"source": "ci", "external_ref": "d1", "service": "payments"}
    first = await tell(client, **same, at="2026-03-01T12:00:00Z", state="in_progress")
    ended = await tell(client, 200, **same, at="2026-03-01T12:07:00Z", state="failed")
    late = await tell(client, 200, **same, at="2026-03-01T11:59:00Z", state="in_progress")
    assert first["id"] == ended["id"] == late["id"]
    assert (ended["at"], ended["stated_at"]) == ("2026-03-01T12:00:00Z", "2026-03-01T12:07:00Z")
    assert (late["at"], late["state"]) == ("2026-03-01T11:59:00Z", "failed")
    assert (await client.get(f"/v1/changes/{first['id']}")).json() == late
    assert len(await titles(client)) == 1


async def test_all_that_is_told_is_shown(client: httpx.AsyncClient, clock: MovingClock) -> None:
    body = {
        "title": "Flag off",
        "kind": "config",
        "service": "payments",
        "at": "2026-03-01T12:00:00Z",
        "state": "done",
        "environment": "production",
        "revision": "5c1f0e7",
        "url": "https://ci.example/512",
        "source": "ci",
        "external_ref": "d1",
        "details": {"by": "ada"},
    }
    shown = await tell(client, **body)
    assert {name: shown[name] for name in body} == body
    assert datetime.fromisoformat(shown["recorded_at"]) == clock.now
    (listed,) = (await client.get("/v1/changes")).json()["items"]
    assert listed == shown


async def test_a_title_is_enough_and_without_a_reference_each_is_a_new_one(
    client: httpx.AsyncClient, clock: MovingClock
) -> None:
    one, two = await tell(client), await tell(client)
    assert one["id"] != two["id"]
    assert datetime.fromisoformat(one["at"]) == clock.now
    assert (one["source"], one["kind"], one["service"]) == ("api", "deployment", None)


async def test_a_key_makes_a_change_without_a_reference_safe_to_repeat(
    client: httpx.AsyncClient,
) -> None:
    headers = {"Idempotency-Key": "k1"}
    first, again = [
        await client.post("/v1/changes", json={"title": "Deploy"}, headers=headers) for _ in "12"
    ]
    assert first.json() == again.json()
    assert await titles(client) == ["Deploy"]


async def test_changes_are_filtered_and_paged_newest_first(client: httpx.AsyncClient) -> None:
    for day, kind in enumerate(("deployment", "release", "config", "deployment"), 1):
        at = f"2026-03-0{day}T00:00:00Z"
        await tell(client, title=f"c{day}", kind=kind, at=at, service=f"s{day % 2}")
    await tell(client, title="c4b", at="2026-03-04T00:00:00Z", service="s0")
    assert await titles(client) == ["c4b", "c4", "c3", "c2", "c1"]
    assert await titles(client, service="s0") == ["c4b", "c4", "c2"]
    assert await titles(client, kind="release") == ["c2"]
    window = {"since": "2026-03-02T00:00:00Z", "until": "2026-03-04T00:00:00Z"}
    assert await titles(client, **window) == ["c3", "c2"]
    paged: list[str] = []
    params: dict[str, Any] = {"limit": 2}
    for _ in range(3):
        page = (await client.get("/v1/changes", params=params)).json()
        paged += [one["title"] for one in page["items"]]
        params["cursor"] = page["next"]
    assert paged == ["c4b", "c4", "c3", "c2", "c1"]
    assert params["cursor"] is None


async def opened(client: httpx.AsyncClient, **body: Any) -> str:
    stated = {"title": "Payments fail", "severity": "high", "opened_at": "2026-03-02T12:00:00Z"}
    answer = await client.post("/v1/incidents", json={**stated, **body})
    assert answer.status_code == 201, answer.text
    return f"/v1/incidents/{answer.json()['id']}/changes"


async def test_an_incident_shows_what_changed_before_it(client: httpx.AsyncClient) -> None:
    told = {
        "too long ago": "2026-03-01T11:59:59Z",
        "a day before": "2026-03-01T12:00:00Z",
        "just before": "2026-03-02T11:58:00Z",
        "as it opened": "2026-03-02T12:00:00Z",
        "after it": "2026-03-02T12:00:01Z",
    }
    for title, at in told.items():
        await tell(client, title=title, at=at, service="payments")
    at = "2026-03-02T11:00:00Z"
    await tell(client, title="of another service", at=at, service="search")
    await tell(client, title="of none", at=at)
    path = await opened(client, service="payments")
    assert await titles(client, path) == ["as it opened", "just before", "of none", "a day before"]
    assert await titles(client, path, hours=1) == ["as it opened", "just before", "of none"]
    assert await titles(client, path, hours=168, limit=1) == ["as it opened"]
    assert len(await titles(client, path, hours=168)) == 5
    assert await titles(client, await opened(client)) == ["of none"]


async def test_a_deployment_under_way_when_an_incident_opens_came_before_it(
    client: httpx.AsyncClient,
) -> None:
    same = {"source": "ci", "external_ref": "d1", "service": "payments"}
    await tell(client, **same, at="2026-03-02T11:55:00Z", state="in_progress")
    await tell(client, 200, **same, at="2026-03-02T12:05:00Z", state="failed")
    assert await titles(client, await opened(client, service="payments")) == ["Deploy"]


async def test_a_service_is_known_by_all_its_names_even_by_those_learnt_later(
    client: httpx.AsyncClient,
) -> None:
    for name in ("payments", "pay", "harbour-shop-payments", "search"):
        await tell(client, title=name, at="2026-03-02T11:00:00Z", service=name)
    path = await opened(client, service="pay")
    assert await titles(client, path) == ["pay"]
    entry = {"product": "Checkout", "aliases": ["pay", "harbour-shop-payments"]}
    assert (await client.put("/v1/catalog/services/payments", json=entry)).status_code == 200
    its = ["harbour-shop-payments", "pay", "payments"]
    assert sorted(await titles(client, path)) == its
    for name in its:
        assert sorted(await titles(client, service=name)) == its
    assert await titles(client, service="search") == ["search"]


async def test_what_does_not_exist_is_said_so(client: httpx.AsyncClient) -> None:
    for path, slug in (
        ("/v1/changes/chg_x", "change-unknown"),
        ("/v1/incidents/inc_x/changes", "incident-unknown"),
    ):
        answer = await client.get(path)
        assert answer.status_code == 404
        assert answer.json()["type"].endswith(slug)


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        ("ingest", "POST", "/v1/changes"),
        ("incidents:read", "GET", "/v1/changes"),
        ("incidents:read", "GET", "/v1/changes/chg_x"),
        ("incidents:read", "GET", "/v1/incidents/inc_x/changes"),
    ],
)
async def test_each_operation_needs_its_scope(
    db: Database, scope: str, method: str, path: str
) -> None:
    body = {"title": "Deploy"}
    others = {"ingest", "incidents:read", "incidents:write"} - {scope}
    async with client_of(signed_in(create_app(db), *others)) as stranger:
        assert (await stranger.request(method, path, json=body)).status_code == 403
    async with client_of(signed_in(create_app(db), scope)) as allowed:
        assert (await allowed.request(method, path, json=body)).status_code in (200, 201, 404)


@pytest.mark.parametrize(
    "body",
    [
        rb'{"title":"a\u0000b"}',
        rb'{"title":"\ud800"}',
        rb'{"title":"x","details":{"a":"\u0000"}}',
        b'{"title":"x","at":"2100-01-01T00:00:00Z"}',
        b'{"title":"x","at":"2026-01-01T00:00:00"}',
        b'{"title":"x","kind":"toil"}',
        b'{"title":"x","state":"success"}',
        b'{"title":"x","url":"javascript:alert(1)"}',
        rb'{"title":"x","url":"https://a\u0000b"}',
        b'{"title":"x","service":""}',
        b'{"title":" "}',
        b'{"title":"x","revison":"y"}',
        b"[]",
        b"\xff",
    ],
)
async def test_odd_bodies_are_the_callers_fault(client: httpx.AsyncClient, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await client.post("/v1/changes", content=body, headers=headers)
    assert answer.status_code in (400, 422), answer.text
    assert await titles(client) == []


@pytest.mark.parametrize(
    "query",
    [
        "/v1/changes?cursor=bm90",
        "/v1/changes?service=%00",
        "/v1/changes?kind=toil",
        "/v1/changes?since=yesterday",
        "/v1/changes?limit=0",
        "/v1/changes/%00",
        "/v1/incidents/inc_x/changes?hours=0",
        "/v1/incidents/inc_x/changes?hours=169",
    ],
)
async def test_odd_queries_are_the_callers_fault(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(query)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["detail"]
