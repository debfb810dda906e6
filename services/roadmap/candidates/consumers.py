"""What themes' events do to candidates. Called by the service's consumer, in its transaction.

Every decision goes by the events' own times. Nothing here refuses: a theme that has moved on is
counted and logged, and that is all.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap import metrics
from services.roadmap.candidates import store
from services.roadmap.candidates.changes import (
    Rise,
    apply,
    raise_candidate,
    raise_candidates,
    rescore,
)
from services.roadmap.candidates.domain import (
    AcceptCandidate,
    Facts,
    MergeCandidate,
    WakeCandidate,
    WithdrawCandidate,
)
from services.roadmap.candidates.returning import Asking, Past, asking
from services.roadmap.candidates.standing import Standing
from services.roadmap.candidates.store import Stored
from services.roadmap.items import commands as item_commands
from services.roadmap.items import ranking as item_ranking
from services.roadmap.items import store as items
from services.roadmap.items.store import Settled
from services.roadmap.themes import store as themes
from services.roadmap.themes.store import Theme
from shared.context import Context
from shared.contracts.feedback import ReasonData

logger = structlog.get_logger(__name__)

PERSON = "person"
"""The detector that a reason names when a person raised the candidate."""

WORTH_IT = 5
"""Rises from which on it pays to look up the places of all open candidates at once."""

UNFOUNDED = "Late or corrected evidence says that the theme never rose"


async def follow(
    conn: AsyncConnection, theme_id: str, at: datetime, ctx: Context, said: str = ""
) -> None:
    """Bring what the roadmap does about this theme up to what is known of it, as of `at`.

    The one rule, whatever was heard: a theme that asks for a decision has a candidate waiting, unless
    an item is at work on it, whose rank then follows. What its evidence never gave cause for is
    withdrawn, unless a person has dealt with it. Idempotent; where a theme stands in the end follows
    from what was said last and from what people decided. `said`: what was heard, for the history.
    """
    theme = await themes.load(conn, theme_id)
    waiting = await store.waiting_for(conn, theme_id)
    if waiting is None and await _weighed_in_work(conn, theme_id):
        return
    past = await _past_of(conn, theme_id)
    asks = asking(past, theme)
    if waiting is None and asks is not None:
        await _raise(conn, theme_id, theme, past, asks, ctx)
    elif waiting is None or theme is None:
        if said and theme is not None and theme.state == "escalated":
            _ignored(theme_id)
    elif asks is None and await _untouched(conn, waiting):
        await apply(conn, waiting, WithdrawCandidate(at, UNFOUNDED), waiting[1], ctx)
    else:
        await _new_evidence(conn, waiting, theme, asks, ctx, because=said)


async def undecided(conn: AsyncConnection, theme_ids: Sequence[str]) -> set[str]:
    """Those of these themes that nothing waits for and nobody ever did anything about."""
    left = set(theme_ids) - await store.dealt_with(conn, theme_ids)
    left -= await items.dealt_with(conn, theme_ids)
    return left - await themes.with_parts(conn, theme_ids)


async def follow_undecided(
    conn: AsyncConnection, told: Sequence[tuple[Theme, Context, str]]
) -> None:
    """What `follow` does about themes of which `undecided` is true, for many at once, in their order;
    with each what was `said`."""
    rises: list[tuple[Rise, Context]] = []
    for theme, ctx, said in told:
        asks = asking(Past(), theme)
        if asks is not None:
            rises.append((_rise(theme.theme_id, theme, Past(), asks), ctx))
        elif said and theme.state == "escalated":
            _ignored(theme.theme_id)
    if len(rises) >= WORTH_IT:
        await raise_candidates(conn, rises)
    else:
        for rise, ctx in rises:
            await raise_candidate(conn, rise, ctx)
    for _, ctx in rises:
        metrics.observe_raised(ctx.correlation_id, ctx.now)


def _ignored(theme_id: str) -> None:
    metrics.rises_ignored.inc()
    logger.info("theme was decided about, and nothing is new", theme_id=theme_id)


async def _untouched(conn: AsyncConnection, waiting: Stored) -> bool:
    """Whether no person has raised, estimated, confirmed or snoozed it, or merged others into it."""
    candidate, standing = waiting
    estimated = standing.effort_person_months or standing.duration_weeks
    if candidate.state != "open" or standing.confirmed or estimated or _by_hand(standing):
        return False
    return not await store.merged_into(conn, candidate.candidate_id)


def _by_hand(standing: Standing) -> tuple[ReasonData, ...]:
    """The reasons that a person gave for raising it, if one did."""
    return tuple(reason for reason in standing.reasons if reason.detector == PERSON)


async def on_merged(conn: AsyncConnection, theme: Theme, by: str, ctx: Context) -> None:
    """The theme is part of another now: so is its candidate, and so is the item's work on it."""
    into = await themes.standing_for(conn, theme.theme_id)
    if into == theme.theme_id:
        return
    await item_commands.follow_merge(conn, theme.theme_id, into, theme.at, ctx)
    waiting = await store.waiting_for(conn, theme.theme_id)
    target = await store.waiting_for(conn, into)
    if waiting is not None and target is not None:
        merge = MergeCandidate(target[0], by, max(theme.at, waiting[0].raised_at))
        await apply(conn, waiting, merge, waiting[1], ctx)
    elif waiting is not None:
        await _move(conn, waiting, into, theme.at, ctx)
    await _join_item_at_work(conn, into, by, theme.at, ctx)
    await follow(conn, into, theme.at, ctx)


