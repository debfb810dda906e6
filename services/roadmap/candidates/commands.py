"""What people decide about candidates, in the caller's transaction."""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap.candidates import store
from services.roadmap.candidates.changes import Rise, apply, raise_candidate, rescore
from services.roadmap.candidates.domain import (
    AcceptCandidate,
    Candidate,
    DeclineCandidate,
    MergeCandidate,
    SnoozeCandidate,
    WakeCandidate,
    check_time,
    check_waiting,
)
from services.roadmap.candidates.refusals import CandidateAlreadyRaised
from services.roadmap.candidates.store import Stored
from services.roadmap.items import commands as item_commands
from services.roadmap.items import store as items
from services.roadmap.items.commands import Wanted
from services.roadmap.items.refusals import ThemeAlreadyInWork
from services.roadmap.themes import store as themes
from shared.context import Context
from shared.contracts.feedback import ReasonData
from shared.contracts.roadmap import Horizon
from shared.ids import new_id
from shared.refusals import VersionMismatch

WOKEN_AT_ONCE = 200
"""Snoozed candidates that one transaction wakes; the rest wait for the next round."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """How a candidate becomes part of the roadmap: in the item `join`, or in a new one."""

    at: datetime
    join: str | None = None
    title: str | None = None
    horizon: Horizon = "next"
    quarter: str | None = None
    objective_id: str | None = None


async def accept(
    conn: AsyncConnection,
    candidate_id: str,
    wanted: Acceptance,
    ctx: Context,
    *,
    expected: int | None = None,
) -> Candidate:
    """Make the candidate a new item, or part of one; with it go the themes merged into it.

    Raises what a decided candidate refuses, naming the item where it was accepted, and what the
    item refuses (ThemeAlreadyInWork, ItemAlreadyDelivered, ObjectiveUnknown, …).
    """
    stored = await _load(conn, candidate_id, expected)
    candidate, standing = stored
    at = _not_before(candidate, wanted.at, ctx)
    check_waiting(candidate)
    check_time(candidate, at)
    merged = await store.merged_into(conn, candidate_id)
    theme_ids = await _themes_of(conn, [candidate, *merged], wanted.join)
    story = ctx.about(standing.correlation_id)
    if wanted.join is not None:
        changes = {"add_theme_ids": theme_ids}
        await item_commands.check_in_work(conn, wanted.join)
        await item_commands.change(conn, wanted.join, changes, at, story)
        item_id = wanted.join
    else:
        item_id = new_id("itm")
        planned = Wanted(
            item_id=item_id,
            title=wanted.title or candidate.title,
            product=candidate.product,
            at=at,
            horizon=wanted.horizon,
            quarter=wanted.quarter,
            theme_ids=theme_ids,
            objective_id=wanted.objective_id,
            effort_person_months=standing.effort_person_months,
            duration_weeks=standing.duration_weeks,
            correlation_id=standing.correlation_id,
        )
        await item_commands.plan(conn, planned, story)
    await items.link(conn, item_id, [candidate_id, *(one.candidate_id for one in merged)])
    return await apply(conn, stored, AcceptCandidate(item_id, ctx.actor, at), standing, ctx)


async def decline(
    conn: AsyncConnection,
    candidate_id: str,
    reason: str,
    at: datetime,
    ctx: Context,
    *,
    expected: int | None = None,
) -> Candidate:
    """Say no, with the reason; the theme's baseline freezes at `at`."""
    stored = await _load(conn, candidate_id, expected)
    command = DeclineCandidate(ctx.actor, reason, _not_before(stored[0], at, ctx))
    return await apply(conn, stored, command, stored[1], ctx)


async def snooze(
    conn: AsyncConnection,
    candidate_id: str,
    at: datetime,
    ctx: Context,
    *,
    until: datetime | None,
    until_total: int | None,
    expected: int | None = None,
) -> Candidate:
    """Decide later: at `until` by the wall clock, or when the evidence has `until_total` rows."""
    stored = await _load(conn, candidate_id, expected)
    candidate, standing = stored
    command = SnoozeCandidate(
        by=ctx.actor,
        at=_not_before(candidate, at, ctx),
        total=standing.total,
        until=until,
        until_total=until_total,
    )
    return await apply(conn, stored, command, standing, ctx)


async def merge(
    conn: AsyncConnection,
    candidate_id: str,
    into: str,
    at: datetime,
    ctx: Context,
    *,
    expected: int | None = None,
) -> Candidate:
    """Let another candidate stand for this one. Their themes stay two; feedback merges themes."""
    stored = await _load(conn, candidate_id, expected)
    check_waiting(stored[0])
    target, _ = await store.load(conn, into)
    command = MergeCandidate(target, ctx.actor, _not_before(stored[0], at, ctx))
    return await apply(conn, stored, command, stored[1], ctx)


