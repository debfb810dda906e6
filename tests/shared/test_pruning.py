"""What is forgotten, what is kept, and that it takes small steps."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import Table, func, insert, select, update

from services.gateway.app import MIGRATIONS
from shared import outbox, pruning
from shared.bus import EmbeddedBus
from shared.bus.embedded import log
from shared.consumer import Progress, consume_batch
from shared.database import Database, sqlite_url
from shared.dead_letters import dead_letters
from shared.envelope import Record
from shared.http.idempotency import idempotency_keys
from shared.inbox import inbox
from shared.pruning import prune
from shared.upkeep import Upkeep
from tests.conftest import MakeDatabase
from tests.shared.deliveries import TOPIC, Topic, Votes, good, metadata, seen, voted

NOW = datetime(2026, 6, 1, tzinfo=UTC)
UPKEEP = Upkeep(inbox_days=40, idempotency_days=7, dead_letter_days=90)


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def beat() -> None:
    """Nobody watches."""


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    return await make_database("gateway", MIGRATIONS)


async def put(db: Database, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    async with db.begin() as conn:
        await conn.execute(insert(table), list(rows))


async def left(db: Database, column: Any) -> list[Any]:
    async with db.read() as conn:
        return list((await conn.execute(select(column).order_by(column))).scalars())


def claimed(consumer: str, event_id: str, at: datetime) -> dict[str, Any]:
    return {"consumer": consumer, "event_id": event_id, "claimed_at": at}


async def test_old_claims_are_forgotten_and_young_ones_are_kept(db: Database) -> None:
    await put(
        db,
        inbox,
        [
            claimed("c", "old", ago(40.1)),
            claimed("c", "young", ago(39.9)),
            claimed("c", "newest", ago(0)),
        ],
    )
    assert (await prune(db, UPKEEP, NOW, beat))["inbox"] == 1
    assert await left(db, inbox.c.event_id) == ["newest", "young"]
    assert (await prune(db, UPKEEP, NOW, beat))["inbox"] == 0


async def test_what_a_consumer_did_last_is_kept_however_long_it_was_away(db: Database) -> None:
    await put(
        db,
        inbox,
        [
            claimed("away", "before", ago(441)),
            claimed("away", "earlier", ago(439)),
            claimed("away", "last", ago(400)),
            claimed("busy", "gone", ago(400)),
            claimed("busy", "now", ago(0)),
        ],
    )
    assert (await prune(db, UPKEEP, NOW, beat))["inbox"] == 2
    assert await left(db, inbox.c.event_id) == ["earlier", "last", "now"]


async def test_what_was_done_before_a_long_absence_is_not_done_again(db: Database) -> None:
    """Died between its transaction and the offset, long ago; pruned at the start; delivered again."""
    async with db.begin() as conn:
        await conn.run_sync(metadata.create_all)
    topic, votes = Topic(), Votes()
    topic.put(good("a", 1), good("a", 2))
    topic.forgetful = True
    with pytest.raises(ConnectionError):
        await consume_batch(db, topic, votes.subscription, await topic.poll(500, 0))
    async with db.begin() as conn:
        await conn.execute(update(inbox).values(claimed_at=ago(365)))
    await prune(db, UPKEEP, NOW, beat)
    topic.restart()
    batch = await topic.poll(500, 0)
    assert await consume_batch(db, topic, votes.subscription, batch) is Progress.DONE
    assert await seen(db) == [("a", 1), ("a", 2)]


async def test_idempotency_keys_are_kept_a_week(db: Database) -> None:
    await put(
        db,
        idempotency_keys,
        [
            {
                "actor": actor,
                "key": key,
                "request_hash": "h",
                "status": 200,
                "answer": "{}",
                "recorded_at": ago(days),
            }
            for actor, key, days in (("a", "old", 7.1), ("a", "young", 6.9), ("b", "old too", 90))
        ],
    )
    assert (await prune(db, UPKEEP, NOW, beat))["idempotency_keys"] == 2
    assert await left(db, idempotency_keys.c.key) == ["young"]


async def test_a_dead_letter_is_forgotten_only_after_its_replay(db: Database) -> None:
    await put(
        db,
        dead_letters,
        [
            {
                "id": name,
                "consumer": "c",
                "topic": TOPIC,
                "partition": 0,
                "offset": number,
                "key": "",
                "headers": {},
                "value": b"",
                "reason": "",
                "recorded_at": ago(1000),
                "digest": "",
                "replayed_at": replayed_at,
            }
            for number, (name, replayed_at) in enumerate(
                [("waits", None), ("long ago", ago(90.1)), ("lately", ago(89.9))]
            )
        ],
    )
    assert (await prune(db, UPKEEP, NOW, beat))["dead_letters"] == 1
    assert await left(db, dead_letters.c.id) == ["lately", "waits"]


async def test_it_goes_in_small_steps_and_beats_at_each(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "BATCH", 10)
    await put(db, inbox, [claimed("c", f"e{n:02}", ago(100 + n)) for n in range(35)])
    await put(db, inbox, [claimed("c", "now", ago(0))])
    beats = 0

    def count() -> None:
        nonlocal beats
        beats += 1

    assert (await prune(db, UPKEEP, NOW, count))["inbox"] == 35
    assert beats >= 4
    assert await left(db, inbox.c.event_id) == ["now"]


async def test_the_outbox_is_emptied_by_the_relay(db: Database, tmp_path: Path) -> None:
    bus = EmbeddedBus(sqlite_url(tmp_path, "bus.sqlite3"))
    await bus.start()
    async with db.begin() as conn:
        await outbox.publish(conn, [voted("a", n) for n in range(3)])
    assert await outbox.relay_once(db, bus) == 3
    assert await left(db, outbox.outbox.c.seq) == []
    await bus.stop()


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[EmbeddedBus]:
    bus = EmbeddedBus(sqlite_url(tmp_path, "bus.sqlite3"))
    await bus.start()
    yield bus
    await bus.stop()


async def send(bus: EmbeddedBus, count: int, days_ago: float) -> None:
    """Records of every partition, appended then."""
    before = await left(bus.db, log.c.offset)
    await bus.send([Record(TOPIC, f"k{n}", {}, b"") for n in range(count)])
    appended = update(log).where(log.c.offset > max(before, default=0))
    async with bus.db.begin() as conn:
        await conn.execute(appended.values(appended_at=ago(days_ago)))


async def commit_all(bus: EmbeddedBus, group: str) -> None:
    consumer = await bus.join(group, [TOPIC])
    while batch := await consumer.poll(1000, 0.01):
        await consumer.commit({one.partition: one.offset + 1 for one in batch})
    await consumer.close()


async def test_the_log_forgets_old_records_that_every_group_has_committed(
    bus: EmbeddedBus,
) -> None:
    await send(bus, 40, days_ago=8)
    await commit_all(bus, "one")
    await send(bus, 40, days_ago=6)
    await commit_all(bus, "two")
    assert await bus.prune(ago(7)) == 40
    assert len(await left(bus.db, log.c.offset)) == 40
    await commit_all(bus, "one")
    assert await bus.prune(ago(7)) == 0
    assert await bus.prune(ago(5)) == 40


async def test_a_group_that_joined_and_never_committed_holds_the_log(
    bus: EmbeddedBus, tmp_path: Path
) -> None:
    await send(bus, 20, days_ago=100)
    await bus.join("slow", [TOPIC])
    await commit_all(bus, "quick")
    assert await bus.prune(ago(7)) == 0

    again = EmbeddedBus(sqlite_url(tmp_path, "bus.sqlite3"))
    await again.start()
    assert await again.prune(ago(7)) == 0, "before anybody has joined again"
    slow = await again.join("slow", [TOPIC])
    assert len(await slow.poll(100, 1)) == 20
    await again.stop()


async def test_a_topic_that_nobody_ever_joined_is_kept(bus: EmbeddedBus) -> None:
    await send(bus, 10, days_ago=100)
    assert await bus.prune(ago(7)) == 0
    assert len(await left(bus.db, log.c.offset)) == 10


async def test_an_emptied_log_goes_on_counting(bus: EmbeddedBus, tmp_path: Path) -> None:
    await send(bus, 10, days_ago=100)
    await commit_all(bus, "one")
    assert await bus.prune(ago(7)) == 10
    again = EmbeddedBus(sqlite_url(tmp_path, "bus.sqlite3"))
    await again.start()
    consumer = await again.join("one", [TOPIC])
    assert await consumer.poll(10, 0.01) == []
    assert sum((await consumer.lag()).values()) == 0
    await again.send([Record(TOPIC, f"k{n}", {}, b"") for n in range(4)])
    assert len(await consumer.poll(10, 1)) == 4
    async with again.db.read() as conn:
        assert (await conn.execute(select(func.min(log.c.offset)))).scalar_one() == 11
    await again.stop()


def test_an_inbox_shorter_than_the_topics_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDSWELL_KAFKA_RETENTION_DAYS", "10")
    with pytest.raises(ValidationError, match="make it longer"):
        Upkeep(inbox_days=10)
    assert Upkeep(inbox_days=11).inbox_kept == timedelta(days=11)
    assert Upkeep().inbox_kept == timedelta(days=20)
    monkeypatch.setenv("GROUNDSWELL_KAFKA_RETENTION_DAYS", "1")
    assert Upkeep().inbox_kept == timedelta(days=14)
    monkeypatch.setenv("GROUNDSWELL_INBOX_DAYS", "1")
    with pytest.raises(ValidationError, match="would count twice"):
        Upkeep()
