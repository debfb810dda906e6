"""Feedback and roadmap with nothing between them but events, which travel in any order and any cut.

What is kept is what a bus keeps: the events of one aggregate stay in order, and every event arrives,
some of them twice.
"""

import random
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select

from services.feedback import app as feedback_app
from services.feedback.consumers import subscriptions
from services.feedback.worker import review
from services.roadmap import app as roadmap_app
from services.roadmap.candidates import commands as candidates
from services.roadmap.candidates.commands import Acceptance
from services.roadmap.candidates.store import candidates as candidate_table
from services.roadmap.consumers import SUBSCRIPTION
from services.roadmap.items import commands as items
from services.roadmap.items.domain import CancelItem, CommitItem, DeliverItem
from shared.consumer import Subscription
from shared.context import Context
from shared.database import Database
from shared.envelope import Event, Record, decode
from shared.inbox import claim
from shared.outbox import outbox
from tests.conftest import database
from tests.engines.stores import Store
from tests.feedback.conftest import day

Lanes = dict[str, list[Event]]
"""What waits, by aggregate."""


def clock() -> datetime:
    return day(400)


@dataclass
class World:
    """`rng` None: everything that waits arrives at once, before the next service gets its turn."""

    feedback: Database
    roadmap: Database
    rng: random.Random | None
    waiting: dict[str, Lanes] = field(default_factory=dict[str, Lanes])
    read: dict[str, int] = field(default_factory=dict[str, int])
    arrived: dict[str, list[Event]] = field(default_factory=dict[str, list[Event]])

    def __post_init__(self) -> None:
        self.members = {sub.group: (self.feedback, sub) for sub in subscriptions(clock)}
        self.members[SUBSCRIPTION.group] = (self.roadmap, SUBSCRIPTION)

    def send(self, events: Iterable[Event]) -> None:
        """Put events on their way to all who listen."""
        for event in events:
            for group, (_, sub) in self.members.items():
                if event.type in sub.types:
                    lanes = self.waiting.setdefault(group, {})
                    lanes.setdefault(event.subject, []).append(event)

    async def relay(self) -> int:
        """Put on their way what the services have published since."""
        count = 0
        for name, db in (("feedback", self.feedback), ("roadmap", self.roadmap)):
            fresh = select(outbox).where(outbox.c.seq > self.read.get(name, 0))
            async with db.read() as conn:
                rows = (await conn.execute(fresh.order_by(outbox.c.seq))).all()
            self.send(decode(Record(row.topic, row.key, row.headers, row.value)) for row in rows)
            self.read[name] = rows[-1].seq if rows else self.read.get(name, 0)
            count += len(rows)
        return count

    async def arrive(self) -> None:
        """Deliver all that waits and all that comes of it."""
        while True:
            await self.relay()
            groups = [group for group, lanes in self.waiting.items() if any(lanes.values())]
            if not groups:
                return
            group = self.rng.choice(groups) if self.rng else groups[0]
            db, sub = self.members[group]
            await self._deliver(db, sub, self._batch(group))
            if self.rng and self.rng.random() < 0.15:
                await review(self.feedback, clock)

    def _batch(self, group: str) -> list[Event]:
        lanes = self.waiting[group]
        if self.rng is None:
            self.waiting[group] = {}
            return [event for lane in lanes.values() for event in lane]
        before = self.arrived.setdefault(group, [])
        batch = self.rng.sample(before, min(len(before), self.rng.randrange(3)))
        for _ in range(self.rng.randint(1, 20)):
            if left := [lane for lane in lanes.values() if lane]:
                batch.append(self.rng.choice(left).pop(0))
        before += batch
        return batch

    async def _deliver(self, db: Database, sub: Subscription, batch: Sequence[Event]) -> None:
        async with db.begin() as conn:
            fresh = await claim(conn, sub.group, list({event.id for event in batch}))
            once = {event.id: event for event in batch if event.id in fresh}
            await sub.handle(conn, list(once.values()))

    async def settle(self) -> None:
        """Deliver everything, and let the timer look until it has nothing more to say."""
        while True:
            await self.arrive()
            await review(self.feedback, clock, await review(self.feedback, clock))
            if not await self.relay():
                return

    async def decide(self, at: datetime) -> None:
        """What people do about what waits then, by place in an order that every engine agrees on."""
        c = candidate_table.c
        query = select(candidate_table).where(c.state == "open")
        async with self.roadmap.read() as conn:
            order = query.order_by(c.service, c.title, c.raised_at)
            rows = (await conn.execute(order)).all()
        for place, row in enumerate(rows):
            async with self.roadmap.begin() as conn:
                ctx = Context("roadmap", "ada", at, "req_story")
                id_ = row.candidate_id
                match place % 5:
                    case 0 | 1:
                        accepted = await candidates.accept(conn, id_, Acceptance(at), ctx)
                        item_id = accepted.item_id or ""
                        if place % 5 == 1:
                            await items.handle(conn, item_id, CancelItem("no budget", at), ctx)
                        else:
                            await items.commit(conn, item_id, CommitItem(0.5, at), ctx)
                            await items.deliver(conn, item_id, DeliverItem(at), ctx)
                    case 2:
                        await candidates.decline(conn, id_, "not now", at, ctx)
                    case 3:
                        total = row.evidence["total"] + 2
                        await candidates.snooze(conn, id_, at, ctx, until=None, until_total=total)
                    case _:
                        await candidates.confirm(conn, id_, ctx)


@asynccontextmanager
async def a_world(store: Store, rng: random.Random | None) -> AsyncIterator[World]:
    """A world over fresh databases."""
    async with (
        database(store, feedback_app.MIGRATIONS) as feedback,
        database(store, roadmap_app.MIGRATIONS) as roadmap,
    ):
        yield World(feedback, roadmap, rng)
