"""Bugs to plant into a life, of the kind that only a crash shows: the walk must find each of them.

They sit at seams that both engines share, and each leaves a system that works as long as it lives.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.bus.bus import Bus, Consumer
from shared.bus.embedded import EmbeddedBus, EmbeddedConsumer
from shared.bus.kafka import KafkaBus
from shared.bus.kafka_consumer import KafkaConsumer
from shared.database import Database, Work
from shared.envelope import Record

COMMIT_LATER_SECONDS = 0.03
SEND_LATER_SECONDS = 1.0
"""Longer than a busy machine takes to delete from the outbox: at that moment the process is killed."""

_tasks: set["asyncio.Task[None]"] = set()


def _later(seconds: float, work: Callable[[], Any]) -> None:
    async def wait() -> None:
        await asyncio.sleep(seconds)
        await work()

    task = asyncio.create_task(wait())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


def commit_after_the_answer() -> None:
    """A transaction's block ends before its commit: what is answered then is not on the disk yet."""
    honest = Database.begin

    @asynccontextmanager
    async def begin(self: Database) -> AsyncGenerator[AsyncConnection]:
        transaction = honest(self)
        conn = await transaction.__aenter__()
        try:
            yield conn
        except BaseException:
            if not await transaction.__aexit__(*sys.exc_info()):
                raise
        else:
            _later(COMMIT_LATER_SECONDS, lambda: transaction.__aexit__(None, None, None))

    async def write(self: Database, work: Work[Any]) -> Any:
        async with self.begin() as conn:
            return await work(conn)

    Database.begin = begin  # type: ignore[method-assign]
    Database.write = write  # type: ignore[method-assign]


def send_without_waiting() -> None:
    """`send` returns before the bus has anything: the relay deletes what is still on its way."""

    def hasty(bus: type[Any]) -> None:
        honest = bus.send

        async def send(self: Bus, records: Sequence[Record]) -> None:
            _later(SEND_LATER_SECONDS, lambda: honest(self, records))

        bus.send = send

    hasty(EmbeddedBus)
    hasty(KafkaBus)


def commit_what_was_polled() -> None:
    """Offsets are committed as soon as records were polled, as auto-commit does."""

    def hasty(consumer: type[Any]) -> None:
        honest = consumer.poll

        async def poll(self: Consumer, limit: int, wait_seconds: float) -> Any:
            found = await honest(self, limit, wait_seconds)
            await self.commit({one.partition: one.offset + 1 for one in found})
            return found

        consumer.poll = poll

    hasty(EmbeddedConsumer)
    hasty(KafkaConsumer)


PLANTED: Mapping[str, Callable[[], None]] = {
    "commit-after-the-answer": commit_after_the_answer,
    "send-without-waiting": send_without_waiting,
    "commit-what-was-polled": commit_what_was_polled,
}
"""By the names in `crash_points.PLANTED`, which says where to look for them."""
