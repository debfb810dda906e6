"""Outbox, relay, bus, inbox together: every event has its effect exactly once, whatever crashes.

The machine publishes, relays, consumes and crashes between any two durable steps. A crash loses what
is in memory and nothing else: databases and the bus are opened again from their files.
"""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import outbox
from shared.bus import Consumer, Delivered, EmbeddedBus, Partition
from shared.clock import utc_now
from shared.consumer import Subscription, consume_batch, types_of
from shared.context import Context
from shared.contracts.feedback import FeedbackVoted
from shared.database import Database, Serial, sqlite_url
from shared.dead_letters import dead_letters
from shared.envelope import Event, Record, encode

metadata = MetaData()
effects = Table(
    "effects",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("subject", Text, nullable=False),
    Column("votes", Integer, nullable=False),
)


class HandlerFailed(Exception):
    pass


class CrashingBus:
    """The bus, which can die right after it made a send durable, before anyone hears of it."""

    def __init__(self, bus: EmbeddedBus) -> None:
        self.bus = bus

    async def send(self, records: list[Record]) -> None:
        await self.bus.send(records)
        raise ConnectionError("died after the send")


class ForgetfulConsumer:
    """A consumer whose process dies after the database commit, before the offset is committed."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer

    async def commit(self, done: dict[Partition, int]) -> None:
        raise ConnectionError("died before the offset")

    def rewind(self, back_to: dict[Partition, int]) -> None:
        self.consumer.rewind(back_to)


def in_memory_folder() -> tempfile.TemporaryDirectory[str]:
    """The crashes here are of processes, not of power: a folder in memory spares the fsyncs."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)


