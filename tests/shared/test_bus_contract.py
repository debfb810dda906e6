"""What every bus promises, once for each engine. A new engine joins by a line in `ENGINES`.

`tests/kafka` runs the same functions against a real broker.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from shared.bus import Bus, Consumer, Delivered, EmbeddedBus, KafkaBus, KafkaOptions, Partition
from shared.database import sqlite_url
from shared.envelope import Record
from shared.outbox import LARGEST
from tests.engines.mock_kafka import MockKafka, mock_kafka

MakeBus = Callable[[], Bus]
"""Each call is a process of its own that starts on what the one before left behind."""

SOON = 10.0
QUICK = KafkaOptions(session_seconds=2.0, heartbeat_seconds=0.1, send_seconds=5.0, partitions=4)


def embedded(request: pytest.FixtureRequest, _topic: str) -> MakeBus:
    folder: Path = request.getfixturevalue("tmp_path")
    return lambda: EmbeddedBus(sqlite_url(folder, "bus.sqlite3"))


def kafka_protocol(request: pytest.FixtureRequest, topic: str) -> MakeBus:
    mock: MockKafka = request.getfixturevalue("mock")
    for name in (topic, f"{topic}.other"):  # the mock makes no topic on request
        mock.create(name, QUICK.partitions)
    return lambda: KafkaBus(mock.servers, QUICK)


ENGINES: dict[str, Callable[[pytest.FixtureRequest, str], MakeBus]] = {
    "embedded": embedded,
    "kafka-protocol": kafka_protocol,
}


@pytest.fixture(scope="module")
def mock() -> Iterator[MockKafka]:
    with mock_kafka() as mock:
        yield mock


@pytest.fixture
def topic() -> str:
    """One for each test: a broker outlives them."""
    return f"contract.{uuid4().hex[:8]}"


@pytest.fixture
def group(topic: str) -> str:
    return f"{topic}.group"


@pytest.fixture(params=list(ENGINES))
def make_bus(request: pytest.FixtureRequest, topic: str) -> MakeBus:
    return ENGINES[request.param](request, topic)


@pytest.fixture
async def bus(make_bus: MakeBus) -> AsyncIterator[Bus]:
    bus = make_bus()
    await bus.start()
    yield bus
    await bus.stop()


def record(topic: str, key: str, number: int) -> Record:
    return Record(topic, key, {"ce_type": "test", "ce_id": f"{key}-{number}"}, str(number).encode())


async def take(consumer: Consumer, count: int) -> list[Delivered]:
    """Poll until `count` records came, or fail after a deadline."""
    found: list[Delivered] = []
    async with asyncio.timeout(SOON):
        while len(found) < count:
            found += await consumer.poll(count - len(found), 0.2)
    return found


async def share(members: Sequence[Consumer], count: int) -> list[list[Delivered]]:
    """Poll all members in turn, and commit, until `count` different records came; what each got."""
    taken: list[list[Delivered]] = [[] for _ in members]
    ids: set[str] = set()
    async with asyncio.timeout(SOON):
        while len(ids) < count:
            for member, mine in zip(members, taken, strict=True):
                mine += (found := await member.poll(count, 0.1))
                await member.commit(after(found))
                ids |= ids_of(found)
    return taken


def ids_of(taken: Sequence[Delivered]) -> set[str]:
    return {one.record.headers["ce_id"] for one in taken}


def numbers(taken: Sequence[Delivered]) -> list[int]:
    return [int(one.record.value) for one in taken]


def after(taken: Sequence[Delivered]) -> dict[Partition, int]:
    return {one.partition: one.offset + 1 for one in taken}


def by_key(taken: Sequence[Delivered]) -> dict[str, list[int]]:
    order: dict[str, list[int]] = {}
    for one in taken:
        order.setdefault(one.record.key, []).append(int(one.record.value))
    return order


# -- sending -------------------------------------------------------------------------------------


async def test_what_was_sent_arrives_whole(bus: Bus, topic: str, group: str) -> None:
    sent = Record(topic, "clé-🌊", {"ce_type": "test", "ce_subject": "Überlauf"}, b"\x00\xff{}")
    await bus.send([sent])
    consumer = await bus.join(group, [topic])
    (one,) = await take(consumer, 1)
    assert one.record == sent
    assert one.partition.topic == topic


async def test_sending_nothing_is_done_at_once(bus: Bus) -> None:
    await bus.send([])


async def test_records_of_one_key_keep_their_order(bus: Bus, topic: str, group: str) -> None:
    keys = [f"k{n}" for n in range(10)]
    for number in range(20):
        await bus.send([record(topic, key, number) for key in keys])
    consumer = await bus.join(group, [topic])
    order = by_key(await take(consumer, 200))
    assert order == {key: list(range(20)) for key in keys}


async def test_records_of_one_key_are_in_one_partition(
    make_bus: MakeBus, topic: str, group: str
) -> None:
    keys = [f"k{n}" for n in range(20)]
    for number in range(2):  # two processes
        bus = make_bus()
        await bus.start()
        await bus.send([record(topic, key, number) for key in keys])
        consumer = await bus.join(f"{group}-{number}", [topic])
        taken = await take(consumer, 20 * (number + 1))
        await bus.stop()
    homes = {(one.record.key, one.partition) for one in taken}
    assert len(homes) == len(keys)


async def test_a_full_batch_arrives_in_order(bus: Bus, topic: str, group: str) -> None:
    await bus.send([record(topic, f"k{n % 7}", n) for n in range(500)])
    consumer = await bus.join(group, [topic])
    order = by_key(await take(consumer, 500))
    assert order == {f"k{k}": list(range(k, 500, 7)) for k in range(7)}


async def test_the_largest_records_arrive_in_order(bus: Bus, topic: str, group: str) -> None:
    sent = [Record(topic, "a", {"ce_id": str(n)}, bytes([n]) * LARGEST) for n in range(3)]
    await bus.send(sent)
    consumer = await bus.join(group, [topic])
    assert [one.record for one in await take(consumer, 3)] == sent


async def test_what_is_sent_again_is_appended_again_after_the_rest(
    bus: Bus, topic: str, group: str
) -> None:
    once = [record(topic, "a", n) for n in range(3)]
    await bus.send(once)
    await bus.send([*once, record(topic, "a", 3)])
    consumer = await bus.join(group, [topic])
    assert numbers(await take(consumer, 7)) == [0, 1, 2, 0, 1, 2, 3]


async def test_a_member_of_two_topics_gets_both(bus: Bus, topic: str, group: str) -> None:
    other = f"{topic}.other"
    await bus.send([record(topic, "a", 1), record(other, "a", 2)])
    consumer = await bus.join(group, [topic, other])
    taken = await take(consumer, 2)
    assert {(d.partition.topic, d.record.topic) for d in taken} == {(topic, topic), (other, other)}


# -- polling -------------------------------------------------------------------------------------


async def test_a_poll_takes_no_more_than_its_limit_and_loses_none(
    bus: Bus, topic: str, group: str
) -> None:
    await bus.send([record(topic, f"k{n}", n) for n in range(50)])
    consumer = await bus.join(group, [topic])
    first = await consumer.poll(7, SOON)
    assert 0 < len(first) <= 7
    rest = await take(consumer, 50 - len(first))
    assert set(numbers(first + rest)) == set(range(50))


async def test_an_empty_topic_answers_nothing_in_time(bus: Bus, topic: str, group: str) -> None:
    consumer = await bus.join(group, [topic])
    assert await consumer.poll(10, 0.05) == []


async def test_a_waiting_poll_wakes_when_something_is_sent(
    bus: Bus, topic: str, group: str
) -> None:
    consumer = await bus.join(group, [topic])
    waiting = asyncio.create_task(consumer.poll(10, SOON))
    await asyncio.sleep(0)
    await bus.send([record(topic, "a", 1)])
    async with asyncio.timeout(SOON / 2):
        assert numbers(await waiting) == [1]


async def test_every_group_gets_everything(bus: Bus, topic: str, group: str) -> None:
    await bus.send([record(topic, "a", n) for n in range(3)])
    for name in (group, f"{group}-2"):
        consumer = await bus.join(name, [topic])
        assert len(await take(consumer, 3)) == 3


async def test_offsets_grow_within_a_partition(bus: Bus, topic: str, group: str) -> None:
    other = f"{topic}.other"
    for number in range(10):  # in between others, so that an engine with one log has gaps
        await bus.send([record(topic, "a", number), record(other, "a", number)])
    taken = await take(await bus.join(group, [topic]), 10)
    offsets = [one.offset for one in taken]
    assert offsets == sorted(set(offsets))
    assert numbers(taken) == list(range(10))


# -- going back ----------------------------------------------------------------------------------


async def test_what_was_not_committed_comes_again_after_a_restart(
    make_bus: MakeBus, topic: str, group: str
) -> None:
    first = make_bus()
    await first.start()
    await first.send([record(topic, "a", n) for n in range(4)])
    taken = await take(consumer := await first.join(group, [topic]), 4)
    await consumer.commit(after(taken[:2]))
    await first.stop()

    second = make_bus()
    await second.start()
    again = await take(await second.join(group, [topic]), 2)
    assert numbers(again) == [2, 3]
    await second.stop()


async def test_what_was_polled_before_a_close_and_not_committed_comes_again(
    bus: Bus, topic: str, group: str
) -> None:
    await bus.send([record(topic, f"k{n}", n) for n in range(10)])
    consumer = await bus.join(group, [topic])
    await take(consumer, 10)
    await consumer.close()
    again = await take(await bus.join(group, [topic]), 10)
    assert set(numbers(again)) == set(range(10))


async def test_a_rewound_partition_is_polled_again(bus: Bus, topic: str, group: str) -> None:
    await bus.send([record(topic, "a", n) for n in range(3)])
    consumer = await bus.join(group, [topic])
    taken = await take(consumer, 3)
    consumer.rewind({taken[1].partition: taken[1].offset})
    assert numbers(await take(consumer, 2)) == [1, 2]


async def test_a_rewound_partition_can_be_committed_and_goes_on(
    bus: Bus, topic: str, group: str
) -> None:
    await bus.send([record(topic, f"k{n}", n) for n in range(30)])
    consumer = await bus.join(group, [topic])
    taken = await take(consumer, 30)
    await consumer.commit(after(taken))
    held = taken[-1].partition
    first = next(one for one in taken if one.partition == held)
    consumer.rewind({held: first.offset})
    mine = [one for one in taken if one.partition == held]
    again = await take(consumer, len(mine))
    assert numbers(again) == numbers(mine)  # and of the others nothing
    await consumer.commit(after(again))
    assert set((await consumer.lag()).values()) == {0}


# -- groups --------------------------------------------------------------------------------------


async def test_two_members_share_the_partitions_and_miss_none(
    bus: Bus, topic: str, group: str
) -> None:
    members = [await bus.join(group, [topic]), await bus.join(group, [topic])]
    await bus.send([record(topic, f"k{n}", n) for n in range(40)])
    one, two = await share(members, 40)
    assert len(one) + len(two) == 40
    assert {d.partition for d in one}.isdisjoint({d.partition for d in two})
    assert one
    assert two


async def test_a_member_that_joins_later_takes_its_share(bus: Bus, topic: str, group: str) -> None:
    first = await bus.join(group, [topic])
    await bus.send([record(topic, f"k{n}", n) for n in range(40)])
    await share([first], 40)
    second = await bus.join(group, [topic])
    await bus.send([record(topic, f"k{n}", n + 40) for n in range(40)])
    one, two = await share([first, second], 40)
    assert set(numbers(one + two)) == set(range(40, 80))
    assert two


async def test_a_member_that_leaves_hands_over_what_it_did_not_commit(
    bus: Bus, topic: str, group: str
) -> None:
    one = await bus.join(group, [topic])
    two = await bus.join(group, [topic])
    await bus.send([record(topic, f"k{n}", n) for n in range(40)])
    mine = await one.poll(40, SOON)
    assert mine
    await one.close()
    (rest,) = await share([two], 40)
    assert set(numbers(rest)) == set(range(40))


async def test_a_member_that_leaves_hands_over_nothing_that_it_committed(
    bus: Bus, topic: str, group: str
) -> None:
    one = await bus.join(group, [topic])
    two = await bus.join(group, [topic])
    await bus.send([record(topic, f"k{n}", n) for n in range(40)])
    mine = await one.poll(40, SOON)
    await one.commit(after(mine))
    await one.close()
    (rest,) = await share([two], 40 - len(mine))
    assert set(numbers(rest)) == set(range(40)) - set(numbers(mine))


async def test_an_offset_of_a_partition_that_moved_changes_nothing(
    bus: Bus, topic: str, group: str
) -> None:
    one = await bus.join(group, [topic])
    await bus.send([record(topic, f"k{n}", n) for n in range(40)])
    stale = after(await take(one, 40))
    two = await bus.join(group, [topic])
    await bus.send([record(topic, f"k{n}", n) for n in range(40, 80)])
    mine = await share([one, two], 80)
    await one.commit(stale)
    one.rewind(dict.fromkeys(stale, 0))
    assert ids_of(mine[0] + mine[1]) == {f"k{n}-{n}" for n in range(80)}
    assert await two.poll(1, 0.2) == []


# -- lag -----------------------------------------------------------------------------------------


async def test_lag_counts_what_is_sent_and_not_committed(bus: Bus, topic: str, group: str) -> None:
    consumer = await bus.join(group, [topic])
    await bus.send([record(topic, "a", n) for n in range(5)])
    taken = await take(consumer, 5)
    assert sum((await consumer.lag()).values()) == 5
    await consumer.commit(after(taken[:3]))
    assert sum((await consumer.lag()).values()) == 2
    await consumer.commit(after(taken))
    assert sum((await consumer.lag()).values()) == 0


async def test_lag_counts_what_another_left_behind(bus: Bus, topic: str, group: str) -> None:
    first = await bus.join(group, [topic])
    await bus.send([record(topic, f"k{n}", n) for n in range(20)])
    taken = await take(first, 20)
    await first.commit(after(taken[:8]))
    done = sum(1 for d in taken if d.offset < after(taken[:8]).get(d.partition, 0))
    await first.close()
    second = await bus.join(group, [topic])
    assert sum((await second.lag()).values()) == 20 - done
