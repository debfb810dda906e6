"""A run of dead letters stops a consumer, however often it is restarted; nothing is lost by it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from services.gateway.app import MIGRATIONS
from shared import consumer as consuming
from shared import runs
from shared.bus import Partition
from shared.consumer import Progress, consume_batch
from shared.contracts.feedback import TOPIC
from shared.database import Database
from shared.envelope import Event, Record, UnreadableEvent
from tests.conftest import MakeDatabase
from tests.shared.deliveries import GROUP, Topic, Votes, aside, bad, good, metadata, seen

FIRST, SECOND = Partition(TOPIC, 0), Partition(TOPIC, 1)


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    db = await make_database("gateway", MIGRATIONS)
    async with db.begin() as conn:
        await conn.run_sync(metadata.create_all)
    return db


@pytest.fixture
def topic() -> Topic:
    return Topic()


@contextmanager
def bad_release() -> Iterator[None]:
    """Code that can read nothing of what it reads otherwise."""

    def can_not(record: Record) -> Event:
        raise UnreadableEvent("this release can't")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(consuming, "decode", can_not)
        yield


async def go(db: Database, topic: Topic, in_a_row: int = 20, at_once: int = 500) -> Progress:
    """Rounds of the consumer until it is done, or stops."""
    while batch := await topic.poll(at_once, 0):
        progress = await consume_batch(db, topic, Votes().subscription, batch, in_a_row)
        if progress is not Progress.DONE:
            return progress
    return Progress.DONE


@pytest.mark.parametrize("at_once", [1, 7, 500])
async def test_a_run_stops_the_consumer_and_the_next_is_not_set_aside(
    db: Database, topic: Topic, at_once: int
) -> None:
    topic.put(good("a", 1), *(bad(str(n)) for n in range(25)), good("a", 2))
    assert await go(db, topic, at_once=at_once) is Progress.HALTED
    assert len(await aside(db)) == 20
    assert await seen(db) == [("a", 1)], "what stands before the stop is done"
    assert topic.committed == {FIRST: 21}
    assert topic.positions[FIRST] == 21


@pytest.mark.parametrize("at_once", [1, 500])
async def test_readable_events_between_end_a_run(db: Database, topic: Topic, at_once: int) -> None:
    for n in range(3):
        topic.put(*(bad(f"{n}.{m}") for m in range(19)), good("a", n))
    assert await go(db, topic, at_once=at_once) is Progress.DONE
    assert len(await aside(db)) == 57
    assert await seen(db) == [("a", 0), ("a", 1), ("a", 2)]


async def test_restarts_do_not_let_a_run_through_piece_by_piece(db: Database, topic: Topic) -> None:
    topic.put(*(bad(str(n)) for n in range(100)))
    for _ in range(4):
        assert await go(db, topic) is Progress.HALTED
        topic.restart()
    assert len(await aside(db)) == 20


async def test_what_is_delivered_again_lengthens_no_run(db: Database, topic: Topic) -> None:
    topic.put(*(bad(str(n)) for n in range(15)))
    for _ in range(3):
        topic.forgetful = True
        with pytest.raises(ConnectionError):
            await go(db, topic)
        topic.restart()
        topic.put(bad("one more"))
    assert await go(db, topic) is Progress.DONE
    assert len(await aside(db)) == 18


@pytest.mark.parametrize("at_once", [1, 10, 500])
async def test_what_is_delivered_again_ends_no_run(
    db: Database, topic: Topic, at_once: int
) -> None:
    event = good("a", 1)
    topic.put(event, *(bad(str(n)) for n in range(15)), event, *(bad(str(n)) for n in range(6)))
    assert await go(db, topic, at_once=at_once) is Progress.HALTED
    assert len(await aside(db)) == 20


@pytest.mark.parametrize("at_once", [1, 500])
async def test_a_release_that_can_read_again_goes_on_and_loses_nothing(
    db: Database, topic: Topic, at_once: int
) -> None:
    topic.put(*(good("a", n) for n in range(20)), *(good("b", n) for n in range(20, 40)))
    with bad_release():
        assert await go(db, topic, at_once=at_once) is Progress.HALTED
        topic.restart()
        assert await go(db, topic, at_once=at_once) is Progress.HALTED
    topic.restart()
    assert await go(db, topic, at_once=at_once) is Progress.DONE
    assert await seen(db) == [("b", n) for n in range(20, 40)]
    assert len(await aside(db)) == 20, "the first twenty wait for their replay"
    async with db.read() as conn:
        assert await runs.load(conn, GROUP) == runs.Run()


async def test_what_another_partition_holds_does_not_end_a_stop(db: Database, topic: Topic) -> None:
    topic.put(*(bad(str(n)) for n in range(60)))
    assert await go(db, topic) is Progress.HALTED
    for votes in range(5):
        topic.put(good("b", votes), partition=1)
        topic.log.insert(0, topic.log.pop())
        topic.restart()
        assert await go(db, topic) is Progress.HALTED
    assert len(await aside(db)) == 20
    assert topic.committed[FIRST] == 20
    assert await seen(db) == [("b", votes) for votes in range(5)]


async def test_a_run_that_a_person_lets_pass_goes_aside_up_to_the_next(
    db: Database, topic: Topic
) -> None:
    topic.put(*(bad(str(n)) for n in range(45)), good("a", 1))
    assert await go(db, topic) is Progress.HALTED
    for expected in (40, 45):
        async with db.begin() as conn:
            passed = await runs.resume(conn, GROUP)
        assert passed.length == 20
        assert passed.stop is not None
        await go(db, topic)
        assert len(await aside(db)) == expected
    assert await seen(db) == [("a", 1)]


async def test_a_stop_ends_where_its_record_is_gone_and_later_ones_can_be_read(
    db: Database, topic: Topic
) -> None:
    """A broker forgets what is old, whether somebody stopped there or not."""
    topic.put(*(bad(str(n)) for n in range(30)), good("a", 1), bad("later"), good("a", 2))
    assert await go(db, topic) is Progress.HALTED
    topic.log = [one for one in topic.log if one.offset >= 30]
    topic.restart()
    assert await go(db, topic) is Progress.DONE
    assert await seen(db) == [("a", 1), ("a", 2)]
    assert (await aside(db))[-1] == b"not JSON later"


async def test_a_longer_limit_lets_more_aside_after_a_restart(db: Database, topic: Topic) -> None:
    topic.put(*(bad(str(n)) for n in range(30)))
    assert await go(db, topic, in_a_row=20) is Progress.HALTED
    topic.restart()
    topic.put(good("b", 1), partition=1)
    assert await go(db, topic, in_a_row=40) is Progress.DONE
    assert len(await aside(db)) == 30
    assert await seen(db) == [("b", 1)]
    async with db.read() as conn:
        assert await runs.load(conn, GROUP) == runs.Run(), "it is past its stop"


async def test_a_run_and_a_failing_handler_stop_both_where_they_are(
    db: Database, topic: Topic
) -> None:
    votes = Votes(failing={"sick"})
    topic.put(good("sick", 1), good("a", 1), *(bad(str(n)) for n in range(30)))
    topic.put(*(bad(f"second {n}") for n in range(30)), partition=1)
    batch = await topic.poll(500, 0)
    assert await consume_batch(db, topic, votes.subscription, batch) is Progress.HALTED
    assert topic.positions == {FIRST: 0, SECOND: 20}
    assert len(await aside(db)) == 20
    assert await seen(db) == []


async def test_a_run_that_shows_only_one_by_one_leaves_the_rest_where_it_is(
    db: Database, topic: Topic
) -> None:
    """What failed was readable, but is not done: it ends no run."""
    votes = Votes(failing={"sick"})
    topic.put(*(bad(str(n)) for n in range(15)))
    topic.put(good("sick", 1), partition=1)
    topic.put(*(bad(str(n)) for n in range(15, 25)))
    topic.put(good("b", 1), partition=2)
    batch = await topic.poll(500, 0)
    assert await consume_batch(db, topic, votes.subscription, batch) is Progress.HALTED
    assert topic.positions == {FIRST: 20, SECOND: 0, Partition(TOPIC, 2): 0}
    assert len(await aside(db)) == 20

    votes.failing.clear()
    async with db.begin() as conn:
        await runs.resume(conn, GROUP)
    assert await go(db, topic) is Progress.DONE
    assert sorted(await seen(db)) == [("b", 1), ("sick", 1)]
    assert len(await aside(db)) == 25
