"""The Kafka bus while its broker fails, against the mock cluster: what is kept, and how long it takes."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import confluent_kafka
import pytest
from prometheus_client import REGISTRY

from shared.bus import KafkaBus, KafkaOptions
from shared.bus.kafka import partition_of
from shared.envelope import Record
from shared.outbox import LARGEST
from tests.engines.mock_kafka import (
    FETCH,
    HEARTBEAT,
    MESSAGE_TOO_LARGE,
    OFFSET_COMMIT,
    PRODUCE,
    REBALANCE_IN_PROGRESS,
    UNKNOWN_MEMBER,
    MockKafka,
    mock_kafka,
)
from tests.shared.test_bus_contract import after, numbers, record, share, take

TOPIC = "t"
OPTIONS = KafkaOptions(session_seconds=1.0, heartbeat_seconds=0.1, send_seconds=0.6)
NOWHERE = "127.0.0.1:1"


@pytest.fixture
def mock() -> Iterator[MockKafka]:
    with mock_kafka() as mock:
        mock.create(TOPIC, 1)
        yield mock


@pytest.fixture
async def bus(mock: MockKafka) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(mock.servers, OPTIONS)
    await bus.start()
    yield bus
    await bus.stop()


async def everything(mock: MockKafka) -> list[int]:
    """What the topic holds."""
    reader = KafkaBus(mock.servers, OPTIONS)
    consumer = await reader.join(f"reader-{time.monotonic()}", [TOPIC])
    found = []
    while batch := await consumer.poll(500, 0.5):
        found += batch
    await reader.stop()
    return [int(one.record.headers["ce_id"].partition("-")[2]) for one in found]


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def large(number: int) -> Record:
    """One that has a batch for itself."""
    return Record(TOPIC, "a", {"ce_id": f"a-{number}"}, b"." * LARGEST)


# -- sending -------------------------------------------------------------------------------------


async def test_a_process_starts_and_stops_while_the_broker_is_away() -> None:
    bus = KafkaBus(NOWHERE, OPTIONS)
    await bus.start()
    await bus.stop()


async def test_a_send_in_an_outage_fails_in_time_and_says_what_to_do(
    bus: KafkaBus, mock: MockKafka
) -> None:
    await bus.send([record(TOPIC, "a", 0)])
    mock.down()
    started = time.monotonic()
    with pytest.raises(TimeoutError, match="look whether Kafka is up"):
        await bus.send([record(TOPIC, "a", 1)])
    assert time.monotonic() - started < OPTIONS.send_seconds * 2


async def test_a_send_waits_through_a_short_outage(bus: KafkaBus, mock: MockKafka) -> None:
    patient = KafkaBus(mock.servers, KafkaOptions(send_seconds=10.0))
    await patient.send([record(TOPIC, "a", 0)])
    mock.down()
    sending = asyncio.create_task(patient.send([record(TOPIC, "a", 1)]))
    await asyncio.sleep(0.3)
    assert not sending.done()
    mock.up()
    await sending
    await patient.stop()
    assert await everything(mock) == [0, 1]


async def test_what_a_failed_send_held_is_not_sent_later(bus: KafkaBus, mock: MockKafka) -> None:
    await bus.send([record(TOPIC, "a", 0)])
    mock.down()
    with pytest.raises(TimeoutError):
        await bus.send([record(TOPIC, "a", 1)])
    mock.up()
    await bus.send([record(TOPIC, "a", 1), record(TOPIC, "a", 2)])
    await asyncio.sleep(0.5)
    assert await everything(mock) == [0, 1, 2]


async def test_nothing_overtakes_a_batch_that_the_broker_refused(
    bus: KafkaBus, mock: MockKafka
) -> None:
    mock.fail(PRODUCE, [0, MESSAGE_TOO_LARGE])
    with pytest.raises(Exception, match="MessageSizeTooLarge"):
        await bus.send([large(n) for n in range(4)])
    await asyncio.sleep(0.3)
    assert await everything(mock) == [0]
    await bus.send([large(n) for n in range(4)])
    assert await everything(mock) == [0, 0, 1, 2, 3]


async def test_a_send_that_is_cancelled_leaves_nothing_behind(
    bus: KafkaBus, mock: MockKafka
) -> None:
    await bus.send([record(TOPIC, "a", 0)])
    mock.down()
    sending = asyncio.create_task(bus.send([record(TOPIC, "a", 1)]))
    await asyncio.sleep(0.2)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    mock.up()
    await bus.send([record(TOPIC, "a", 2)])
    assert await everything(mock) == [0, 2]


async def test_a_topic_that_is_refused_holds_up_no_other(mock: MockKafka) -> None:
    mock.create("other", 1)
    bus = KafkaBus(mock.servers, OPTIONS)
    await bus.send([record("other", "a", 0)])
    sending = asyncio.create_task(bus.send([record("missing", "a", 0)]))  # the mock makes none
    await bus.send([record("other", "a", 1)])
    with pytest.raises(Exception, match=r"."):
        await sending
    await bus.send([record("other", "a", 2)])
    consumer = await bus.join("g", ["other"])
    assert numbers(await take(consumer, 3)) == [0, 1, 2]
    await bus.stop()


async def test_topics_can_not_be_made_where_nobody_answers() -> None:
    with pytest.raises(Exception, match=f"no broker answers at {NOWHERE}: look whether"):
        await KafkaBus(NOWHERE, OPTIONS).ensure_topics([TOPIC])


def test_a_key_stays_in_its_partition_for_ever() -> None:
    keys = ("inc_1", "inc_3", "thm_1", "thm_2", "é")
    assert [partition_of(key, 6) for key in keys] == [5, 3, 2, 0, 2]


# -- consuming -----------------------------------------------------------------------------------


async def test_a_member_that_can_not_join_polls_nothing_in_time_and_joins_later(
    mock: MockKafka,
) -> None:
    mock.down()
    bus = KafkaBus(mock.servers, OPTIONS)
    consumer = await bus.join("g", [TOPIC])
    started = time.monotonic()
    assert await consumer.poll(10, 0.3) == []
    assert time.monotonic() - started < 0.6
    assert await consumer.lag() == {}
    mock.up()
    await bus.send([record(TOPIC, "a", 0)])
    assert numbers(await take(consumer, 1)) == [0]
    await bus.stop()


async def test_a_member_comes_through_an_outage_by_itself(bus: KafkaBus, mock: MockKafka) -> None:
    consumer = await bus.join("g", [TOPIC])
    await bus.send([record(TOPIC, "a", 0)])
    await consumer.commit(after(await take(consumer, 1)))
    mock.down()
    started = time.monotonic()
    assert await consumer.poll(10, 0.5) == []
    assert await consumer.lag() == {}
    assert time.monotonic() - started < 4
    mock.up()
    await bus.send([record(TOPIC, "a", 1)])
    (mine,) = await share([consumer], 1)
    assert numbers(mine) == [1]


async def test_what_an_outage_kept_from_being_committed_is_committed_after_it(
    bus: KafkaBus, mock: MockKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.bus.kafka_consumer.COMMIT_SECONDS", 0.2)
    consumer = await bus.join("g", [TOPIC])
    await bus.send([record(TOPIC, "a", 0)])
    taken = await take(consumer, 1)
    mock.down()
    await consumer.commit(after(taken))
    mock.up()
    async with asyncio.timeout(10):
        while await consumer.lag() != {taken[0].partition: 0}:
            assert await consumer.poll(1, 0.2) == []
    await consumer.close()
    again = await bus.join("g", [TOPIC])
    assert await again.poll(1, 0.5) == []


async def test_a_commit_refused_in_a_rebalance_is_counted_and_its_records_come_again(
    bus: KafkaBus, mock: MockKafka
) -> None:
    consumer = await bus.join("refused", [TOPIC])
    await bus.send([record(TOPIC, "a", 0)])
    taken = await take(consumer, 1)
    mock.fail(OFFSET_COMMIT, [UNKNOWN_MEMBER])
    await consumer.commit(after(taken))
    assert counted("bus_commits_lost_total", group="refused", reason="rebalanced") == 1
    assert numbers(await take(consumer, 1)) == [0]


async def test_an_unknown_error_makes_the_member_join_anew(bus: KafkaBus, mock: MockKafka) -> None:
    unheard_of = 55
    consumer = await bus.join("broken", [TOPIC])
    mock.fail(HEARTBEAT, [unheard_of])
    await bus.send([record(TOPIC, "a", 0)])
    async with asyncio.timeout(10):
        while not counted("bus_rejoins_total", group="broken"):
            await consumer.poll(10, 0.1)
    await bus.send([record(TOPIC, "a", 1)])
    (mine,) = await share([consumer], 2)
    assert numbers(mine)[-1] == 1


async def test_a_member_that_reaches_nobody_for_long_looks_for_the_brokers_again(
    bus: KafkaBus, mock: MockKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.bus.kafka_consumer.LOST_SECONDS", 0.5)
    monkeypatch.setattr("shared.bus.kafka_consumer.LAG_SECONDS", 0.3)
    consumer = await bus.join("lost", [TOPIC])
    mock.down()
    async with asyncio.timeout(10):
        while not counted("bus_rejoins_total", group="lost"):
            assert await consumer.poll(1, 0.1) == []
            await consumer.lag()
    mock.up()
    await bus.send([record(TOPIC, "a", 0)])
    assert numbers(await take(consumer, 1)) == [0]


async def test_a_rebalance_heard_of_by_heartbeat_delivers_again_what_was_not_committed(
    bus: KafkaBus, mock: MockKafka
) -> None:
    consumer = await bus.join("g", [TOPIC])
    await bus.send([record(TOPIC, "a", n) for n in range(5)])
    first = await take(consumer, 5)
    await consumer.commit(after(first[:2]))
    mock.fail(HEARTBEAT, [REBALANCE_IN_PROGRESS])
    assert numbers(await take(consumer, 3)) == [2, 3, 4]


async def test_what_was_polled_before_a_rebalance_is_neither_committed_nor_rewound_after_it(
    bus: KafkaBus, mock: MockKafka, caplog: pytest.LogCaptureFixture
) -> None:
    consumer = await bus.join("g", [TOPIC])
    await bus.send([record(TOPIC, "a", n) for n in range(5)])
    before = await take(consumer, 5)
    caplog.clear()
    mock.fail(HEARTBEAT, [REBALANCE_IN_PROGRESS])
    async with asyncio.timeout(10):
        while "dealt anew" not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await consumer.commit(after(before))
    assert await consumer.lag() == {before[0].partition: 5}
    consumer.rewind({before[3].partition: before[3].offset})
    assert numbers(await take(consumer, 5)) == [0, 1, 2, 3, 4]


async def test_a_failing_fetch_is_tried_again(bus: KafkaBus, mock: MockKafka) -> None:
    consumer = await bus.join("g", [TOPIC])
    mock.fail(FETCH, [56] * 3)
    await bus.send([record(TOPIC, "a", 0)])
    assert numbers(await take(consumer, 1)) == [0]


async def test_a_member_leaves_in_time_while_the_broker_is_away(
    bus: KafkaBus, mock: MockKafka
) -> None:
    consumer = await bus.join("g", [TOPIC])
    mock.down()
    started = time.monotonic()
    await consumer.close()
    assert time.monotonic() - started < 6


async def test_a_goodbye_that_is_cut_short_leaves_no_connection_open(
    mock: MockKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.bus.kafka_client.LEAVING_SECONDS", 0.2)
    monkeypatch.setattr("shared.bus.kafka_consumer.LEAVING_SECONDS", 0.2)
    bus = KafkaBus(mock.servers, OPTIONS)
    await bus.start()
    consumer = await bus.join("g", [TOPIC])
    client = consumer._client

    async def never() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(client._coordinator, "close", never)
    connections = [*client._client._conns.values()]
    assert any(one.connected() for one in connections)
    await bus.stop()
    assert not any(one.connected() for one in connections)


async def test_bytes_that_nobody_of_ours_wrote_are_delivered(
    bus: KafkaBus, mock: MockKafka
) -> None:
    foreign = confluent_kafka.Producer({"bootstrap.servers": mock.servers, "log_level": 0})
    foreign.produce(TOPIC, key=b"\xff", value=None, headers=[("x", b"\xfe"), ("y", None)])
    foreign.flush(5)
    (one,) = await take(await bus.join("g", [TOPIC]), 1)
    assert one.record == Record(TOPIC, "\udcff", {"x": "\udcfe", "y": ""}, b"")
    await bus.send([one.record])  # and can be sent again as they were
    _, again = await take(await bus.join("h", [TOPIC]), 2)
    assert again.record == one.record
