"""Mappings through their API: kept by version, and tried without leaving a trace."""

import json
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Table, func, select

from services.incidents.app import create_app
from services.incidents.incidents.episodes import episodes
from services.incidents.incidents.store import incidents
from services.incidents.mappings.store import mappings
from services.incidents.signals.store import signals
from shared.clock import rfc3339
from shared.database import Database
from shared.outbox import outbox
from tests.conftest import MovingClock, client_of, signed_in

BODIES = Path(__file__).parents[1] / "adapters" / "bodies"
UPTIME = json.loads((BODIES / "generic_uptime.mapping.json").read_text())
MAPPING: dict[str, Any] = {
    "title": "$.t",
    "fingerprint": "$.t",
    "status": {
        "path": "$.s",
        "values": {"up": "resolved", "seen": "acknowledged"},
        "default": "firing",
    },
    "starts_at": "$.at",
    "ends_at": "$.until",
}


async def tried(client: httpx.AsyncClient, body: object) -> list[str]:
    answer = await client.post("/v1/mappings/try", json={"mapping": MAPPING, "body": body})
    assert answer.status_code == 200, answer.text
    assert answer.json()["errors"] == []
    return [one["says"] for one in answer.json()["signals"]]


async def post(client: httpx.AsyncClient, **stated: object) -> dict[str, str]:
    """Post a signal as the mapping's own source would, so that what is tried meets it."""
    sent = {"source": "generic.tried", "fingerprint": "x", "title": "x", **stated}
    answer = await client.post("/v1/signals", json=sent)
    assert answer.status_code == 202, answer.text
    return answer.json()["signals"][0]


async def counted(db: Database, tables: Iterable[Table]) -> list[int]:
    async with db.read() as conn:
        return [
            (await conn.execute(select(func.count()).select_from(table))).scalar_one()
            for table in tables
        ]


@pytest.fixture
def at(clock: MovingClock) -> str:
    return rfc3339(clock.now - timedelta(hours=1))


async def test_a_mapping_is_kept_and_replaced_by_version(client: httpx.AsyncClient) -> None:
    first = await client.put("/v1/mappings/uptime", json=UPTIME)
    again = await client.put("/v1/mappings/uptime", json=UPTIME)
    assert first.status_code == again.status_code == 200, first.text
    assert first.headers["ETag"] == again.headers["ETag"] == '"1"'
    changed = await client.put("/v1/mappings/uptime", json=MAPPING, headers={"If-Match": '"1"'})
    assert changed.json()["version"] == 2
    assert changed.json()["by"] == "tester"
    read = await client.get("/v1/mappings/uptime")
    assert read.json() == changed.json()
    assert read.headers["ETag"] == '"2"'
    assert read.json()["document"] == MAPPING


async def test_a_stale_if_match_is_refused_and_changes_nothing(client: httpx.AsyncClient) -> None:
    for version in ('"1"', '"7"'):
        answer = await client.put("/v1/mappings/new", json=MAPPING, headers={"If-Match": version})
        assert answer.status_code == 412
    assert (await client.get("/v1/mappings/new")).status_code == 404


async def test_mappings_are_listed_page_by_page(client: httpx.AsyncClient) -> None:
    for name in ("a", "b", "c"):
        await client.put(f"/v1/mappings/{name}", json=MAPPING)
    first = (await client.get("/v1/mappings", params={"limit": 2})).json()
    rest = (await client.get("/v1/mappings", params={"cursor": first["next"]})).json()
    assert [one["name"] for one in first["items"] + rest["items"]] == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["Uptime", "-x", "a" * 57, "a b"])
