"""In one process: what follows from a signal steps back while signals are being taken in.

Relays, consumers and requests share one core's worth of Python. In a storm the requests go first, since
their senders wait and give up; what the events lead to comes a little later, in fewer and larger batches,
and nothing of it is lost.
"""

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic

from shared.bus.bus import Consumer, Delivered, Partition

REST = 3.0
"""While there are requests in hand, rest so many times as long as the last batch took: all that one
consumer takes then is a quarter."""
LEAST_REST = 0.1
"""A batch costs two transactions and a flush of the disk each, however few events are in it."""
LONGEST_REST = 1.0
RELAY_REST = 0.04
"""The same for a relay, which costs two as well, and wakes consumers."""

LOOK_SECONDS = 0.02


async def rest(busy: Callable[[], bool], seconds: float) -> None:
    """Only for as long as it is busy; a moment without requests ends it."""
    until = monotonic() + seconds
    # Looked at now and then: requests come and go thousands of times a second.
    while busy() and (left := until - monotonic()) > 0:  # noqa: ASYNC110
        await asyncio.sleep(min(left, LOOK_SECONDS))


class Courteous:
    """A consumer that rests between batches while `busy` says that requests are in hand."""

    def __init__(self, consumer: Consumer, busy: Callable[[], bool]) -> None:
        self._consumer = consumer
        self._busy = busy
        self._polled_at: float | None = None

    async def poll(self, limit: int, wait_seconds: float) -> list[Delivered]:
        polled_at, self._polled_at = self._polled_at, None
        if polled_at is not None:
            worked = monotonic() - polled_at
            await rest(self._busy, min(max(worked * REST, LEAST_REST), LONGEST_REST))
        found = await self._consumer.poll(limit, wait_seconds)
        if found:
            self._polled_at = monotonic()
        return found

    async def commit(self, done: Mapping[Partition, int]) -> None:
        await self._consumer.commit(done)

    def rewind(self, back_to: Mapping[Partition, int]) -> None:
        self._consumer.rewind(back_to)

    async def lag(self) -> dict[Partition, int]:
        return await self._consumer.lag()

    async def close(self) -> None:
        await self._consumer.close()
