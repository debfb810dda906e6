"""The relay on both engines: in order, at least once, one at a time, and back soon after trouble."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select

from shared import outbox
from shared.bus.bus import Bus
from shared.contracts.feedback import FeedbackVoted
from shared.database import Database
from shared.envelope import Event, Record
from shared.ids import new_id
from tests.engines.stores import PostgresStore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATIENCE = 20


class FakeBus:
    """Takes records, slowly if told so; refuses or hangs while told so."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.slowness = 0.0
        self.refuses = False
        self._took = asyncio.Event()

    async def until(self, count: int) -> None:
        """Wait until it has taken so many."""
        while len(self.taken) < count:
            self._took.clear()
            await self._took.wait()

    async def send(self, records: Sequence[Record]) -> None:
        if self.refuses:
            raise ConnectionError("the broker is away")
        for record in records:
            await asyncio.sleep(self.slowness)
            self.taken.append(record.headers["ce_id"])
            self._took.set()


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    db = Database(url)
    async with db.begin() as conn:
        await conn.run_sync(outbox.plumbing.create_all)
    yield db
    await db.close()


@pytest.fixture
def bus() -> Any:
    return FakeBus()


async def publish(db: Database, count: int) -> list[str]:
    """Publish events in one transaction; their ids, in order."""
    events = [
        Event(
            id=new_id("evt"),
            source="/groundswell/feedback",
            subject="fbk_1",
            time=NOON,
            version=number,
            correlation_id="cor_1",
            causation_id=None,
            traceparent=None,
            data=FeedbackVoted(feedback_id="fbk_1", votes=number, at=NOON),
        )
        for number in range(1, count + 1)
    ]
    async with db.begin() as conn:
        await outbox.publish(conn, events)
    return [event.id for event in events]


async def pending(db: Database) -> int:
    async with db.read() as conn:
        return (await conn.execute(select(func.count()).select_from(outbox.outbox))).scalar_one()


async def test_what_the_bus_took_is_forgotten_in_order(db: Database, bus: Any) -> None:
    sent = await publish(db, 3) + await publish(db, 2)
    assert await outbox.relay_once(db, bus) == 5
    assert bus.taken == sent
    assert await pending(db) == 0
    assert await outbox.relay_once(db, bus) == 0


async def test_what_the_bus_refused_waits_and_is_sent_again(db: Database, bus: Any) -> None:
    sent = await publish(db, 3)
    bus.refuses = True
    with pytest.raises(ConnectionError):
        await outbox.relay_once(db, bus)
    assert await pending(db) == 3
    bus.refuses = False
    assert await outbox.relay_once(db, bus) == 3
    assert bus.taken == sent


async def test_a_bus_that_hangs_is_given_up_and_nothing_forgotten(
    db: Database, bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish(db, 1)
    monkeypatch.setattr(outbox, "SEND_SECONDS", 0.2)
    bus.slowness = 60
    with pytest.raises(TimeoutError):
        await outbox.relay_once(db, bus)
    assert await pending(db) == 1


async def test_a_relay_comes_back_by_itself_within_seconds(db: Database, bus: FakeBus) -> None:
    bus.refuses = True
    beats: list[int] = []
    relaying = asyncio.create_task(relay(db, bus, beats))
    sent = await publish(db, 2)
    await asyncio.sleep(1.5)
    assert bus.taken == []
    bus.refuses = False
    async with asyncio.timeout(outbox.LONGEST_PAUSE + 2):
        await bus.until(2)
    assert bus.taken == sent
    assert len(beats) > 3
    relaying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await relaying


async def relay(db: Database, bus: Any, beats: list[int]) -> None:
    fake: Bus = bus
    await outbox.relay_forever("test", db, fake, lambda: beats.append(1))


@pytest.fixture
async def servers(postgres_store: PostgresStore) -> AsyncIterator[list[Database]]:
    """One database as three processes have it."""
    url = await postgres_store.empty()
    dbs = [Database(url) for _ in range(3)]
    async with dbs[0].begin() as conn:
        await conn.run_sync(outbox.plumbing.create_all)
    yield dbs
    for db in dbs:
        await db.close()
    await postgres_store.drop(url)


async def test_of_several_relays_one_sends_and_nothing_overtakes(
    servers: list[Database], bus: FakeBus
) -> None:
    bus.slowness = 0.001
    relays = [asyncio.create_task(relay(db, bus, [])) for db in servers]
    sent: list[str] = []
    for turn in range(12):
        sent += await publish(servers[turn % 3], 5)
    async with asyncio.timeout(PATIENCE):
        await bus.until(len(sent))
    await asyncio.sleep(0.2)
    assert bus.taken == sent
    for task in relays:
        task.cancel()
    await asyncio.gather(*relays, return_exceptions=True)


async def test_what_another_process_publishes_is_found_without_being_told(
    servers: list[Database], bus: FakeBus
) -> None:
    api, worker, _ = servers
    relaying = asyncio.create_task(relay(worker, bus, []))
    await asyncio.sleep(0.5)
    sent = await publish(api, 1)
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(PATIENCE):
        await bus.until(1)
    assert bus.taken == sent
    assert loop.time() - began < outbox.IDLE_SECONDS + 1
    relaying.cancel()
    await asyncio.gather(relaying, return_exceptions=True)