async def test_an_impossible_name_is_refused(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.put(f"/v1/mappings/{name}", json=MAPPING)
    assert answer.status_code == 422


async def test_an_expression_that_is_not_run_is_refused_with_its_place(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.put("/v1/mappings/x", json={**MAPPING, "service": "$..name"})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"].startswith("body.service")
    assert "descendants" in error["message"]


async def test_trying_says_what_a_recorded_body_would_be(client: httpx.AsyncClient) -> None:
    await client.put("/v1/mappings/uptime", json=UPTIME)
    body = json.loads((BODIES / "generic_uptime_down.json").read_text())
    answer = await client.post("/v1/mappings/uptime/try", json={"body": body})
    assert answer.status_code == 200, answer.text
    (one,) = answer.json()["signals"]
    assert one["says"] == "opens an incident"
    assert one["happens"] == "opens"
    assert one["signal"]["source"] == "generic.uptime"
    assert one["signal"]["title"] == "Checkout API"
    assert (one["incident_id"], one["signal_id"]) == (None, None)


async def test_trying_leaves_no_trace(client: httpx.AsyncClient, db: Database, at: str) -> None:
    await post(client, starts_at=at)
    tables = (signals, incidents, episodes, outbox, mappings)
    before = await counted(db, tables)
    said = await tried(client, [{"t": "x", "s": "up"}, {"t": "y"}, {"t": "x", "at": at}])
    assert len(said) == 3
    assert await counted(db, tables) == before


async def test_what_fires_without_a_start_repeats_what_fires_already(
    client: httpx.AsyncClient, clock: MovingClock, at: str
) -> None:
    stored = await post(client, starts_at=at)
    assert await tried(client, {"t": "x"}) == [f"repeat of {stored['id']}"]
    later = rfc3339(clock.now - timedelta(seconds=1))
    joins = f"joins incident {stored['incident_id']}"
    assert await tried(client, {"t": "x", "at": later}) == [joins]


async def test_what_is_stored_is_a_repeat(client: httpx.AsyncClient, at: str) -> None:
    stored = await post(client, starts_at=at)
    assert await tried(client, {"t": "x", "at": at}) == [f"repeat of {stored['id']}"]


async def test_the_source_of_the_sender_s_key_decides_whose_alert_it_is(
    client: httpx.AsyncClient, at: str
) -> None:
    stored = await post(client, starts_at=at, source="uptime-eu")
    asked = {"mapping": MAPPING, "body": {"t": "x"}, "source": "uptime-eu"}
    answer = await client.post("/v1/mappings/try", json=asked)
    assert answer.json()["signals"][0]["incident_id"] == stored["incident_id"]
    assert await tried(client, {"t": "x"}) == ["opens an incident"]


async def test_an_end_resolves_what_is_open(client: httpx.AsyncClient, at: str) -> None:
    incident = (await post(client, starts_at=at))["incident_id"]
    assert await tried(client, {"t": "x", "s": "up"}) == [f"resolves {incident}"]
    assert await tried(client, {"t": "x", "s": "up", "at": at}) == [f"resolves {incident}"]


async def test_an_end_of_nothing_says_so(client: httpx.AsyncClient) -> None:
    (said,) = await tried(client, {"t": "x", "s": "up"})
    assert said.startswith("nothing is open to resolve")


async def test_an_acknowledgement_needs_an_open_incident(
    client: httpx.AsyncClient, at: str
) -> None:
    assert await tried(client, {"t": "x", "s": "seen"}) == ["nothing is open to acknowledge"]
    incident = (await post(client, starts_at=at))["incident_id"]
    assert await tried(client, {"t": "x", "s": "seen"}) == [f"acknowledges {incident}"]
    over = [{"t": "x", "s": "up"}, {"t": "x", "s": "seen"}]
    assert await tried(client, over) == [f"resolves {incident}", "nothing is open to acknowledge"]


async def test_signals_of_one_body_see_each_other(client: httpx.AsyncClient, at: str) -> None:
    body = [
        {"t": "x", "at": at},
        {"t": "x", "at": at},
        {"t": "x"},
        {"t": "x", "s": "up"},
        {"t": "x", "s": "seen"},
        {"t": "z"},
        {"t": "z", "s": "seen"},
    ]
    assert await tried(client, body) == [
        "opens an incident",
        "repeat of signals[0]",
        "repeat of signals[0]",
        "resolves the incident that signals[0] opens",
        "nothing is open to acknowledge",
        "opens an incident",
        "acknowledges the incident that its post opens",
    ]


@pytest.mark.parametrize("resolved_minutes_ago", [3, 300])
async def test_an_alert_that_fires_again_soon_reopens(
    client: httpx.AsyncClient, clock: MovingClock, resolved_minutes_ago: int
) -> None:
    began = rfc3339(clock.now - timedelta(hours=9))
    ended = rfc3339(clock.now - timedelta(minutes=resolved_minutes_ago))
    stored = await post(client, status="resolved", starts_at=began, ends_at=ended)
    soon = f"reopens {stored['incident_id']}"
    wanted = soon if resolved_minutes_ago == 3 else "opens an incident"
    assert await tried(client, {"t": "x"}) == [wanted]


async def test_what_was_tried_is_what_happens(client: httpx.AsyncClient, at: str) -> None:
    """The sentence is of the code that does it: post the same, and look."""
    (said,) = await tried(client, {"t": "x", "at": at})
    stored = await post(client, starts_at=at)
    assert said == "opens an incident"
    incident = await client.get(f"/v1/incidents/{stored['incident_id']}")
    assert incident.json()["state"] == "open"
    (said,) = await tried(client, {"t": "x", "s": "up"})
    assert said == f"resolves {stored['incident_id']}"
    await post(client, status="resolved")
    incident = await client.get(f"/v1/incidents/{stored['incident_id']}")
    assert incident.json()["state"] == "resolved"


async def test_what_a_rule_can_t_use_is_an_answer_not_an_error(client: httpx.AsyncClient) -> None:
    body = [{"t": "fine", "until": 3}, {"t": None}, {"t": "fine", "at": "soon"}]
    answer = await client.post("/v1/mappings/try", json={"mapping": MAPPING, "body": body})
    assert answer.status_code == 200
    assert answer.json()["signals"] == []
    assert [one["field"] for one in answer.json()["errors"]] == ["[1].title", "[2].starts_at"]


@pytest.mark.parametrize("body", ["text", 3, None, [], {}, [[]], {"t": None}])
async def test_any_body_can_be_tried(client: httpx.AsyncClient, body: object) -> None:
    answer = await client.post("/v1/mappings/try", json={"mapping": MAPPING, "body": body})
    assert answer.status_code == 200, answer.text


async def test_scopes_are_needed(db: Database) -> None:
    async with client_of(signed_in(create_app(db), "incidents:read")) as reader:
        assert (await reader.put("/v1/mappings/x", json=MAPPING)).status_code == 403
        assert (await reader.get("/v1/mappings")).status_code == 200
    async with client_of(signed_in(create_app(db), "ingest")) as sender:
        asked = {"mapping": MAPPING, "body": {"t": "x"}}
        assert (await sender.post("/v1/mappings/try", json=asked)).status_code == 403
        assert (await sender.get("/v1/mappings/x")).status_code == 403


async def test_a_post_by_a_mapping_does_what_trying_it_said(client: httpx.AsyncClient) -> None:
    await client.put("/v1/mappings/uptime", json=UPTIME)
    down, up = (
        json.loads((BODIES / f"generic_uptime_{state}.json").read_text())
        for state in ("down", "up")
    )
    posted = await client.post("/ingest/generic/uptime", json=down)
    assert posted.status_code == 202, posted.text
    (taken,) = posted.json()["signals"]
    answer = await client.post("/v1/mappings/uptime/try", json={"body": up})
    (outcome,) = answer.json()["signals"]
    assert outcome["says"] == f"resolves {taken['incident_id']}"
    assert (await client.post("/ingest/generic/uptime", json=up)).status_code == 202
    incident = await client.get(f"/v1/incidents/{taken['incident_id']}")
    assert incident.json()["state"] == "resolved"
    assert incident.json()["resolved_at"] == "2026-03-20T10:12:00Z"


async def test_a_post_by_an_unknown_mapping_is_told_to_put_it_first(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post("/ingest/generic/nobody", json={})
    assert answer.status_code == 404
    assert "PUT /v1/mappings/{name}" in answer.text
