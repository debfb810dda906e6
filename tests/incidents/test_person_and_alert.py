"""Where a person's word and an alert's meet on one incident."""

from datetime import timedelta
from typing import Any

import httpx

from shared.clock import rfc3339
from shared.database import Database
from tests.conftest import MovingClock
from tests.incidents.conftest import published


def firing(clock: MovingClock, minutes_ago: float = 0, **more: Any) -> dict[str, Any]:
    starts_at = rfc3339(clock.now - timedelta(minutes=minutes_ago))
    return {"title": "Disk full", "fingerprint": "f1", "starts_at": starts_at, **more}


async def sent(client: httpx.AsyncClient, signal: dict[str, Any]) -> str:
    answer = await client.post("/v1/signals", json=signal)
    return answer.json()["signals"][0]["incident_id"]


async def state(client: httpx.AsyncClient, incident_id: str) -> str:
    return (await client.get(f"/v1/incidents/{incident_id}")).json()["state"]


async def test_an_acknowledged_incident_is_resolved_by_its_alert(
    client: httpx.AsyncClient, clock: MovingClock, db: Database
) -> None:
    signal = firing(clock, 5)
    incident_id = await sent(client, signal)
    await client.post(f"/v1/incidents/{incident_id}/acknowledge")
    await sent(client, {**signal, "status": "resolved", "ends_at": rfc3339(clock.now)})
    assert await state(client, incident_id) == "resolved"
    assert (await published(db))[-1] == "incident.resolved"


async def test_what_a_person_resolved_stays_so_though_the_alert_repeats_and_ends(
    client: httpx.AsyncClient, clock: MovingClock, db: Database
) -> None:
    signal = firing(clock, 30)
    incident_id = await sent(client, signal)
    at = rfc3339(clock.now - timedelta(minutes=20))
    await client.post(f"/v1/incidents/{incident_id}/resolve", json={"at": at})
    before = await published(db)
    assert await sent(client, signal) == incident_id
    over = {**signal, "status": "resolved", "ends_at": rfc3339(clock.now)}
    assert await sent(client, over) == incident_id
    assert await state(client, incident_id) == "resolved"
    assert await published(db) == before


async def test_a_new_occurrence_soon_after_reopens_what_a_person_resolved(
    client: httpx.AsyncClient, clock: MovingClock
) -> None:
    incident_id = await sent(client, firing(clock, 30))
    at = rfc3339(clock.now - timedelta(minutes=5))
    await client.post(f"/v1/incidents/{incident_id}/resolve", json={"at": at})
    assert await sent(client, firing(clock, 1)) == incident_id
    assert await state(client, incident_id) == "open"


async def test_a_closed_incident_stays_closed_and_the_alert_opens_another(
    client: httpx.AsyncClient, clock: MovingClock
) -> None:
    incident_id = await sent(client, firing(clock, 30))
    for verb in ("resolve", "close"):
        await client.post(f"/v1/incidents/{incident_id}/{verb}")
    clock.move(minutes=1)
    other = await sent(client, firing(clock))
    assert other != incident_id
    assert await state(client, incident_id) == "closed"


async def test_an_incident_is_not_reopened_beside_a_newer_one_of_its_alert(
    client: httpx.AsyncClient, clock: MovingClock
) -> None:
    began = firing(clock, 120)
    over = {**began, "status": "resolved", "ends_at": rfc3339(clock.now - timedelta(minutes=90))}
    older = await sent(client, over)
    newer = await sent(client, firing(clock, 1))
    answer = await client.post(f"/v1/incidents/{older}/reopen")
    assert answer.status_code == 409
    assert newer in answer.json()["detail"]


async def test_an_incident_reopened_by_a_person_is_not_resolved_by_an_older_end(
    client: httpx.AsyncClient, clock: MovingClock
) -> None:
    began = firing(clock, 120)
    over = {**began, "status": "resolved", "ends_at": rfc3339(clock.now - timedelta(minutes=90))}
    incident_id = await sent(client, over)
    await client.post(f"/v1/incidents/{incident_id}/reopen")
    late = firing(clock, 100, status="resolved", ends_at=rfc3339(clock.now - timedelta(minutes=95)))
    assert await sent(client, late) == incident_id
    assert await state(client, incident_id) == "open"


async def test_signals_follow_when_a_late_end_parts_an_incident(
    client: httpx.AsyncClient, clock: MovingClock
) -> None:
    first = firing(clock, 120)
    older = await sent(client, first)
    second = (await client.post("/v1/signals", json=firing(clock, 30))).json()["signals"][0]
    assert second["incident_id"] == older
    ended = rfc3339(clock.now - timedelta(minutes=110))
    await sent(client, {**first, "status": "resolved", "ends_at": ended})
    moved = (await client.get(f"/v1/signals/{second['id']}")).json()["incident_id"]
    assert moved != older
    assert (await state(client, older), await state(client, moved)) == ("resolved", "open")
    assert len((await client.get(f"/v1/incidents/{moved}/signals")).json()["items"]) == 1
