"""The feedback service's background work: the relay, two consumers, and the timers of event time."""

from collections.abc import Awaitable, Callable
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
from shared.supervisor import Job, every

REVIEW_SECONDS = 5.0
"""Between two looks at what is due. Each look is three reads by index when nothing is."""

CHUNK = 100
"""Themes or outcomes in one transaction, so that consumers get their turn."""


def jobs(db: Database, bus: Bus, clock: Clock = utc_now) -> dict[str, Job]:
    """What runs beside the HTTP side; one process of it per database is enough."""
    listening: dict[str, Job] = {
        subscription.group: partial(consume_forever, db, bus, subscription)
        for subscription in subscriptions(clock)
    }
    return {
        f"{NAME}.relay": partial(relay_forever, NAME, db, bus),
        **listening,
        f"{NAME}.review": every(REVIEW_SECONDS, partial(review, db, clock)),
    }


async def review(db: Database, clock: Clock) -> None:
    """Bring everything up to the horizon: themes under changed policies, escalations that may have
    fallen quiet, outcomes that are due. Does nothing before the first event."""
    async with db.begin() as conn:
        await themes.take_policy_changes(conn)
    await _until_done(db, clock, themes.review_due)
    await _until_done(db, clock, outcomes.assess_due)


Work = Callable[..., Awaitable[int]]


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
