"""Whatever happens in whatever order, these hold: one waiting candidate a theme, one item at work
on it, and every log folds to what is stored, version by version.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from services.roadmap.app import MIGRATIONS
from services.roadmap.candidates import commands, store
from services.roadmap.candidates.commands import Acceptance
from services.roadmap.candidates.domain import WAITING
from services.roadmap.candidates.store import candidates
from services.roadmap.consumers import handle
from services.roadmap.items import commands as item_commands
from services.roadmap.items.domain import CancelItem, DeliverItem
from services.roadmap.items.store import item_themes, items
from shared.context import Context
from shared.database import Database
from shared.envelope import Event
from shared.refusals import Refusal
from tests.conftest import database
from tests.engines.stores import Store
from tests.roadmap.saying import (
    NOW,
    assessed,
    changed,
    escalated,
    folded_candidates,
    folded_items,
    merged,
    quieted,
)

THEMES = ("a", "b")
EVENTS = ("escalated", "changed", "quieted", "merged", "again")
DECISIONS = ("accept", "decline", "snooze", "merge", "wake")
WORK = ("deliver", "cancel", "verified", "regressed")

steps = st.lists(
    st.tuples(
        st.sampled_from(EVENTS + DECISIONS + WORK + ("escalated",) * 4 + ("accept",) * 4),
        st.sampled_from(THEMES),
        st.sampled_from(THEMES),
        st.integers(0, 80),
    ),
    min_size=10,
    max_size=40,
)


@dataclass
class World:
    """One example's themes and what was heard of them."""

    db: Database
    heard: list[Event] = field(default_factory=list[Event])
    hours: int = 0

    def theme(self, name: str) -> str:
        return f"thm_{name}"

    async def do(self, verb: str, one: str, other: str, number: int) -> None:
        """Let an hour pass, and something happen in it; a refusal is an answer, too."""
        self.hours += 1
        theme_id, at = self.theme(one), NOW - timedelta(days=30) + timedelta(hours=self.hours)
        async with self.db.begin() as conn:
            ctx = Context("roadmap", "ada", at, "req_story")
            try:
                if verb in EVENTS:
                    await handle(conn, self._event(verb, theme_id, self.theme(other), number, at))
                elif verb in DECISIONS:
                    await self._decide(conn, verb, theme_id, self.theme(other), number, ctx)
                else:
                    await self._work(conn, verb, theme_id, ctx)
            except Refusal as refused:
                assert str(refused).endswith((".", "}"))  # noqa: PT017 – a refusal is a sentence

    def _event(self, verb: str, theme_id: str, other: str, number: int, at: Any) -> list[Event]:
        match verb:
            case "escalated":
                event = escalated(theme_id, at=at, total=number + self.hours)
            case "changed":
                event = changed(theme_id, at=at, total=number)
            case "quieted":
                event = quieted(theme_id, at=at, total=number)
            case "merged" if theme_id != other:
                event = merged(theme_id, other, at=at)
            case _:
                return self.heard[number % len(self.heard) :][:2] if self.heard else []
        self.heard.append(event)
        return [event]

    async def _decide(
        self, conn: Any, verb: str, theme_id: str, other: str, number: int, ctx: Context
    ) -> None:
        if verb == "wake":
            await commands.wake_due(conn, ctx)
        waiting = await store.waiting_for(conn, theme_id)
        if waiting is None:
            return
        candidate_id, total = waiting[0].candidate_id, waiting[1].total + 1 + number
        match verb:
            case "accept":
                await commands.accept(conn, candidate_id, Acceptance(ctx.now), ctx)
            case "decline":
                await commands.decline(conn, candidate_id, "no", ctx.now, ctx)
            case "snooze":
                until = ctx.now + timedelta(hours=1 + number // 10)
                await commands.snooze(
                    conn, candidate_id, ctx.now, ctx, until=until, until_total=total
                )
            case "merge":
                target = await store.waiting_for(conn, other)
                into = target[0].candidate_id if target else candidate_id
                await commands.merge(conn, candidate_id, into, ctx.now, ctx)
            case _:
                return

    async def _work(self, conn: Any, verb: str, theme_id: str, ctx: Context) -> None:
        query = select(item_themes.c.item_id).where(item_themes.c.theme_id == theme_id)
        for item_id in sorted((await conn.execute(query)).scalars()):
            if verb == "deliver":
                await item_commands.deliver(conn, item_id, DeliverItem(ctx.now), ctx)
            elif verb == "cancel":
                await item_commands.handle(conn, item_id, CancelItem("no", ctx.now), ctx)
            else:
                item = {"id": item_id, "theme_ids": [theme_id]}
                await handle(conn, [assessed(item, verb, final=verb == "verified")])

    async def check(self) -> None:
        async with self.db.read() as conn:
            query = select(candidates.c.theme_id).where(candidates.c.state.in_(WAITING))
            waiting = Counter((await conn.execute(query)).scalars())
            in_work = (
                select(item_themes.c.theme_id)
                .join(items, items.c.item_id == item_themes.c.item_id)
                .where(items.c.state.in_(("planned", "committed", "started")))
            )
            working = Counter((await conn.execute(in_work)).scalars())
        assert max(waiting.values(), default=1) == 1
        assert max(working.values(), default=1) == 1
        assert not waiting.keys() & working.keys()


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps)
def test_whatever_the_order_a_theme_waits_once_and_is_worked_on_once(
    store: Store, steps: list[tuple[str, str, str, int]]
) -> None:
    async def run() -> None:
        async with database(store, MIGRATIONS) as db:
            world = World(db)
            for step in steps:
                await world.do(*step)
                await world.check()
            assert all(stored == folded for stored, folded in await folded_candidates(db))
            assert all(stored == folded for stored, folded in await folded_items(db))

    asyncio.run(run())
