"""The background work: what is published reaches the bus, what expires ends, what is heard is kept."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import httpx
from sqlalchemy import func, select

from services.incidents.settings import IncidentsSettings
from services.incidents.worker import jobs
from shared.bus import EmbeddedBus
from shared.clock import rfc3339
from shared.contracts import incidents as said
from shared.contracts.feedback import EvidenceRecorded
from shared.database import Database, sqlite_url
from shared.envelope import decode, encode
from shared.outbox import outbox
from shared.supervisor import Supervisor
from tests.conftest import MovingClock
from tests.incidents.test_themes import recorded


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_the_jobs_carry_an_incident_from_expiry_to_the_bus_and_hear_its_theme(
    client: httpx.AsyncClient, db: Database, clock: MovingClock, tmp_path: Path
) -> None:
    bus = EmbeddedBus(sqlite_url(tmp_path, "bus.sqlite3"))
    await bus.start()
    alert = {
        "labels": {"alertname": "DiskFull"},
        "startsAt": rfc3339(clock.now),
        "endsAt": rfc3339(clock.now + timedelta(minutes=4)),
    }
    assert (await client.post("/api/v2/alerts", json=[alert])).status_code == 200
    (incident,) = (await client.get("/v1/incidents")).json()["items"]
    clock.move(minutes=10)
    supervisor = Supervisor(jobs(db, bus, clock, IncidentsSettings(expiry_grace_seconds=0)))
    listener = await bus.join("test", (said.TOPIC,))
    supervisor.start()
    try:
        path = f"/v1/incidents/{incident['id']}"

        async def resolved() -> bool:
            return (await client.get(path)).json()["state"] == "resolved"

        async def themed() -> bool:
            return (await client.get(path)).json()["theme_id"] == "thm_1"

        async def drained() -> bool:
            async with db.read() as conn:
                count = select(func.count()).select_from(outbox)
                return (await conn.execute(count)).scalar_one() == 0

        await until(resolved)
        await until(drained)
        heard = [decode(one.record).type for one in await listener.poll(10, 5)]
        assert heard == [said.IncidentOpened.TYPE, said.IncidentResolved.TYPE]
        evidence = recorded("thm_1", incident["id"])
        assert isinstance(evidence.data, EvidenceRecorded)
        await bus.send([encode(evidence)])
        await until(themed)
        assert supervisor.stuck() == []
    finally:
        await supervisor.stop()
        await listener.close()
        await bus.stop()
