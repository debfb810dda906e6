"""What every bus promises, once for each engine. A new engine joins by a line in `ENGINES`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from shared.bus import Bus, Consumer, Delivered, EmbeddedBus, Partition
from shared.database import sqlite_url
from shared.envelope import Record

ENGINES: dict[str, Callable[[Path], Bus]] = {
    "embedded": lambda folder: EmbeddedBus(sqlite_url(folder, "bus.sqlite3")),
}

TOPIC = "incidents.events"
SOON = 5.0


@pytest.fixture(params=list(ENGINES))
def make_bus(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Bus]:
    return lambda: ENGINES[request.param](tmp_path)


@pytest.fixture
async def bus(make_bus: Callable[[], Bus]) -> AsyncIterator[Bus]:
    bus = make_bus()
    await bus.start()
    yield bus
    await bus.stop()


def record(key: str, number: int) -> Record:
    return Record(TOPIC, key, {"ce_type": "test", "ce_id": f"{key}-{number}"}, str(number).encode())


async def take(consumer: Consumer, count: int) -> list[Delivered]:
    """Poll until `count` records came, or fail after a deadline."""
    found: list[Delivered] = []
    async with asyncio.timeout(SOON):
        while len(found) < count:
            found += await consumer.poll(count - len(found), 0.2)
    return found


def after(taken: list[Delivered]) -> dict[Partition, int]:
    return {one.partition: one.offset + 1 for one in taken}


def by_key(taken: list[Delivered]) -> dict[str, list[int]]:
    order: dict[str, list[int]] = {}
    for one in taken:
        order.setdefault(one.record.key, []).append(int(one.record.value))
    return order


async def test_what_was_sent_arrives_whole(bus: Bus) -> None:
    sent = record("a", 1)
    await bus.send([sent])
    consumer = await bus.join("g", [TOPIC])
    (one,) = await take(consumer, 1)
    assert one.record == sent
    assert one.partition.topic == TOPIC


async def test_records_of_one_key_keep_their_order(bus: Bus) -> None:
    keys = [f"k{n}" for n in range(10)]
    for number in range(20):
        await bus.send([record(key, number) for key in keys])
    consumer = await bus.join("g", [TOPIC])
    order = by_key(await take(consumer, 200))
    assert order == {key: list(range(20)) for key in keys}


async def test_a_poll_takes_no_more_than_its_limit_and_loses_none(bus: Bus) -> None:
    await bus.send([record(f"k{n}", n) for n in range(50)])
    consumer = await bus.join("g", [TOPIC])
    first = await consumer.poll(7, SOON)
    assert 0 < len(first) <= 7
    rest = await take(consumer, 50 - len(first))
    assert {int(one.record.value) for one in first + rest} == set(range(50))


async def test_an_empty_topic_answers_nothing_in_time(bus: Bus) -> None:
    consumer = await bus.join("g", [TOPIC])
    assert await consumer.poll(10, 0.05) == []


async def test_a_waiting_poll_wakes_when_something_is_sent(bus: Bus) -> None:
    consumer = await bus.join("g", [TOPIC])
    waiting = asyncio.create_task(take(consumer, 1))
    await asyncio.sleep(0)
    await bus.send([record("a", 1)])
    assert [int(one.record.value) for one in await waiting] == [1]


async def test_every_group_gets_everything(bus: Bus) -> None:
    await bus.send([record("a", n) for n in range(3)])
    for group in ("g", "h"):
        consumer = await bus.join(group, [TOPIC])
        assert len(await take(consumer, 3)) == 3


async def test_what_was_not_committed_comes_again_after_a_restart(
    make_bus: Callable[[], Bus],
) -> None:
    first = make_bus()
    await first.start()
    await first.send([record("a", n) for n in range(4)])
    consumer = await first.join("g", [TOPIC])
    taken = await take(consumer, 4)
    await consumer.commit(after(taken[:2]))
    await first.stop()

    second = make_bus()
    await second.start()
    again = await take(await second.join("g", [TOPIC]), 2)
    assert [int(one.record.value) for one in again] == [2, 3]
    await second.stop()


async def test_a_rewound_partition_is_polled_again(bus: Bus) -> None:
    await bus.send([record("a", n) for n in range(3)])
    consumer = await bus.join("g", [TOPIC])
    taken = await take(consumer, 3)
    consumer.rewind({taken[1].partition: taken[1].offset})
    assert [int(one.record.value) for one in await take(consumer, 2)] == [1, 2]


async def test_two_members_share_the_partitions_and_miss_none(bus: Bus) -> None:
    one = await bus.join("g", [TOPIC])
    two = await bus.join("g", [TOPIC])
    await bus.send([record(f"k{n}", n) for n in range(40)])
    taken: list[Delivered] = []
    async with asyncio.timeout(SOON):
        while len(taken) < 40:
            taken += await one.poll(40, 0.1) + await two.poll(40, 0.1)
    assert {int(d.record.value) for d in taken} == set(range(40))
    assert len(taken) == 40


async def test_a_member_that_leaves_hands_over_what_it_did_not_commit(bus: Bus) -> None:
    one = await bus.join("g", [TOPIC])
    two = await bus.join("g", [TOPIC])
    await bus.send([record(f"k{n}", n) for n in range(40)])
    mine = await one.poll(40, SOON)
    await one.close()
    rest = await take(two, 40)
    assert {int(d.record.value) for d in rest} == set(range(40))
    assert mine


async def test_lag_counts_what_is_sent_and_not_committed(bus: Bus) -> None:
    consumer = await bus.join("g", [TOPIC])
    await bus.send([record("a", n) for n in range(5)])
    taken = await take(consumer, 5)
    assert sum((await consumer.lag()).values()) == 5
    await consumer.commit(after(taken))
    assert sum((await consumer.lag()).values()) == 0
