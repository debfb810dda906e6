"""The life of an incident through its API: steps, refusals, timeline, versions."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.incidents.incidents import commands, store
from services.incidents.incidents.incident import begin
from shared.clock import rfc3339
from shared.database import Database
from tests.conftest import MovingClock
from tests.incidents.conftest import outbox_rows, published

STEPS = ("acknowledge", "mitigate", "resolve", "close", "reopen")

REACHED: dict[str, tuple[str, ...]] = {
    "open": (),
    "acknowledged": ("acknowledge",),
    "mitigated": ("mitigate",),
    "resolved": ("resolve",),
    "closed": ("resolve", "close"),
}

TABLE: dict[tuple[str, str], str] = {
    ("open", "acknowledge"): "acknowledged",
    ("open", "mitigate"): "mitigated",
    ("open", "resolve"): "resolved",
    ("acknowledged", "mitigate"): "mitigated",
    ("acknowledged", "resolve"): "resolved",
    ("mitigated", "resolve"): "resolved",
    ("resolved", "close"): "closed",
    ("resolved", "reopen"): "open",
    ("closed", "reopen"): "open",
}
"""Every step that is taken; all others are refused."""


async def opened(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    body = {"title": "Checkout is slow", "service": "checkout", "severity": "high", **more}
    answer = await client.post("/v1/incidents", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.mark.parametrize("state", REACHED)
async def test_the_state_table_cell_by_cell(
    client: httpx.AsyncClient, db: Database, state: str
) -> None:
    for step in STEPS:
        incident = await opened(client)
        path = f"/v1/incidents/{incident['id']}"
        for before in REACHED[state]:
            incident = (await client.post(f"{path}/{before}")).json()
        assert incident["state"] == state
        said = await published(db)
        answer = await client.post(f"{path}/{step}")
        if (state, step) in TABLE:
            assert answer.status_code == 200
            assert answer.json()["state"] == TABLE[state, step]
            assert len(await published(db)) == len(said) + 1
        else:
            assert answer.status_code == 409, step
            assert (await client.get(path)).json()["state"] == state
            assert await published(db) == said


async def test_a_whole_life_is_in_the_timeline_and_on_the_wire(
    client: httpx.AsyncClient, db: Database, clock: MovingClock
) -> None:
    incident = await opened(client, labels={"region": "eu"}, description="p99 over 4 s")
    path = f"/v1/incidents/{incident['id']}"
    steps: list[tuple[str, dict[str, Any]]] = [
        ("acknowledge", {}),
        ("assign", {"assignee": "ada"}),
        ("severity", {"severity": "critical"}),
        ("impact", {"customers_affected": 40, "revenue_at_risk": 1200.5, "responder_hours": 3}),
        ("links", {"kind": "problem", "reference": "PRB-7"}),
        ("comments", {"text": "Rolled back."}),
        ("mitigate", {}),
        ("resolve", {}),
        ("reopen", {}),
        ("resolve", {}),
        ("close", {}),
    ]
    for verb, body in steps:
        clock.move(seconds=1)
        answer = await client.post(f"{path}/{verb}", json=body)
        assert answer.status_code == 200, answer.text
    kinds = [
        "opened",
        "acknowledged",
        "assigned",
        "severity_changed",
        "impact_assessed",
        "linked",
        "commented",
        "mitigated",
        "resolved",
        "reopened",
        "resolved",
        "closed",
    ]
    timeline = (await client.get(f"{path}/timeline")).json()["items"]
    assert [entry["kind"] for entry in timeline] == kinds
    assert [entry["version"] for entry in timeline] == list(range(1, len(kinds) + 1))
    assert timeline[6]["data"]["text"] == "Rolled back."
    assert timeline[1]["actor"] == "tester"
    rows = await outbox_rows(db)
    assert await published(db) == [f"incident.{kind}" for kind in kinds]
    assert [row.headers["ce_aggregateversion"] for row in rows] == [
        str(version) for version in range(1, len(kinds) + 1)
    ]
    assert {row.headers["ce_correlationid"] for row in rows} == {incident["id"]}
    assert b"Rolled back" not in b"".join(row.value for row in rows)
    detail = (await client.get(path)).json()
    assert (detail["resolutions"], detail["reopenings"]) == (2, 1)
    assert detail["links"] == [{"kind": "problem", "reference": "PRB-7"}]


async def test_the_stored_incident_is_the_fold_of_its_log(
    client: httpx.AsyncClient, db: Database
) -> None:
    incident = await opened(
        client, external_ref="INC-1", links=[{"kind": "change", "reference": "C1"}]
    )
    path = f"/v1/incidents/{incident['id']}"
    for verb, body in (
        ("links", {"kind": "ticket", "reference": "T-1"}),
        ("comments", {"text": "hm"}),
        ("impact", {"customers_affected": 2}),
        ("resolve", {}),
        ("reopen", {}),
    ):
        await client.post(f"{path}/{verb}", json=body)
    async with db.begin() as conn:
        stored = (await store.load(conn, [incident["id"]]))[incident["id"]]
        first, *rest = await store.entries_of(conn, incident["id"])
    assert commands.folded(begin(first), rest) == stored


async def test_what_is_so_already_publishes_nothing(
    client: httpx.AsyncClient, db: Database
) -> None:
    incident = await opened(client, customers_affected=3)
    path = f"/v1/incidents/{incident['id']}"
    same: list[tuple[str, dict[str, Any]]] = [
        ("severity", {"severity": "high"}),
        ("assign", {"assignee": None}),
        ("impact", {"customers_affected": 3}),
    ]
    for verb, body in same:
        answer = await client.post(f"{path}/{verb}", json=body)
        assert (answer.status_code, answer.json()["version"]) == (200, 1)
    link = {"kind": "ticket", "reference": "T-1"}
    for _ in range(2):
        assert (await client.post(f"{path}/links", json=link)).json()["version"] == 2
    assert await published(db) == ["incident.opened", "incident.linked"]


async def test_a_step_before_the_incident_began_is_refused(
    client: httpx.AsyncClient, clock: MovingClock
) -> None:
    incident = await opened(client)
    at = rfc3339(clock.now - timedelta(minutes=1))
    answer = await client.post(f"/v1/incidents/{incident['id']}/resolve", json={"at": at})
    assert answer.status_code == 422
    assert "before the incident was opened" in answer.json()["detail"]


async def test_a_step_is_dated_when_it_happened(
    client: httpx.AsyncClient, clock: MovingClock
) -> None:
    began, ended = clock.now - timedelta(hours=3), clock.now - timedelta(hours=1)
    incident = await opened(client, opened_at=rfc3339(began))
    path = f"/v1/incidents/{incident['id']}"
    answer = await client.post(f"{path}/resolve", json={"at": rfc3339(ended)})
    assert answer.json()["resolved_at"] == ended.isoformat().replace("+00:00", "Z")
    early = await client.post(f"{path}/reopen", json={"at": rfc3339(began)})
    assert early.status_code == 422


async def test_a_stale_if_match_is_refused(client: httpx.AsyncClient) -> None:
    incident = await opened(client)
    path = f"/v1/incidents/{incident['id']}"
    seen = await client.post(f"{path}/acknowledge", headers={"If-Match": '"1"'})
    stale = await client.post(f"{path}/resolve", headers={"If-Match": '"1"'})
    assert (seen.status_code, seen.headers["ETag"], stale.status_code) == (200, '"2"', 412)


async def test_a_record_posted_again_is_the_same_incident(
    client: httpx.AsyncClient, db: Database
) -> None:
    incident = await opened(client, source="servicenow", external_ref="INC0001")
    body = {"title": "Other", "severity": "low", "source": "servicenow", "external_ref": "INC0001"}
    again = await client.post("/v1/incidents", json=body)
    assert (again.status_code, again.json()) == (200, incident)
    elsewhere = await client.post("/v1/incidents", json={**body, "source": "jira"})
    assert elsewhere.status_code == 201
    assert await published(db) == ["incident.opened"] * 2


async def test_an_idempotency_key_opens_once(client: httpx.AsyncClient, db: Database) -> None:
    body = {"title": "Checkout is slow", "severity": "low"}
    headers = {"Idempotency-Key": "k1"}
    first = await client.post("/v1/incidents", json=body, headers=headers)
    again = await client.post("/v1/incidents", json=body, headers=headers)
    assert (again.status_code, again.text) == (first.status_code, first.text)
    assert await published(db) == ["incident.opened"]


async def test_unknown_incidents_are_not_found(client: httpx.AsyncClient) -> None:
    for path in ("", "/timeline", "/signals"):
        assert (await client.get(f"/v1/incidents/inc_nope{path}")).status_code == 404
    assert (await client.post("/v1/incidents/inc_nope/resolve")).status_code == 404
