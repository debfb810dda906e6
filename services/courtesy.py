"""In one process: what follows from a signal steps back while signals are being taken in.

Relays, consumers and requests share one core's worth of Python. In a storm the requests go first, since
their senders wait and give up; what the events lead to comes later, in fewer and larger batches, and
nothing of it is lost.
"""

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic, process_time

from shared.bus.bus import Consumer, Delivered, Partition

Taken = Callable[[], int]
"""How many requests the process has taken in so far."""

LEAST_REST = 0.08
"""While requests come in at all: a batch costs two transactions and a flush of the disk each, however
few events are in it."""
RELAY_REST = 0.04
"""The same for a relay, which costs two as well, and wakes consumers."""
REST = 9.0
"""While they leave no time to spare, rest so many times as long as the last batch took: all that one
consumer takes then is a tenth."""
LONGEST_REST = 5.0

LOOK_SECONDS = 0.02
SPARE = 0.8
"""The process has time to spare when it uses less than this share of a core."""


async def rest(taken: Taken, least: float, most: float) -> None:
    """Rest while requests come in: `least` seconds, and on to `most` while they leave none to spare."""
    began = monotonic()
    while (rested := monotonic() - began) < most:
        before, used, at = taken(), process_time(), monotonic()
        # Looked at now and then: requests come and go thousands of times a second.
        await asyncio.sleep(min(most - rested, LOOK_SECONDS))
        if taken() == before:
            return
        spare = process_time() - used < SPARE * (monotonic() - at)
        if spare and monotonic() - began >= least:
            return


class Courteous:
    """A consumer that rests between batches while requests come in."""

    def __init__(self, consumer: Consumer, taken: Taken) -> None:
        self._consumer = consumer
        self._taken = taken
        self._polled: tuple[float, int] | None = None

    async def poll(self, limit: int, wait_seconds: float) -> list[Delivered]:
        polled, self._polled = self._polled, None
        if polled is not None and polled[1] < self._taken():
            worked = monotonic() - polled[0]
            most = min(max(worked * REST, LEAST_REST), LONGEST_REST)
            await rest(self._taken, LEAST_REST, most)
        found = await self._consumer.poll(limit, wait_seconds)
        if found:
            self._polled = monotonic(), self._taken()
        return found

    async def commit(self, done: Mapping[Partition, int]) -> None:
        await self._consumer.commit(done)

    def rewind(self, back_to: Mapping[Partition, int]) -> None:
        self._consumer.rewind(back_to)

    async def lag(self) -> dict[Partition, int]:
        return await self._consumer.lag()

    async def close(self) -> None:
        await self._consumer.close()
