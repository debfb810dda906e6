"""The trace and the summary over services that are there, not there yet, refuse, or fail."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, HTTPException, Response
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.trace.road import Road
from services.gateway.trace.stations import ORDER, stations
from shared.context import Context
from shared.http.context import needs
from shared.http.edge import create_service
from tests.gateway.conftest import Front, front_of, make_key

AT = {n: f"2026-10-{n:02d}T08:00:00.000000Z" for n in range(1, 29)}
REASON = {"detector": "recurrence", "name": "count", "text": "5 in 28 days.", "numbers": {}}

INCIDENT = {"id": "inc_1", "title": "Payments fail", "theme_id": "thm_1"}
OPENED = {
    "title": "Payments fail",
    "service": "payments",
    "product": "Checkout",
    "severity": "high",
}
SIGNAL = {
    "id": "sig_1",
    "incident_id": "inc_1",
    "source": "prometheus",
    "title": "Payments fail",
    "status": "firing",
    "starts_at": AT[1],
    "ends_at": None,
    "received_at": AT[2],
}
CANDIDATE = {
    "id": "cnd_1",
    "theme_id": "thm_1",
    "item_id": "itm_1",
    "decisions": [
        {
            "kind": "raised",
            "at": AT[5],
            "recorded_at": AT[5],
            "data": {"score": 4.5, "reasons": [REASON]},
        },
        {"kind": "accepted", "at": AT[6], "recorded_at": AT[6], "data": {"by": "ann"}},
    ],
}


def entry(kind: str, day: int, version: int, **data: Any) -> dict[str, Any]:
    return {"version": version, "kind": kind, "at": AT[day], "recorded_at": AT[day], "data": data}


def listed(*items: Mapping[str, Any]) -> dict[str, Any]:
    return {"items": list(items), "next": None}


def world() -> dict[str, Any]:
    """Path → what the owning service answers: one incident's whole road."""
    return {
        "/v1/signals/sig_1": SIGNAL,
        "/v1/feedback/fbk_1": {"id": "fbk_1", "theme_id": "thm_1"},
        "/v1/incidents/inc_1": INCIDENT,
        "/v1/incidents/inc_1/timeline": listed(
            entry("opened", 1, 1, **OPENED), entry("resolved", 3, 2)
        ),
        "/v1/incidents/inc_1/signals": listed(SIGNAL),
        "/v1/themes/thm_1": {
            "id": "thm_1",
            "template": "Payments fail",
            "merged_into": None,
            "candidate_id": "cnd_1",
            "item": {"item_id": "itm_1"},
        },
        "/v1/themes/thm_1/evidence": listed(
            {"kind": "incident", "source_id": "inc_1", "at": AT[1]},
            {"kind": "feedback", "source_id": "fbk_1", "at": AT[2]},
        ),
        "/v1/themes/thm_1/escalations": listed(
            {
                "detector": "recurrence",
                "rose_at": AT[4],
                "fell_at": None,
                "fell_because": None,
                "reasons": [REASON],
            }
        ),
        "/v1/themes/thm_0": {"id": "thm_0", "template": "old", "merged_into": "thm_1"},
        "/v1/themes/thm_0/evidence": listed(),
        "/v1/themes/thm_0/escalations": listed(),
        "/v1/candidates/cnd_1": CANDIDATE,
        "/v1/candidates/cnd_1/history": listed(
            {"version": 2, "at": AT[5], "value": 4.5}, {"version": 1, "at": AT[5], "value": 4.0}
        ),
        "/v1/items/itm_1": {
            "id": "itm_1",
            "theme_ids": ["thm_1"],
            "candidate_ids": ["cnd_1"],
        },
        "/v1/items/itm_1/history": listed(
            entry("delivered", 8, 3, release="1.2"),
            entry("committed", 7, 2, expected_reduction=0.5),
            entry("planned", 6, 1, horizon="now", quarter="2026Q4"),
        ),
        "/v1/outcomes": listed(
            {
                "id": "out_1",
                "delivered_at": AT[8],
                "as_of": AT[28],
                "final": True,
                "verdict": "verified",
                "text": "12 before, 2 after.",
            }
        ),
    }


def service_of(answers: Mapping[str, Any], clock: Any) -> FastAPI:
    """All services in one app that answers as `answers` says: a body, a status, or a crash."""
    router = APIRouter()

    @router.get("/v1/{path:path}")
    async def answer(path: str, ctx: Annotated[Context, needs("roadmap:read")]) -> Response:
        found = answers.get(f"/v1/{path}", 404)
        if isinstance(found, Exception):
            raise found
        if isinstance(found, int):
            raise HTTPException(found)
        return httpx_json(found)

    for prefix in ("signals", "incidents", "themes", "feedback", "candidates", "items", "outcomes"):
        router.add_api_route(f"/v1/{prefix}", answer, operation_id=prefix, name=prefix)
    return create_service("fake", "Fake", None, [router], clock)  # pyright: ignore[reportArgumentType]


def httpx_json(content: Any) -> Response:
    return Response(httpx.Response(200, json=content).content, media_type="application/json")


@pytest.fixture
def answers() -> dict[str, Any]:
    return world()


@pytest.fixture
async def client(
    front: Front, answers: dict[str, Any], tmp_path: Any
) -> AsyncIterator[httpx.AsyncClient]:
    clock: Any = front.keyring.clock
    behind = await front_of({"fake": service_of(answers, clock)}, front.db, tmp_path, clock)
    async with behind.client(front.admin_key) as client:
        yield client


