"""The feedback service's background work: the relay, two consumers, and the timers of event time."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.app import NAME
from services.feedback.consumers import subscriptions
from services.feedback.evidence import store as evidence
from services.feedback.outcomes import commands as outcomes
from services.feedback.themes import commands as themes
from shared.bus import Bus
from shared.clock import Clock, utc_now
from shared.consumer import consume_forever
from shared.context import Context
from shared.database import Database
from shared.ids import new_id
from shared.outbox import relay_forever
from shared.pruning import prune_forever
from shared.supervisor import Job, every
from shared.upkeep import Upkeep

REVIEW_SECONDS = 5.0
"""Between two looks at what is due. Each look is five reads by index when nothing is."""

CHUNK = 100
"""Themes or outcomes in one transaction, so that consumers get their turn."""


def jobs(
    db: Database, bus: Bus, clock: Clock = utc_now, upkeep: Upkeep | None = None
) -> dict[str, Job]:
    """What runs beside the HTTP side; one process of it per database is enough."""
    kept = upkeep or Upkeep()
    listening: dict[str, Job] = {
        subscription.group: partial(
            consume_forever, db, bus, subscription, in_a_row=kept.dead_letters_in_a_row
        )
        for subscription in subscriptions(clock)
    }
    return {
        f"{NAME}.relay": partial(relay_forever, NAME, db, bus),
        **listening,
        f"{NAME}.pruning": partial(prune_forever, db, kept),
        f"{NAME}.review": every(REVIEW_SECONDS, _reviewing(db, clock)),
    }


def _reviewing(db: Database, clock: Clock) -> Callable[[], Awaitable[None]]:
    seen: datetime | None = None

    async def look() -> None:
        nonlocal seen
        seen = await review(db, clock, seen)

    return look


async def review(db: Database, clock: Clock, before: datetime | None = None) -> datetime | None:
    """Bring everything up to the horizon: themes under changed policies, escalations that may have
    fallen quiet, outcomes that are due, numbers that were told long ago. Returns the horizon that it
    began with; None, and nothing is done, before the first event.

    `before` is what the look before this one returned. Where the horizon still stands there, nothing
    comes in: then also what is due later is brought up to it, so that in the end all that was said
    follows from the evidence alone, whenever the looks were.
    """
    async with db.begin() as conn:
        await themes.take_policy_changes(conn)
        horizon = await evidence.current_horizon(conn)
    # failpoint: review.begun
    await _until_done(db, clock, themes.review_due)
    await _until_done(db, clock, partial(_tell_again, before))
    # failpoint: review.themes_done
    await _until_done(db, clock, partial(_assess_due, before))
    return horizon


async def _tell_again(
    before: datetime | None, conn: AsyncConnection, as_of: datetime, ctx: Context, limit: int
) -> int:
    return await themes.tell_again(conn, as_of, ctx, limit, quiet=as_of == before)


async def _assess_due(
    before: datetime | None, conn: AsyncConnection, as_of: datetime, ctx: Context, limit: int
) -> int:
    return await outcomes.assess_due(conn, as_of, ctx, limit, quiet=as_of == before)


Work = Callable[[AsyncConnection, datetime, Context, int], Awaitable[int]]


async def _until_done(db: Database, clock: Clock, work: Work) -> None:
    done = CHUNK
    while done == CHUNK:
        async with db.begin() as conn:
            done = await _some(conn, clock, work)


async def _some(conn: AsyncConnection, clock: Clock, work: Work) -> int:
    as_of = await evidence.current_horizon(conn)
    if as_of is None:
        return 0
    ctx = Context("feedback", "service:feedback", clock(), new_id("cor"))
    return await work(conn, as_of, ctx, CHUNK)
