"""The background work: consumer, relay, the snooze timer, the gauges."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import select

from services.roadmap import worker
from services.roadmap.consumers import SUBSCRIPTION
from shared.bus import EmbeddedBus
from shared.clock import parse_rfc3339
from shared.contracts.roadmap import TOPIC, CandidateRaised
from shared.database import Database, sqlite_url
from shared.envelope import decode, encode
from shared.outbox import outbox
from shared.supervisor import Supervisor
from tests.conftest import MovingClock
from tests.roadmap.conftest import Hear
from tests.roadmap.saying import ago, escalated, types


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[EmbeddedBus]:
    bus = EmbeddedBus(sqlite_url(tmp_path, "bus.sqlite3"))
    await bus.start()
    yield bus
    await bus.stop()


async def pending(db: Database) -> bool:
    async with db.read() as conn:
        return bool((await conn.execute(select(outbox))).all())


async def test_an_escalation_on_the_bus_comes_back_as_a_candidate_on_the_bus(
    db: Database, bus: EmbeddedBus, clock: MovingClock
) -> None:
    supervisor = Supervisor(worker.jobs(db, bus, clock))
    listener = await bus.join("test", [TOPIC])
    supervisor.start()
    try:
        await bus.send([encode(escalated())] * 2)
        async with asyncio.timeout(10):
            while not (heard := await listener.poll(10, 0.2)):
                continue
            while await pending(db):  # what was sent is forgotten a moment after it was heard
                continue
    finally:
        await supervisor.stop()
        await listener.close()
    (raised,) = [decode(one.record).data for one in heard]
    assert isinstance(raised, CandidateRaised)
    assert raised.theme_id == "thm_a"
    assert {name.split(".")[1] for name in supervisor.jobs} >= {"relay", "consumer", "wake"}


async def test_a_snoozed_candidate_wakes_when_its_time_has_come(
    client: httpx.AsyncClient, hear: Hear, db: Database, clock: MovingClock
) -> None:
    await hear(escalated())
    (candidate,) = (await client.get("/v1/candidates")).json()["items"]
    until = clock.now + timedelta(days=7)
    path = f"/v1/candidates/{candidate['id']}"
    await client.post(f"{path}/snooze", json={"until": until.isoformat()})
    clock.move(days=6, hours=23)
    await worker.wake(db, clock)
    assert (await client.get(path)).json()["state"] == "snoozed"
    clock.move(hours=2)
    await worker.wake(db, clock)
    await worker.wake(db, clock)
    woken = (await client.get(path)).json()
    assert (woken["state"], woken["until"], woken["rank"]) == ("open", None, 1)
    assert parse_rfc3339(woken["decisions"][-1]["at"]) == until
    assert (await types(db))[-2:] == ["candidate.snoozed", "candidate.returned"]


async def test_the_gauges_say_what_waits(
    client: httpx.AsyncClient, hear: Hear, db: Database, clock: MovingClock
) -> None:
    await hear(escalated("thm_a", at=ago(days=3)), escalated("thm_b", at=ago(days=1)))
    await client.post("/v1/items", json={"title": "t", "product": "p"})
    clock.now = ago(days=0)
    await worker.measure(db, clock)
    value = REGISTRY.get_sample_value
    assert value("roadmap_candidates", {"state": "open"}) == 2
    assert value("roadmap_candidates", {"state": "declined"}) == 0
    assert value("roadmap_items", {"state": "planned"}) == 1
    assert value("roadmap_oldest_open_candidate_age_seconds") == 3 * 86400
    assert value("outbox_pending", {"service": "roadmap"}) == 3


async def test_the_time_from_signal_to_candidate_is_measured_where_the_story_says_when_it_began(
    hear: Hear,
) -> None:
    before = REGISTRY.get_sample_value("signal_to_candidate_seconds_count") or 0.0
    await hear(escalated("thm_a"))
    assert REGISTRY.get_sample_value("signal_to_candidate_seconds_count") == before


def test_the_service_listens_to_what_it_says_it_does() -> None:
    assert {name.split(".", 1)[1] for name in SUBSCRIPTION.types} == {
        "theme.escalated.v1",
        "theme.evidence_changed.v1",
        "theme.quieted.v1",
        "theme.merged.v1",
        "outcome.assessed.v1",
    }