async def trace(client: httpx.AsyncClient, start: str) -> dict[str, Any]:
    answer = await client.get(f"/v1/trace/{start}")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("start", ["sig_1", "inc_1", "thm_1", "thm_0", "fbk_1", "cnd_1", "itm_1"])
async def test_from_every_id_the_whole_road_is_told(client: httpx.AsyncClient, start: str) -> None:
    road = await trace(client, start)
    for part in ("incident", "theme", "candidate", "item", "outcome"):
        assert road[part], part
    assert [one["id"] for one in road["signals"]] == ["sig_1"]
    assert road["unavailable"] == {}


async def test_stations_are_told_in_the_order_of_event_time(client: httpx.AsyncClient) -> None:
    road = await trace(client, "inc_1")
    told = [(one["station"], one["text"].split(":")[0].split(".")[0]) for one in road["stations"]]
    assert told == [
        ("signal", "prometheus says it began"),
        ("incident", "opened"),
        ("theme", "is evidence of the theme"),
        ("incident", "resolved"),
        ("theme", "recurrence rose"),
        ("candidate", "raised with a score of 4"),
        ("candidate", "accepted by ann"),
        ("item", "planned for now, 2026Q4"),
        ("item", "committed to 50% fewer incidents"),
        ("item", "delivered with release 1"),
        ("outcome", "verified"),
    ]
    assert road["stations"][0]["recorded_at"] == "2026-10-02T08:00:00Z"
    assert [score["version"] for score in road["scores"]] == [1, 2]


async def test_what_is_not_there_yet_is_null_and_no_error(
    client: httpx.AsyncClient, answers: dict[str, Any]
) -> None:
    answers["/v1/incidents/inc_1"] = {**INCIDENT, "theme_id": None}
    road = await trace(client, "inc_1")
    assert road["theme"] is road["candidate"] is road["item"] is road["outcome"] is None
    assert road["unavailable"] == {}
    assert {one["station"] for one in road["stations"]} == {"signal", "incident"}


@pytest.mark.parametrize("failure", [500, 503, ValueError("broken on purpose")])
async def test_a_service_that_fails_leaves_the_rest_of_the_road(
    client: httpx.AsyncClient, answers: dict[str, Any], failure: Any
) -> None:
    answers["/v1/candidates/cnd_1"] = failure
    answers["/v1/outcomes"] = failure
    road = await trace(client, "inc_1")
    assert road["unavailable"] == {"candidate": "unavailable", "outcome": "unavailable"}
    assert road["theme"]["id"] == "thm_1"
    last = road["stations"][-1]
    assert (last["station"], last["at"], last["text"]) == ("outcome", None, "outcome: unavailable")


async def test_what_the_callers_key_may_not_read_is_not_shown(
    client: httpx.AsyncClient, answers: dict[str, Any]
) -> None:
    answers["/v1/themes/thm_1"] = 403
    road = await trace(client, "inc_1")
    assert road["unavailable"] == {"theme": "not allowed for this key"}
    assert road["theme"] is None


async def test_peers_are_asked_with_the_callers_own_rights(client: httpx.AsyncClient) -> None:
    narrow = (await make_key(client, "incidents:read"))["key"]
    answer = await client.get("/v1/trace/inc_1", headers={"Authorization": f"Bearer {narrow}"})
    assert answer.json()["unavailable"]["incident"] == "not allowed for this key"
    assert answer.json()["incident"] is None


@pytest.mark.parametrize(
    "start",
    ["inc_2", "nonsense", "_", "xyz_1", "inc_..%2f..%2fkeys", "inc_%3fa=b", "%00", "x" * 101],
)
async def test_an_id_that_leads_nowhere_is_a_client_error(
    client: httpx.AsyncClient, start: str
) -> None:
    answer = await client.get(f"/v1/trace/{start}")
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_circle_of_merges_ends(client: httpx.AsyncClient, answers: dict[str, Any]) -> None:
    answers["/v1/themes/thm_1"] = {**answers["/v1/themes/thm_1"], "merged_into": "thm_1"}
    assert (await trace(client, "inc_1"))["theme"]["id"] == "thm_1"


async def test_the_summary_counts_every_service(
    client: httpx.AsyncClient, answers: dict[str, Any]
) -> None:
    answers["/v1/incidents/summary"] = {"signals": 12, "incidents": 5}
    answers["/v1/themes/summary"] = {"themes": 3, "escalated": 1}
    answers["/v1/candidates/summary"] = {"by_state": {"open": 2, "accepted": 1}}
    answers["/v1/items/summary"] = {"by_state": {}}
    answers["/v1/outcomes/summary"] = 500
    counts = (await client.get("/v1/summary")).json()
    assert {name: counts[name] for name in ("signals", "incidents", "themes", "escalated")} == {
        "signals": 12,
        "incidents": 5,
        "themes": 3,
        "escalated": 1,
    }
    assert (counts["candidates"], counts["items"], counts["outcomes"]) == (3, 0, None)
    assert counts["unavailable"] == {"outcomes": "unavailable"}


MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@given(st.lists(MOMENTS, max_size=8), st.lists(MOMENTS, max_size=8))
def test_stations_never_go_back_in_time(entries: list[datetime], decisions: list[datetime]) -> None:
    def rows(moments: list[datetime]) -> list[dict[str, Any]]:
        return [
            {"kind": "noted", "at": m.isoformat(), "recorded_at": m.isoformat(), "data": {}}
            for m in moments
        ]

    road = Road({"timeline": rows(entries), "candidate": {"decisions": rows(decisions)}})
    told = stations(road)
    places = [(one.at, ORDER.index(one.station)) for one in told if one.at]
    assert places == sorted(places)
    assert len(told) == len(entries) + len(decisions)
