"""Writers and readers for the stories of this folder, and what must hold once they are through.

A writer sends as the outbox's relay does: in order, and the same again until it was acknowledged. A
reader does as the inbox does: what it knows by its id already has no second effect.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from shared.bus import Bus, Consumer, Delivered, KafkaBus, KafkaOptions
from shared.envelope import Record

KEYS = 20
STEP = 0.05
"""Seconds from one batch to the next: the stories are about order, not about load."""


@dataclass
class Story:
    """What was sent, what came of it, and how often something went wrong on the way."""

    topic: str
    group: str
    sent: int = 0
    failed_sends: int = 0
    effects: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    known: set[str] = field(default_factory=set[str])

    def records_of(self, number: int) -> list[Record]:
        return [
            Record(self.topic, f"k{key}", {"ce_id": f"k{key}-{number}"}, str(number).encode())
            for key in range(KEYS)
        ]

    async def write(self, bus: Bus) -> None:
        """Send until cancelled, at any moment; what was not acknowledged counts as not sent."""
        while True:
            batch = self.records_of(self.sent)
            try:
                await bus.send(batch)
            except Exception:
                self.failed_sends += 1
                await asyncio.sleep(STEP)
                continue
            self.sent += 1
            await asyncio.sleep(STEP)

    async def read(self, consumer: Consumer) -> None:
        """Poll, apply and commit until cancelled."""
        while True:
            taken = await consumer.poll(500, 0.5)
            self.apply(taken)
            await consumer.commit({one.partition: one.offset + 1 for one in taken})

    def apply(self, taken: Sequence[Delivered]) -> None:
        for one in taken:
            if (name := one.record.headers["ce_id"]) not in self.known:
                self.known.add(name)
                self.effects.setdefault(one.record.key, []).append(int(one.record.value))

    async def settled(self, seconds: float = 30.0) -> None:
        """Wait until everything that was acknowledged has had its effect, then look at the order."""
        async with asyncio.timeout(seconds):
            while len(self.known) < self.sent * KEYS:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert self.sent > 0
        for key in range(KEYS):
            effects = self.effects[f"k{key}"]
            assert effects == list(range(len(effects))), f"k{key} out of order"
            assert len(effects) >= self.sent


async def log_of(servers: str, topic: str, options: KafkaOptions) -> list[Delivered]:
    """Everything that a topic holds."""
    async with started(servers, options) as bus:
        consumer = await bus.join(f"{topic}.log", [topic])
        found: list[Delivered] = []
        async with asyncio.timeout(30):
            while set((await consumer.lag()).values()) != {0}:
                taken = await consumer.poll(500, 0.5)
                await consumer.commit({one.partition: one.offset + 1 for one in taken})
                found += taken
        return found


@asynccontextmanager
async def started(servers: str, options: KafkaOptions) -> AsyncGenerator[KafkaBus]:
    """A process of its own, as far as the broker can tell."""
    bus = KafkaBus(servers, options)
    await bus.start()
    try:
        yield bus
    finally:
        await bus.stop()


@asynccontextmanager
async def running(*work: asyncio.Task[None]) -> AsyncGenerator[None]:
    """Work in the background; an error in it fails the test."""
    try:
        yield
        for task in work:
            if task.done() and not task.cancelled():
                task.result()
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