class ExactlyOnce(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = in_memory_folder()
        self.runner = asyncio.Runner()
        self.published: dict[str, list[int]] = {}
        self.poison: list[bytes] = []
        self.failing = 0
        self.runner.run(self.open())

    async def open(self) -> None:
        folder = Path(self.folder.name)
        self.source = Database(sqlite_url(folder, "source.sqlite3"))
        self.target = Database(sqlite_url(folder, "target.sqlite3"))
        self.bus = EmbeddedBus(sqlite_url(folder, "bus.sqlite3"))
        for db in (self.source, self.target):
            async with db.begin() as conn:
                await conn.run_sync(outbox.plumbing.create_all)
                await conn.run_sync(metadata.create_all)
        await self.bus.start()
        self.consumer: Consumer = await self.bus.join("target", ["feedback.events"])
        self.subscription = Subscription(
            "target", ("feedback.events",), types_of(FeedbackVoted), self.handle
        )

    async def close(self) -> None:
        await self.source.close()
        await self.target.close()
        await self.bus.stop()

    async def handle(self, conn: AsyncConnection, events: list[Event]) -> None:
        for event in events:
            assert isinstance(event.data, FeedbackVoted)
            await conn.execute(
                insert(effects).values(subject=event.subject, votes=event.data.votes)
            )
            if self.failing > 0:
                self.failing -= 1
                raise HandlerFailed

    def event(self, subject: str, votes: int) -> Event:
        now = utc_now()
        ctx = Context("feedback", "tester", now, "cor_test")
        data = FeedbackVoted(feedback_id=subject, at=now, votes=votes)
        return ctx.event(data, subject=subject, version=votes, at=now)

    @initialize()
    def begin_with_work(self) -> None:
        for subject in "abc":
            self.publish(subject, 3, True)
        self.relay()

    @rule(
        subject=st.sampled_from("abc"),
        count=st.integers(1, 5),
        commits=st.sampled_from([True, True, True, False]),
    )
    def publish(self, subject: str, count: int, commits: bool) -> None:
        known = self.published.setdefault(subject, [])
        numbers = [len(known) + n + 1 for n in range(count)]
        self.runner.run(self._publish(subject, numbers, commits))
        if commits:
            known += numbers

    async def _publish(self, subject: str, numbers: list[int], commits: bool) -> None:
        try:
            async with self.source.begin() as conn:
                await outbox.publish(conn, [self.event(subject, n) for n in numbers])
                if not commits:
                    raise HandlerFailed
        except HandlerFailed:
            return

    @rule()
    def relay(self) -> None:
        self.runner.run(outbox.relay_once(self.source, self.bus))

    @rule()
    def relay_dies_after_the_send(self) -> None:
        self.publish("a", 1, True)
        try:
            self.runner.run(outbox.relay_once(self.source, CrashingBus(self.bus)))  # type: ignore[arg-type]
        except ConnectionError:
            self.crash()

    async def poll(self) -> list[Delivered]:
        return await self.consumer.poll(7, 0.001)

    @rule()
    def consume(self) -> None:
        batch = self.runner.run(self.poll())
        self.runner.run(consume_batch(self.target, self.consumer, self.subscription, batch))

    @rule(failing=st.integers(1, 4))
    def consume_with_a_handler_that_fails(self, failing: int) -> None:
        self.relay()
        self.failing = failing
        self.consume()
        self.failing = 0

    @rule()
    def consumer_dies_before_the_offset(self) -> None:
        self.relay()
        batch = self.runner.run(self.poll())
        dying = ForgetfulConsumer(self.consumer)
        try:
            self.runner.run(consume_batch(self.target, dying, self.subscription, batch))  # type: ignore[arg-type]
        except ConnectionError:
            self.crash()

    @rule()
    def someone_sends_an_old_record_again(self) -> None:
        async def resend() -> None:
            consumer = await self.bus.join("copycat", ["feedback.events"])
            records = [one.record for one in await consumer.poll(3, 0.001)]
            await consumer.close()
            await self.bus.send(records)

        self.runner.run(resend())

    @rule(subject=st.sampled_from("abc"))
    def someone_sends_what_nobody_can_read(self, subject: str) -> None:
        good = encode(self.event(subject, 0))
        self.poison.append(f"poison {len(self.poison)}".encode())
        record = Record(good.topic, subject, good.headers, self.poison[-1])
        self.runner.run(self.bus.send([record]))

    @rule()
    def crash(self) -> None:
        self.runner.run(self.close())
        self.runner.run(self.open())

    async def seen(self) -> dict[str, list[int]]:
        async with self.target.read() as conn:
            rows = (await conn.execute(select(effects).order_by(effects.c.seq))).all()
        order: dict[str, list[int]] = {}
        for row in rows:
            order.setdefault(row.subject, []).append(row.votes)
        return order

    async def aside(self) -> list[bytes]:
        query = select(dead_letters.c.value).order_by(dead_letters.c.offset)
        async with self.target.read() as conn:
            return [bytes(value) for value in (await conn.execute(query)).scalars()]

    @invariant()
    def no_poison_is_set_aside_twice(self) -> None:
        aside = self.runner.run(self.aside())
        assert len(aside) == len(set(aside))
        assert set(aside) <= set(self.poison)

    @invariant()
    def nothing_is_doubled_skipped_or_out_of_order(self) -> None:
        for subject, seen in self.runner.run(self.seen()).items():
            assert seen == self.published[subject][: len(seen)]

    def teardown(self) -> None:
        async def drain() -> None:
            while await outbox.relay_once(self.source, self.bus):
                pass
            while batch := await self.poll():
                await consume_batch(self.target, self.consumer, self.subscription, batch)

        self.failing = 0
        self.runner.run(drain())
        assert self.runner.run(self.seen()) == {s: n for s, n in self.published.items() if n}
        assert sorted(self.runner.run(self.aside())) == sorted(self.poison)
        self.runner.run(self.close())
        self.runner.close()
        self.folder.cleanup()


ExactlyOnceTest = ExactlyOnce.TestCase
ExactlyOnceTest.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)


async def test_an_unreadable_event_is_set_aside_and_the_next_goes_on(tmp_path: Path) -> None:
    machine = ExactlyOnce.__new__(ExactlyOnce)
    machine.folder = in_memory_folder()
    machine.failing = 0
    await machine.open()
    good = encode(machine.event("a", 1))
    await machine.bus.send(
        [
            Record(good.topic, "a", {**good.headers, "ce_id": "x"}, b"not json"),
            Record(good.topic, "a", {}, b"{}"),
            good,
        ]
    )
    batch = await machine.consumer.poll(10, 1)
    assert not await consume_batch(machine.target, machine.consumer, machine.subscription, batch)
    assert await machine.seen() == {"a": [1]}
    async with machine.target.read() as conn:
        aside = (await conn.execute(select(dead_letters))).all()
    assert [row.value for row in aside] == [b"not json", b"{}"]
    assert all(row.reason for row in aside)
    await machine.close()
    machine.folder.cleanup()
