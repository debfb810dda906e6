"""The load of the chaos walk: senders and a person, who log what they did and what they were told."""

import asyncio
import random
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import httpx

from shared.clock import utc_now
from tests.faults.chaos_system import System
from tests.faults.client import Sender, Stated, new_signal
from tests.faults.history import History

SENDERS = 6
PAINS = 8
PACE_SECONDS = 0.06
"""Between two posts of one sender: the machine has more to do than to answer them."""
ANSWER_SECONDS = 10.0
UNSURE = frozenset({"signal-store-unavailable"})
"""Problems that refuse nothing for certain: the database may have gone in the middle of a commit."""
FIRED = timedelta(seconds=30)
DAYS = 20
"""Alerts are spread over so many days, so that themes rise and candidates are raised."""


@dataclass
class Load:
    """What is told to a system, until it is stopped."""

    system: System
    chance: random.Random
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.system.url,
            headers={"Authorization": f"Bearer {self.system.key}"},
            timeout=ANSWER_SECONDS,
            trust_env=False,
        )

    async def send(self, number: int) -> None:
        """One sender: new alerts, repeats, ends; reads back what was acknowledged."""
        chance = random.Random(self.chance.random())
        firing: list[Stated] = []
        with History(
            self.system.histories / f"sender-{number}-{uuid.uuid4().hex[:6]}.jsonl"
        ) as history:
            async with self.client() as client:
                format = "alertmanager" if number % 3 == 0 else "native"
                sender = Sender(client, history, format, ANSWER_SECONDS, attempts=4, unsure=UNSURE)
                while not self._stop.is_set():
                    await asyncio.sleep(PACE_SECONDS * chance.uniform(0.5, 1.5))
                    some = _next(chance, firing)
                    if await sender.send(some, read_back=chance.random() < 0.2):
                        firing += [one for one in some if one.op == "fire" and one not in firing]

    async def command(self) -> None:
        """A person who opens incidents, each asked for until it is acknowledged, with one key."""
        async with self.client() as client:
            while not self._stop.is_set():
                await asyncio.sleep(PACE_SECONDS * 5)
                mark = f"mark-{uuid.uuid4().hex}"
                self.system.uncertain[mark] = "incident"
                if await self._ask(client, mark):
                    self.system.acknowledged[mark] = self.system.uncertain.pop(mark)

    async def _ask(self, client: httpx.AsyncClient, mark: str) -> bool:
        body = {"title": mark, "service": "desk", "severity": "low"}
        for _ in range(20):
            try:
                answer = await client.post(
                    "/v1/incidents", json=body, headers={"Idempotency-Key": mark}
                )
                if answer.is_success:
                    return True
            except httpx.TransportError:
                pass  # nobody knows: ask again, with the same key
            if self._stop.is_set():
                return False
            await asyncio.sleep(0.3)
        return False

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Everybody works while the block runs, and ends what is under way when it ends."""
        self._stop.clear()
        async with asyncio.TaskGroup() as group:
            for number in range(SENDERS):
                group.create_task(self.send(number))
            group.create_task(self.command())
            try:
                yield
            finally:
                self._stop.set()


def _next(chance: random.Random, firing: list[Stated]) -> list[Stated]:
    """What one post says: mostly new alerts, now and then known ones again, or their ends."""
    drawn = chance.random()
    if firing and drawn < 0.2:
        return chance.sample(firing, min(len(firing), chance.randint(1, 3)))
    if firing and drawn < 0.45:
        over = firing.pop(chance.randrange(len(firing)))
        return [replace(over, ends_at=over.starts_at + FIRED)]
    pain = f"pain-{chance.randrange(PAINS)}"
    past = timedelta(seconds=chance.uniform(60, DAYS * 86_400))
    return [new_signal(pain, starts_at=utc_now() - past) for _ in range(chance.randint(1, 3))]