async def _move(
    conn: AsyncConnection, waiting: Stored, into: str, at: datetime, ctx: Context
) -> None:
    """The candidate goes on as that of another theme, by whose evidence it is scored."""
    candidate, standing = waiting
    known = await themes.load(conn, into)
    evidence = known.evidence if known and known.evidence else standing.evidence
    await rescore(
        conn,
        waiting,
        replace(standing, evidence=evidence),
        at,
        ctx,
        because=f"Theme {candidate.theme_id} was merged into {into}, whose candidate this is now",
        always=True,
        theme_id=into,
    )


async def _join_item_at_work(
    conn: AsyncConnection, theme_id: str, by: str, at: datetime, ctx: Context
) -> None:
    """Whoever merged the themes has decided: the item that deals with the one deals with both."""
    item_id = await items.in_work_for(conn, theme_id)
    waiting = await store.waiting_for(conn, theme_id)
    if item_id is None or waiting is None:
        return
    candidate, standing = waiting
    accept = AcceptCandidate(item_id, by, max(at, candidate.raised_at))
    await apply(conn, waiting, accept, standing, ctx)
    await items.link(conn, item_id, [candidate.candidate_id])


async def _raise(
    conn: AsyncConnection,
    theme_id: str,
    theme: Theme | None,
    past: Past,
    asks: Asking,
    ctx: Context,
) -> None:
    await raise_candidate(conn, _rise(theme_id, theme, past, asks), ctx)
    if asks.risen:
        metrics.observe_raised(ctx.correlation_id, ctx.now)


def _rise(theme_id: str, theme: Theme | None, past: Past, asks: Asking) -> Rise:
    about = theme or past.settled
    assert about is not None
    return Rise(
        theme_id=theme_id,
        title=about.title,
        product=about.product,
        service=theme.service if theme else "unassigned",
        at=asks.at,
        reasons=(*asks.reasons, *(theme.reasons if theme else ())),
        theme=theme,
        previous_id=past.last.candidate_id if past.last else None,
        why=asks.why,
    )


async def _past_of(conn: AsyncConnection, theme_id: str) -> Past:
    last = await store.decided_last(conn, theme_id)
    end = last
    while end is not None and end[0].state == "merged":
        end = await store.load(conn, end[0].into_candidate_id or "")
    settled = await items.settled_last(conn, [theme_id])
    return Past(
        last=last[0] if last else None,
        stands_for_it=end[0] if end else None,
        total_then=last[1].total if last else 0,
        settled=settled or await _regressed_part(conn, theme_id),
    )


async def _regressed_part(conn: AsyncConnection, theme_id: str) -> Settled | None:
    """What was delivered for a theme that is part of this one by now, if that made it worse."""
    settled = await items.settled_last(conn, await themes.merged_into(conn, theme_id))
    return settled if settled and settled.state == "regressed" else None


async def _new_evidence(
    conn: AsyncConnection,
    waiting: Stored,
    theme: Theme,
    asks: Asking | None,
    ctx: Context,
    *,
    because: str,
) -> None:
    candidate, standing = waiting
    own = _by_hand(standing)
    reasons = (*own, *(asks.reasons if asks else ()), *theme.reasons)
    after = replace(
        standing,
        service=standing.service if own else theme.service,
        evidence=theme.evidence or standing.evidence,
        reasons=reasons or standing.reasons,
        quiet_since=theme.quiet_since,
    )
    raised_at = asks.at if asks and not asks.measured and not own else candidate.raised_at
    title, product = (candidate if own else theme).title, (candidate if own else theme).product
    facts = Facts(title, product, raised_at)
    candidate = await rescore(conn, waiting, after, theme.at, ctx, because=because, facts=facts)
    if candidate.until_total is not None and theme.total >= candidate.until_total:
        why = (
            f"The theme's evidence has {theme.total} rows, and {candidate.until_total} were awaited"
        )
        wake = WakeCandidate(theme.at, why, after.reasons)
        stored = await store.load(conn, candidate.candidate_id)
        await apply(conn, stored, wake, stored[1], ctx)


async def _weighed_in_work(conn: AsyncConnection, theme_id: str) -> bool:
    """True when an item is at work on the theme: the evidence then moves that item's rank."""
    item_id = await items.in_work_for(conn, theme_id)
    if item_id is not None:
        await item_ranking.weigh(conn, item_id)
    return item_id is not None
