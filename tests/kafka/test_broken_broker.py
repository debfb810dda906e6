"""A broker that dies or stands still under load: nothing lost, order kept, no hand needed."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import REGISTRY

from shared.bus import Consumer, Delivered, KafkaOptions
from tests.engines.kafka_broker import Broker
from tests.kafka.traffic import KEYS, Story, log_of, running, started

OPTIONS = KafkaOptions(session_seconds=2.0, heartbeat_seconds=0.2, partitions=4, send_seconds=60.0)
IMPATIENT = OPTIONS.model_copy(update={"send_seconds": 1.0})

Break = Callable[[Broker], Awaitable[None]]


async def killed(broker: Broker) -> None:
    await asyncio.to_thread(broker.kill)
    await asyncio.sleep(3)
    await asyncio.to_thread(broker.start)


async def killed_twice(broker: Broker) -> None:
    await asyncio.to_thread(broker.kill)
    await asyncio.to_thread(broker.start)
    await asyncio.sleep(0.5)
    await killed(broker)


async def paused(broker: Broker) -> None:
    """Longer than a session: the group goes on without its members when it comes back."""
    broker.pause()
    await asyncio.sleep(OPTIONS.session_seconds * 2.5)
    broker.resume()


@pytest.mark.parametrize("options", [OPTIONS, IMPATIENT], ids=["patient", "impatient"])
@pytest.mark.parametrize("breaks", [killed, killed_twice, paused])
async def test_nothing_is_lost_or_reordered_when_the_broker_is(
    breaks: Break, options: KafkaOptions, breakable: Broker, topic: str
) -> None:
    story = Story(topic, f"{topic}.group")
    async with (
        started(breakable.servers, options) as writer,
        started(breakable.servers, options) as one,
        started(breakable.servers, options) as two,
    ):
        members = [await bus.join(story.group, [topic]) for bus in (one, two)]
        reading = [asyncio.create_task(story.read(member)) for member in members]
        writing = asyncio.create_task(story.write(writer))
        async with running(*reading):
            async with running(writing):
                await asyncio.sleep(1)
                before = story.sent
                await breaks(breakable)
                await recovered(story, story.sent + 5)
            await story.settled()
            assert before > 5
            await caught_up(members)
    log = await log_of(breakable.servers, topic, OPTIONS)
    assert {one.record.headers["ce_id"] for one in log} >= {
        record.headers["ce_id"] for n in range(story.sent) for record in story.records_of(n)
    }
    assert_in_order(log)
    if options is OPTIONS:  # no send was given up, so nothing was sent twice
        assert story.failed_sends == 0
        assert len(log) == len(story.known)
    else:
        assert story.failed_sends > 0


def assert_in_order(log: list[Delivered]) -> None:
    """The first appearance of each record of a key comes in the order in which they were sent."""
    first: dict[str, list[int]] = {}
    for one in log:
        seen = first.setdefault(one.record.key, [])
        if (number := int(one.record.value)) not in seen:
            seen.append(number)
    for key, seen in first.items():
        assert seen == list(range(len(seen))), key


async def recovered(story: Story, sent: int) -> None:
    """The writer goes on by itself."""
    async with asyncio.timeout(30):
        while story.sent < sent:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def caught_up(members: list[Consumer]) -> None:
    """All partitions have a member again, and no lag."""
    async with asyncio.timeout(30):
        while True:
            lags = [await member.lag() for member in members]
            together = {p: lag for one in lags for p, lag in one.items()}
            if len(together) == OPTIONS.partitions and not any(together.values()):
                return
            await asyncio.sleep(0.1)


async def test_a_send_waits_for_a_killed_broker_no_longer_than_it_may(
    breakable: Broker, topic: str
) -> None:
    story = Story(topic, "")
    async with started(breakable.servers, IMPATIENT) as bus:
        await bus.send(story.records_of(0))
        await asyncio.to_thread(breakable.kill)
        began = time.monotonic()
        with pytest.raises(TimeoutError, match="send them again"):
            await bus.send(story.records_of(1))
        assert time.monotonic() - began < IMPATIENT.send_seconds + 0.5
        await asyncio.to_thread(breakable.start)
        async with asyncio.timeout(30):
            while True:
                try:
                    await bus.send(story.records_of(1))
                except TimeoutError:
                    continue
                break
    assert len(await log_of(breakable.servers, topic, OPTIONS)) >= 2 * KEYS


async def test_a_poll_keeps_to_its_time_while_the_broker_stands_still(
    breakable: Broker, topic: str
) -> None:
    async with started(breakable.servers, OPTIONS) as bus:
        consumer = await bus.join(f"{topic}.group", [topic])
        breakable.pause()
        for _ in range(4):
            began = time.monotonic()
            assert await consumer.poll(10, 0.5) == []
            assert await consumer.lag() == {}
            assert time.monotonic() - began < 3.5
        breakable.resume()
        story = Story(topic, "")
        await bus.send(story.records_of(0))
        story.sent = 1
        async with running(asyncio.create_task(story.read(consumer))):
            await story.settled()


async def test_a_member_whose_session_ended_can_not_commit_and_gets_its_records_again(
    servers: str, topic: str
) -> None:
    story = Story(topic, f"{topic}.group")
    async with started(servers, OPTIONS) as bus:
        await bus.send(story.records_of(0))
        late = await bus.join(story.group, [topic])
        taken: list[Delivered] = []
        while len(taken) < KEYS:
            taken += await late.poll(500, 5)
        # Nothing runs meanwhile, not even its heartbeat: as in a process that is stopped.
        time.sleep(OPTIONS.session_seconds + 1)  # noqa: ASYNC251
        await late.commit({d.partition: d.offset + 1 for d in taken})
        assert commits_lost(story.group) == OPTIONS.partitions
        story.sent = 1
        async with running(asyncio.create_task(story.read(late))):
            await story.settled()


def commits_lost(group: str) -> float:
    labels = {"group": group, "reason": "rebalanced"}
    return REGISTRY.get_sample_value("bus_commits_lost_total", labels) or 0.0


async def test_members_that_come_and_go_under_load_lose_nothing(servers: str, topic: str) -> None:
    story = Story(topic, f"{topic}.group")
    async with started(servers, OPTIONS) as writer, started(servers, OPTIONS) as process:
        writing = asyncio.create_task(story.write(writer))
        async with running(writing):
            first = await process.join(story.group, [topic])
            async with running(asyncio.create_task(story.read(first))):
                for _ in range(4):
                    async with started(servers, OPTIONS) as visitor:
                        guest = await visitor.join(story.group, [topic])
                        async with running(asyncio.create_task(story.read(guest))):
                            await asyncio.sleep(1)
                    await asyncio.sleep(0.3)
                writing.cancel()
                await story.settled()


async def test_a_member_that_dies_is_missed_after_a_session(servers: str, topic: str) -> None:
    story = Story(topic, f"{topic}.group")
    async with started(servers, OPTIONS) as bus:
        await bus.send(story.records_of(0))
        story.sent = 1
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.kafka.reader", servers, topic, story.group),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        async with asyncio.timeout(20):
            assert await process.stdout.readline() == b"has them\n"
        process.kill()
        await process.wait()
        began = time.monotonic()
        consumer = await bus.join(story.group, [topic])
        async with running(asyncio.create_task(story.read(consumer))):
            await story.settled()
        assert time.monotonic() - began < OPTIONS.session_seconds * 4
