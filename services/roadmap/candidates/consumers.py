"""What themes' events do to candidates. Called by the service's consumer, in its transaction.

Every decision goes by the events' own times. Nothing here refuses: a theme that has moved on is
counted and logged, and that is all.
"""

from dataclasses import replace
from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap import metrics
from services.roadmap.candidates import store
from services.roadmap.candidates.changes import Rise, apply, raise_candidate, rescore
from services.roadmap.candidates.domain import AcceptCandidate, MergeCandidate, WakeCandidate
from services.roadmap.candidates.returning import Past, why_it_goes_on, why_it_rises
from services.roadmap.candidates.store import Stored
from services.roadmap.items import commands as item_commands
from services.roadmap.items import ranking as item_ranking
from services.roadmap.items import store as items
from services.roadmap.themes import store as themes
from services.roadmap.themes.store import Theme
from shared.context import Context
from shared.contracts.feedback import ReasonData

logger = structlog.get_logger(__name__)


async def on_escalated(conn: AsyncConnection, theme: Theme, ctx: Context) -> None:
    """A detector rose: raise a candidate, unless one waits already or an item is at work on it."""
    waiting = await store.waiting_for(conn, theme.theme_id)
    if waiting is not None:
        risen = ", ".join(reason.detector for reason in theme.reasons)
        await _new_evidence(conn, waiting, theme, ctx, because=f"Risen: {risen}", risen=True)
        return
    if await _weighed_in_work(conn, theme):
        return
    past = await _past_of(conn, theme)
    if (why := why_it_rises(past, theme)) is None:
        metrics.rises_ignored.inc()
        logger.info("theme was decided about, and nothing is new", theme_id=theme.theme_id)
        return
    await _raise(conn, theme, past, why, ctx)


async def on_evidence_changed(conn: AsyncConnection, theme: Theme, ctx: Context) -> None:
    """The theme's numbers moved: its candidate is scored again, or the item's rank follows."""
    waiting = await store.waiting_for(conn, theme.theme_id)
    if waiting is not None:
        await _new_evidence(conn, waiting, theme, ctx)
    elif not await _weighed_in_work(conn, theme) and theme.state == "escalated":
        past = await _past_of(conn, theme)
        if (why := why_it_goes_on(past, theme)) is not None:
            await _raise(conn, theme, past, why, ctx)


async def on_quieted(conn: AsyncConnection, theme: Theme, ctx: Context) -> None:
    """Every detector fell: the candidate says so, and still waits for a person's decision."""
    waiting = await store.waiting_for(conn, theme.theme_id)
    if waiting is not None:
        await _new_evidence(conn, waiting, theme, ctx, because="The theme went quiet")
    else:
        await _weighed_in_work(conn, theme)


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


async def bring_back(
    conn: AsyncConnection,
    theme_id: str,
    *,
    title: str,
    product: str,
    reason: ReasonData,
    at: datetime,
    ctx: Context,
) -> None:
    """What was done about this theme made it worse: it asks for a decision again, at once."""
    theme_id = await themes.standing_for(conn, theme_id)
    if await store.waiting_for(conn, theme_id) or await items.in_work_for(conn, theme_id):
        logger.info("theme is dealt with already", theme_id=theme_id)
        return
    theme = await themes.load(conn, theme_id)
    last = await store.decided_last(conn, theme_id)
    rise = Rise(
        theme_id=theme_id,
        title=theme.title if theme else title,
        product=theme.product if theme else product,
        service=theme.service if theme else "unassigned",
        at=at,
        reasons=(reason, *(theme.reasons if theme else ())),
        theme=theme,
        previous_id=last[0].candidate_id if last else None,
        why=reason.text,
    )
    await raise_candidate(conn, rise, ctx)


async def _raise(conn: AsyncConnection, theme: Theme, past: Past, why: str, ctx: Context) -> None:
    rise = Rise(
        theme_id=theme.theme_id,
        title=theme.title,
        product=theme.product,
        service=theme.service,
        at=theme.at,
        reasons=theme.reasons,
        theme=theme,
        previous_id=past.last.candidate_id if past.last else None,
        why=why,
    )
    await raise_candidate(conn, rise, ctx)
    metrics.observe_raised(ctx.correlation_id, ctx.now)


async def _past_of(conn: AsyncConnection, theme: Theme) -> Past:
    last = await store.decided_last(conn, theme.theme_id)
    end = last
    while end is not None and end[0].state == "merged":
        end = await store.load(conn, end[0].into_candidate_id or "")
    return Past(
        last=last[0] if last else None,
        stands_for_it=end[0] if end else None,
        total_then=last[1].total if last else 0,
        settled=await items.settled_last(conn, theme.theme_id),
    )


async def _new_evidence(
    conn: AsyncConnection,
    waiting: Stored,
    theme: Theme,
    ctx: Context,
    *,
    because: str = "",
    risen: bool = False,
) -> None:
    candidate, standing = waiting
    after = replace(
        standing,
        evidence=theme.evidence or standing.evidence,
        reasons=theme.reasons if risen else standing.reasons,
        quiet_since=theme.at if theme.state == "quiet" else None,
    )
    if theme.state == "quiet" and standing.quiet_since is not None:
        after = replace(after, quiet_since=standing.quiet_since)
    candidate = await rescore(conn, waiting, after, theme.at, ctx, because=because)
    if candidate.until_total is not None and theme.total >= candidate.until_total:
        why = (
            f"The theme's evidence has {theme.total} rows, and {candidate.until_total} were awaited"
        )
        wake = WakeCandidate(theme.at, why, after.reasons)
        stored = await store.load(conn, candidate.candidate_id)
        await apply(conn, stored, wake, stored[1], ctx)


async def _weighed_in_work(conn: AsyncConnection, theme: Theme) -> bool:
    """True when an item is at work on the theme: the evidence then moves that item's rank."""
    item_id = await items.in_work_for(conn, theme.theme_id)
    if item_id is not None:
        await item_ranking.weigh(conn, item_id)
    return item_id is not None
