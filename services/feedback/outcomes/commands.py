"""Starts and assesses outcomes, in the caller's transaction."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.outcomes import store
from services.feedback.outcomes.domain import Outcome, assessed, reduction_of, watched
from services.feedback.outcomes.material import Gathered, gather
from services.feedback.outcomes.policy import OutcomePolicy
from services.feedback.outcomes.verdict import Verdict, judge
from shared.context import Context
from shared.contracts.feedback import OutcomeAssessed
from shared.contracts.roadmap import ItemDelivered
from shared.ids import new_id
from shared.outbox import publish

POLICY = OutcomePolicy()


async def start(
    conn: AsyncConnection, delivered: ItemDelivered, as_of: datetime, ctx: Context
) -> None:
    """Begin to measure a delivery, and say what can be said already. Idempotent per delivery."""
    watch_from, watch_until = watched(delivered.at, POLICY)
    outcome = Outcome(
        id=new_id("out"),
        item_id=delivered.item_id,
        title=delivered.title,
        product=delivered.product,
        theme_ids=tuple(sorted(set(delivered.theme_ids))),
        delivered_at=delivered.at,
        watch_from=watch_from,
        watch_until=watch_until,
        release=delivered.release,
        expected_reduction=reduction_of(delivered.expected_reduction),
    )
    if await store.add(conn, outcome):
        await assess(conn, outcome, as_of, ctx)


async def mark_touched(
    conn: AsyncConnection, theme_ids: Iterable[str], oldest: datetime, newest: datetime
) -> None:
    """Evidence of these themes changed, all of it from between these times: due are the outcomes
    that watch any of this time, whosever evidence it is, and these themes' own.

    The worker assesses them, once for many batches: each look reads all of a product's incidents.
    """
    await store.mark_watching(conn, oldest, newest)
    await store.mark_due(conn, theme_ids, oldest)


async def mark_delivered(conn: AsyncConnection, at: datetime) -> None:
    """Something was delivered then: its themes are no measure any more for the outcomes that watch
    this time, which become due."""
    await store.mark_watching(conn, at, at)


async def assess_due(
    conn: AsyncConnection, as_of: datetime, ctx: Context, limit: int, *, quiet: bool
) -> int:
    """Look at the outcomes that are due as of then; returns how many were. `quiet`: nothing comes
    in, so that all which are not final may be brought up to then."""
    due = await store.due(conn, as_of, limit, stale=quiet)
    for outcome in due:
        await assess(conn, outcome, as_of, ctx.about(outcome.id))
    return len(due)


async def assess(conn: AsyncConnection, outcome: Outcome, as_of: datetime, ctx: Context) -> None:
    """Look at an outcome as of then; publishes when there is something new to say."""
    gathered = await gather(conn, outcome)
    verdict = judge(
        gathered.treated,
        gathered.untreated,
        outcome.delivered_at,
        as_of,
        POLICY,
        outcome.expected_reduction,
        siblings=gathered.siblings,
    )
    after = assessed(outcome, _compared(verdict, gathered), as_of)
    await store.save(conn, after, was=outcome.version)
    # failpoint: review.outcome_saved
    if after.version == outcome.version:
        return
    at = after.as_of or as_of
    said = OutcomeAssessed(
        outcome_id=after.id,
        item_id=after.item_id,
        theme_ids=list(after.theme_ids),
        at=at,
        verdict=verdict.outcome,
        final=after.final,
        text=after.text,
        numbers=dict(after.numbers),
    )
    await publish(conn, [ctx.event(said, subject=after.id, version=after.version, at=at)])


def _compared(verdict: Verdict, gathered: Gathered) -> Verdict:
    """The verdict, saying also what the untreated are."""
    count = gathered.untreated_themes
    whose = "of the product" if gathered.of_product else "of all products"
    beside = f"{count} other theme{'s' if count != 1 else ''} {whose}" if count else "nothing"
    return replace(
        verdict,
        text=f"{verdict.text} Held against {beside}.",
        numbers={
            **verdict.numbers,
            "untreated_themes": float(count),
            "untreated_of_product": float(gathered.of_product),
        },
    )