async def estimate(
    conn: AsyncConnection,
    candidate_id: str,
    effort_person_months: float | None,
    duration_weeks: float | None,
    ctx: Context,
    *,
    expected: int | None = None,
) -> Candidate:
    """State what it takes; it replaces the estimate there was. Always told, also at an equal score."""
    stored = await _load(conn, candidate_id, expected)
    standing = replace(
        stored[1], effort_person_months=effort_person_months, duration_weeks=duration_weeks
    )
    because = f"{ctx.actor} estimated {_estimate(effort_person_months, duration_weeks)}"
    return await rescore(conn, stored, standing, ctx.now, ctx, because=because, always=True)


async def confirm(
    conn: AsyncConnection, candidate_id: str, ctx: Context, *, expected: int | None = None
) -> Candidate:
    """A person has looked: this is one pain, and it is real. Idempotent."""
    stored = await _load(conn, candidate_id, expected)
    candidate, standing = stored
    check_waiting(candidate)
    if standing.confirmed:
        return candidate
    because = f"{ctx.actor} confirmed it"
    after = replace(standing, confirmed=True)
    return await rescore(conn, stored, after, ctx.now, ctx, because=because, always=True)


@dataclass(frozen=True, slots=True)
class ByHand:
    """A candidate that a person raises. Without a theme it has no evidence, and says so."""

    title: str
    product: str
    reason: str
    at: datetime
    theme_id: str | None = None
    service: str = "unassigned"


async def raise_by_hand(conn: AsyncConnection, wanted: ByHand, ctx: Context) -> Candidate:
    """Raise a candidate for a theme that no detector has raised, or for none.

    Raises CandidateAlreadyRaised or ThemeAlreadyInWork where the theme is dealt with.
    """
    theme_id, theme, previous = wanted.theme_id, None, None
    if theme_id is not None:
        theme_id = await themes.standing_for(conn, theme_id)
        await _check_free(conn, theme_id)
        theme = await themes.load(conn, theme_id)
        previous = await store.decided_last(conn, theme_id)
    reason = ReasonData(detector="person", name="raised_by_hand", text=wanted.reason)
    rise = Rise(
        theme_id=theme_id,
        title=wanted.title,
        product=wanted.product,
        service=theme.service if theme else wanted.service,
        at=wanted.at,
        reasons=(reason, *(theme.reasons if theme else ())),
        theme=theme,
        previous_id=previous[0].candidate_id if previous else None,
        why=f"Raised by {ctx.actor}: {wanted.reason}",
    )
    return await raise_candidate(conn, rise, ctx)


async def wake_due(conn: AsyncConnection, ctx: Context) -> int:
    """Wake the snoozed candidates whose time has come by `ctx.now`. Returns how many."""
    due = await store.due(conn, ctx.now, WOKEN_AT_ONCE)
    for stored in due:
        candidate, standing = stored
        at = candidate.until or ctx.now
        command = WakeCandidate(at, "The time it was snoozed until has come", standing.reasons)
        await apply(conn, stored, command, standing, ctx)
        # failpoint: wake.woken
    return len(due)


async def _load(conn: AsyncConnection, candidate_id: str, expected: int | None) -> Stored:
    stored = await store.load(conn, candidate_id)
    version = stored[0].version
    if expected is not None and version != expected:
        raise VersionMismatch(
            f"Candidate {candidate_id} is at version {version}, not {expected}; read it again."
        )
    return stored


def _not_before(candidate: Candidate, at: datetime, ctx: Context) -> datetime:
    """A decision without a time of its own is now, though a sender's clock may run ahead of ours."""
    return max(at, candidate.raised_at) if at == ctx.now else at


async def _themes_of(
    conn: AsyncConnection, group: list[Candidate], join: str | None
) -> tuple[str, ...]:
    """The themes of a candidate (the first) and of those merged into it, where these are free."""
    first = group[0].theme_id
    if first is not None:
        taken = await items.in_work_for(conn, first)
        if taken is not None and taken != join:
            raise ThemeAlreadyInWork(
                f"Item {taken} already deals with this candidate's theme; "
                f'accept it with {{"item_id": "{taken}"}} to join it there.'
            )
    found = {first} if first is not None else set[str]()
    for candidate in group[1:]:
        theme_id = candidate.theme_id
        if theme_id is not None and await items.in_work_for(conn, theme_id) in (None, join):
            found.add(theme_id)
    return tuple(sorted(found))


async def _check_free(conn: AsyncConnection, theme_id: str) -> None:
    if (waiting := await store.waiting_for(conn, theme_id)) is not None:
        raise CandidateAlreadyRaised(
            f"Theme {theme_id} has the candidate {waiting[0].candidate_id}; decide about that one."
        )
    if (item_id := await items.in_work_for(conn, theme_id)) is not None:
        raise ThemeAlreadyInWork(f"Item {item_id} already deals with theme {theme_id}; work there.")


def _estimate(effort_person_months: float | None, duration_weeks: float | None) -> str:
    effort = (
        "no effort" if effort_person_months is None else f"{effort_person_months:g} person-months"
    )
    duration = "no duration" if duration_weeks is None else f"{duration_weeks:g} weeks"
    return f"{effort} and {duration}"
