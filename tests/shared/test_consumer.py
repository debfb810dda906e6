"""What becomes of a batch when a handler fails or the database is away."""

import asyncio
from collections.abc import Callable

import pytest
import structlog
from prometheus_client import REGISTRY

from services.gateway.app import MIGRATIONS
from shared import consumer as consuming
from shared import runs
from shared.bus import Partition
from shared.consumer import (
    BATCH,
    LEAST_BATCH,
    TURN_SECONDS,
    Progress,
    consume_batch,
    consume_forever,
    fitting,
)
from shared.contracts.feedback import TOPIC
from shared.database import Database
from shared.envelope import Record
from tests.conftest import MakeDatabase
from tests.shared.deliveries import (
    GROUP,
    OneTopic,
    Topic,
    Votes,
    aside,
    bad,
    good,
    metadata,
    seen,
)


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    db = await make_database("gateway", MIGRATIONS)
    async with db.begin() as conn:
        await conn.run_sync(metadata.create_all)
    return db


@pytest.fixture
def topic() -> Topic:
    return Topic()


async def go(db: Database, topic: Topic, votes: Votes, in_a_row: int = 20) -> Progress:
    """One round of the consumer."""
    batch = await topic.poll(500, 0)
    return await consume_batch(db, topic, votes.subscription, batch, in_a_row)


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 – what it waits for tells nobody
        await asyncio.sleep(0.01)


def gauge(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"group": GROUP, **labels})


async def test_a_failing_event_holds_its_partition_alone_and_keeps_its_order(
    db: Database, topic: Topic
) -> None:
    votes = Votes(failing={"sick"})
    topic.put(good("a", 1), good("sick", 1), good("a", 2), good("a", 3))
    topic.put(good("b", 1), good("b", 2), partition=1)
    assert await go(db, topic, votes) is Progress.HELD
    assert sorted(await seen(db)) == [("a", 1), ("b", 1), ("b", 2)]
    assert topic.committed == {Partition(TOPIC, 0): 1, Partition(TOPIC, 1): 2}
    assert gauge("consumer_held", topic=TOPIC, partition="0") == 1
    assert gauge("consumer_held", topic=TOPIC, partition="1") == 0

    votes.failing.clear()
    assert await go(db, topic, votes) is Progress.DONE
    assert [one for one in await seen(db) if one[0] != "b"] == [
        ("a", 1), ("sick", 1), ("a", 2), ("a", 3),
    ]  # fmt: skip
    assert gauge("consumer_held", topic=TOPIC, partition="0") == 0


async def test_a_held_partition_still_sets_aside_what_others_hold(
    db: Database, topic: Topic
) -> None:
    votes = Votes(failing={"sick"})
    topic.put(good("sick", 1), bad("behind the sick one"))
    topic.put(bad("elsewhere"), good("b", 1), partition=1)
    assert await go(db, topic, votes) is Progress.HELD
    assert await aside(db) == [b"not JSON elsewhere"]
    votes.failing.clear()
    assert await go(db, topic, votes) is Progress.DONE
    assert await aside(db) == [b"not JSON elsewhere", b"not JSON behind the sick one"]


async def test_when_the_database_is_away_the_whole_batch_comes_again(
    db: Database, topic: Topic
) -> None:
    votes = Votes(failing={"sick"}, failure=ConnectionResetError)
    topic.put(good("a", 1), good("sick", 1), good("a", 2))
    topic.put(good("b", 1), partition=1)
    assert await go(db, topic, votes) is Progress.HELD
    assert votes.failures == 1, "one by one would have waited for each event"
    assert await seen(db) == []
    assert topic.committed == {}
    votes.failing.clear()
    assert await go(db, topic, votes) is Progress.DONE
    assert len(await seen(db)) == 4


async def test_an_id_that_is_not_ours_is_handled_once_too(db: Database, topic: Topic) -> None:
    one = good("a", 1)
    foreign = Record(one.topic, one.key, {**one.headers, "ce_id": "B234-1234-1234"}, one.value)
    topic.put(foreign, foreign)
    assert await go(db, topic, Votes()) is Progress.DONE
    topic.positions.clear()
    assert await go(db, topic, Votes()) is Progress.DONE
    assert await seen(db) == [("a", 1)]


async def test_a_halted_consumer_lives_says_so_once_and_goes_on_by_itself(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consuming, "LOOK_AGAIN_SECONDS", 0.01)
    # A logger keeps the settings of its first line, and another test may have set others since.
    monkeypatch.setattr(consuming, "logger", structlog.get_logger())
    topic, votes = Topic(), Votes()
    topic.put(*(bad(str(n)) for n in range(3)), good("a", 1))
    beats = 0

    def beat() -> None:
        nonlocal beats
        beats += 1

    bus = OneTopic(topic)
    with structlog.testing.capture_logs() as logs:
        going = asyncio.create_task(consume_forever(db, bus, votes.subscription, beat, in_a_row=2))
        async with asyncio.timeout(10):
            await until(lambda: beats >= 5)
            assert gauge("consumer_halted") == 1
            assert await aside(db) == [b"not JSON 0", b"not JSON 1"]
            async with db.begin() as conn:
                await runs.resume(conn, GROUP)
            await until(lambda: topic.committed[Partition(TOPIC, 0)] == 4)
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
    assert await seen(db) == [("a", 1)]
    assert gauge("consumer_halted") == 0
    errors = [log["event"] for log in logs if log["log_level"] == "error"]
    assert len(errors) == 1
    assert "groundswell dead-letters resume" in errors[0]


def test_a_batch_is_as_large_as_fits_into_a_turn() -> None:
    assert fitting(100, 100, 0.01) == 200
    assert fitting(BATCH, BATCH, 0.01) == BATCH
    assert fitting(100, 7, 0.01) == 100
    assert fitting(800, 800, TURN_SECONDS * 4) == 200
    assert fitting(400, 400, TURN_SECONDS * 0.9) == 400
    assert fitting(500, 500, 60.0) == LEAST_BATCH
