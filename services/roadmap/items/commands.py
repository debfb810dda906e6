"""Changes of items, in the caller's transaction: load, decide, evolve, save, publish."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap.items import domain, ranking, store
from services.roadmap.items.domain import Command, Item, Plan, decide, evolve, plan_of
from services.roadmap.items.refusals import ThemeAlreadyInWork
from services.roadmap.items.store import Notes, Stored
from services.roadmap.objectives import store as objectives
from services.roadmap.themes import store as themes
from shared.context import Context
from shared.contracts.feedback import OutcomeAssessed
from shared.contracts.roadmap import Horizon, ItemEvent
from shared.outbox import publish
from shared.refusals import VersionMismatch


@dataclass(frozen=True, slots=True)
class Wanted:
    """A new item, as somebody wants it."""

    item_id: str
    title: str
    product: str
    at: datetime
    horizon: Horizon = "next"
    quarter: str | None = None
    theme_ids: tuple[str, ...] = ()
    objective_id: str | None = None
    owner: str | None = None
    effort_person_months: float | None = None
    duration_weeks: float | None = None
    correlation_id: str | None = None


async def plan(conn: AsyncConnection, wanted: Wanted, ctx: Context) -> Item:
    """Plan a new item. Raises ObjectiveUnknown, or ThemeAlreadyInWork."""
    theme_ids = await _free_themes(conn, None, wanted.theme_ids)
    if wanted.objective_id is not None:
        await objectives.load(conn, wanted.objective_id)
    command = domain.PlanItem(
        item_id=wanted.item_id,
        product=wanted.product,
        plan=Plan(wanted.title, wanted.horizon, wanted.quarter, theme_ids, wanted.objective_id),
        at=wanted.at,
    )
    notes = Notes(
        correlation_id=wanted.correlation_id or ctx.correlation_id,
        owner=wanted.owner,
        effort_person_months=wanted.effort_person_months,
        duration_weeks=wanted.duration_weeks,
    )
    item, _ = await _apply(conn, None, command, notes, ctx)
    await ranking.weigh(conn, item.item_id)
    return item


async def handle(
    conn: AsyncConnection,
    item_id: str,
    command: domain.StartItem | domain.CancelItem,
    ctx: Context,
    *,
    expected: int | None = None,
) -> Item:
    """Start or cancel. Raises ItemUnknown, VersionMismatch, or what the state refuses."""
    stored = await _load(conn, item_id, expected)
    item, _ = await _apply(conn, stored, command, stored[1], ctx)
    return item


async def commit(
    conn: AsyncConnection,
    item_id: str,
    command: domain.CommitItem,
    ctx: Context,
    *,
    expected: int | None = None,
) -> Item:
    """Commit to a success criterion, and keep the power check that was true then."""
    stored = await _load(conn, item_id, expected)
    decide(stored[0], command)
    check = await ranking.power_check(
        conn, stored[0].theme_ids, command.expected_reduction, command.at
    )
    item, _ = await _apply(conn, stored, command, replace(stored[1], power=check), ctx)
    return item


async def deliver(
    conn: AsyncConnection,
    item_id: str,
    command: domain.DeliverItem,
    ctx: Context,
    *,
    expected: int | None = None,
) -> Item:
    """Note that it shipped. What was never committed to is measured by what is stated now, or by
    the assumed half, and keeps a note of that.
    """
    stored = await _load(conn, item_id, expected)
    before, notes = stored
    (event,) = decide(before, command)
    if before.expected_reduction is None:
        reduction = evolve(before, event).expected_reduction or domain.ASSUMED_REDUCTION
        check = await ranking.power_check(conn, before.theme_ids, reduction, command.at)
        assumed = command.expected_reduction is None
        notes = replace(notes, power=check, expected_assumed=assumed)
    item, _ = await _apply(conn, stored, command, notes, ctx)
    return item


async def change(
    conn: AsyncConnection,
    item_id: str,
    changes: dict[str, Any],
    at: datetime,
    ctx: Context,
    *,
    expected: int | None = None,
) -> Item:
    """Edit the named fields: those of Plan, and owner and estimate of Notes. Idempotent.

    `add_theme_ids` adds themes. Raises what `plan` raises, or what the state refuses.
    """
    stored = await _load(conn, item_id, expected)
    item, notes = stored
    added = await _free_themes(conn, item_id, changes.get("add_theme_ids") or ())
    if changes.get("objective_id") is not None:
        await objectives.load(conn, changes["objective_id"])
    fields = {name: changes[name] for name in changes if name in PLAN_FIELDS}
    themed = tuple(sorted({*item.theme_ids, *added}))
    wanted = replace(plan_of(item), **fields, theme_ids=themed)
    noted = {name: changes[name] for name in changes if name in NOTE_FIELDS}
    after = replace(notes, **noted)
    command = domain.ChangeItem(wanted, at, noted=after != notes)
    item, events = await _apply(conn, stored, command, after, ctx)
    if events:
        await ranking.weigh(conn, item_id)
    return item


PLAN_FIELDS = frozenset({"title", "horizon", "quarter", "objective_id"})
NOTE_FIELDS = frozenset({"owner", "effort_person_months", "duration_weeks"})


async def check_in_work(conn: AsyncConnection, item_id: str) -> None:
    """Raises where nothing can join this item: it is unknown, delivered or cancelled."""
    item, _ = await store.load(conn, item_id)
    domain.check_in_work(item)


async def follow_merge(
    conn: AsyncConnection, theme_id: str, into: str, at: datetime, ctx: Context
) -> None:
    """A theme became part of another: an item in work deals with the other from now on.

    Where another item in work deals with that one already, this item only loses the theme that is
    no more.
    """
    item_id = await store.in_work_for(conn, theme_id)
    if item_id is None:
        return
    stored = await store.load(conn, item_id)
    kept = {one for one in stored[0].theme_ids if one != theme_id}
    if await store.in_work_for(conn, into) in (None, item_id):
        kept.add(into)
    wanted = replace(plan_of(stored[0]), theme_ids=tuple(sorted(kept)))
    await _apply(conn, stored, domain.ChangeItem(wanted, at), stored[1], ctx)
    await ranking.weigh(conn, item_id)


async def assess(
    conn: AsyncConnection, said: OutcomeAssessed, version: int, ctx: Context
) -> tuple[Item, bool] | None:
    """Show an outcome on its item, and act on it. True when it moved the item.

    None, and nothing done, when the item is unknown, never shipped, or has a newer assessment.
    """
    stored = await store.find(conn, said.item_id)
    if stored is None or not stored[0].shipped:
        return None
    shown = await store.outcome_of(conn, said.item_id)
    if shown and shown["outcome_id"] == said.outcome_id and shown["version"] >= version:
        return None
    outcome = {
        "outcome_id": said.outcome_id,
        "version": version,
        "verdict": said.verdict,
        "final": said.final,
        "at": said.at.isoformat(),
        "text": said.text,
        "numbers": said.numbers,
    }
    await store.note_outcome(conn, said.item_id, outcome)
    command = domain.AssessItem(said.outcome_id, said.verdict, said.final, said.at)
    item, events = await _apply(conn, stored, command, stored[1], ctx)
    return item, bool(events)


async def _load(conn: AsyncConnection, item_id: str, expected: int | None) -> Stored:
    stored = await store.load(conn, item_id)
    if expected is not None and stored[0].version != expected:
        raise VersionMismatch(
            f"Item {item_id} is at version {stored[0].version}, not {expected}; read it again."
        )
    return stored


async def _apply(
    conn: AsyncConnection, stored: Stored | None, command: Command, notes: Notes, ctx: Context
) -> tuple[Item, list[ItemEvent]]:
    before = stored[0] if stored else None
    events = decide(before, command)
    item = before
    for event in events:
        item = evolve(item, event)
    assert item is not None
    if not events:
        return item, []
    await store.save(conn, item, notes, was=before.version if before else None)
    noted = _differences(stored[1], notes) if stored else {}
    for version, event in enumerate(events, start=item.version - len(events) + 1):
        await store.write_down(
            conn, event, version, actor=ctx.actor, recorded_at=ctx.now, noted=noted
        )
        story = ctx.about(notes.correlation_id)
        said = story.event(event, subject=item.item_id, version=version, at=event.at)
        await publish(conn, [said])
    return item, events


def _differences(before: Notes, after: Notes) -> dict[str, Any]:
    was, now = asdict(before), asdict(after)
    return {name: {"was": was[name], "now": now[name]} for name in now if was[name] != now[name]}


async def _free_themes(
    conn: AsyncConnection, item_id: str | None, theme_ids: Iterable[str]
) -> tuple[str, ...]:
    """These themes, or what they were merged into by now; raises where another item has one."""
    wanted = await themes.standing_for_all(conn, tuple(theme_ids))
    for theme_id in wanted:
        taken = await store.in_work_for(conn, theme_id)
        if taken is not None and taken != item_id:
            raise ThemeAlreadyInWork(
                f"Item {taken} already deals with theme {theme_id}; work there, or cancel it first."
            )
    return tuple(sorted(wanted))
