"""Takes a batch of incident events into the ledger: each incident is evidence of one theme.

A few statements per batch, whatever its size: the entries touched are loaded at once, folded in
memory, and written at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache

from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.detection import store as detection
from services.feedback.evidence import store as evidence
from services.feedback.evidence.domain import Entry, evolve, opened
from services.feedback.items import store as items
from services.feedback.themes import fingerprint, store
from services.feedback.themes.domain import Theme
from services.feedback.themes.reassess import Touch, reassess, theme_event
from shared.clock import SKEW
from shared.context import Context
from shared.contracts.feedback import ThemeMerged
from shared.contracts.incidents import IncidentEvent, IncidentOpened
from shared.envelope import Event
from shared.ids import new_id
from shared.outbox import publish

EMPTIED = "all of its incidents turned out to belong to another service"


@dataclass(slots=True)
class _Batch:
    """What a batch does to the ledger. Lives inside one call of `place`."""

    now: datetime
    entries: dict[str, Entry]
    changed: dict[str, Context] = field(default_factory=dict[str, Context])
    """Incident id → the story of the last event that changed its entry."""
    moving: dict[str, str] = field(default_factory=dict[str, str])
    """Incident id → the key of the theme it belongs to, for those that are new, reassigned, or
    count again."""
    times: set[datetime] = field(default_factory=set[datetime])
    """When the changed evidence happened; of what was redated, both before and after. What is
    neither counted before nor after isn't evidence."""
    hidden: set[str] = field(default_factory=set[str])
    """Incidents that didn't count at any time: what was of a theme then was taken from it, wherever
    it goes later."""
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Placed:
    """The themes whose evidence changed, the first and the last time that any of it lies or lay at,
    and how many events were of incidents whose opening was never heard of."""

    theme_ids: frozenset[str]
    span: tuple[datetime, datetime] | None
    unknown: int


async def place(
    conn: AsyncConnection, events: Sequence[Event], now: datetime, as_of: datetime
) -> Placed:
    """Take these incident events in, in the caller's transaction. Idempotent: stale and repeated
    events change nothing."""
    about = {event.subject for event in events}
    batch = _fold(events, await evidence.by_source(conn, "incident", about), now)
    if not batch.changed:
        return Placed(frozenset(), None, batch.unknown)
    touched, known = await _write(conn, batch, as_of)
    await reassess(conn, touched, as_of, known)
    span = (min(batch.times), max(batch.times)) if batch.times else None
    return Placed(frozenset(touched), span, batch.unknown)


def _fold(events: Sequence[Event], entries: dict[str, Entry], now: datetime) -> _Batch:
    batch = _Batch(now, entries)
    for event in events:
        data = event.data
        assert isinstance(data, IncidentEvent)
        before = entries.get(data.incident_id)
        if before is not None:
            after = evolve(before, data, event.version)
        elif isinstance(data, IncidentOpened):
            after = opened(new_id("evd"), data, event.version)
        else:
            batch.unknown += 1
            continue
        if after is before:
            continue
        entries[data.incident_id] = after
        batch.times |= {one.at for one in (before, after) if one is not None and one.counts}
        batch.changed[data.incident_id] = Context.following(event, service="feedback", now=now)
        if not after.counts:
            batch.hidden.add(data.incident_id)
            batch.moving.pop(data.incident_id, None)
        elif _belongs_elsewhere(before, after):
            batch.moving[data.incident_id] = key_of(after)
    return batch


def _belongs_elsewhere(before: Entry | None, after: Entry) -> bool:
    if before is None or not before.counts:
        return True
    return (before.product, before.service) != (after.product, after.service)


def key_of(entry: Entry) -> str:
    """The key of the theme that an incident belongs to by what it says about itself."""
    labels = tuple(sorted(entry.labels.items()))
    return _key(entry.product, entry.service, entry.alert_name, entry.title, labels)


@lru_cache(maxsize=20_000)
def _key(
    product: str,
    service: str,
    alert_name: str | None,
    title: str,
    labels: tuple[tuple[str, str], ...],
) -> str:
    return fingerprint.theme_key(product, service, alert_name, title, dict(labels))


async def _write(
    conn: AsyncConnection, batch: _Batch, as_of: datetime
) -> tuple[dict[str, Touch], dict[str, Theme]]:
    """Write the entries, each to its theme; says which themes were touched, and why, and returns those
    that were read and are still so."""
    homes, known = await _live(conn, await _themes_of(conn, batch))
    touched: dict[str, Touch] = {}
    left: dict[str, str] = {}
    written: list[Entry] = []
    for incident_id, ctx in batch.changed.items():
        entry = batch.entries[incident_id]
        home = homes[batch.moving[incident_id]] if incident_id in batch.moving else entry.theme_id
        if not entry.counts:
            home = None
        placed = home != entry.theme_id
        if placed and entry.theme_id is not None:
            if home is not None and incident_id not in batch.hidden:
                left[entry.theme_id] = home
            touched.setdefault(entry.theme_id, Touch(ctx))
        written.append(replace(entry, theme_id=home) if placed else entry)
        if home is None:
            continue
        before = touched.get(home, Touch(ctx))
        ids = (*before.incident_ids, incident_id) if placed else before.incident_ids
        touched[home] = Touch(ctx, ids)
    await evidence.save(conn, written)
    merged = await _merge_emptied(conn, left, touched, as_of)
    for theme_id in merged:
        del touched[theme_id]
    return touched, {} if merged else known


async def _themes_of(conn: AsyncConnection, batch: _Batch) -> Mapping[str, str]:
    """The theme of every key that something moves to; themes that are missing are made.

    A theme that is empty because its incidents moved on is never filled again, see `_merge_emptied`.
    """
    found = await store.by_key(conn, batch.moving.values())
    new: dict[str, Theme] = {}
    for incident_id, key in batch.moving.items():
        if key in found:
            continue
        entry = batch.entries[incident_id]
        made = _theme_for(entry, batch.now)
        known = new.get(key)
        if known is None or entry.at < known.first_at:
            new[key] = replace(made, id=known.id) if known else made
    claimed = await store.claim_keys(conn, {key: one.id for key, one in new.items()})
    await store.add(conn, [one for key, one in new.items() if claimed[key] == one.id])
    return found | claimed


async def _live(
    conn: AsyncConnection, homes: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, Theme]]:
    """The same, once nobody can merge these themes away any more; what was, is followed. And the themes
    that were read for it."""
    known = await store.load_many(conn, homes.values())
    live = {key: known[theme_id].merged_into or theme_id for key, theme_id in homes.items()}
    return live, known


def _theme_for(entry: Entry, now: datetime) -> Theme:
    return Theme(
        id=new_id("thm"),
        product=entry.product,
        service=entry.service,
        title=entry.title,
        title_given=False,
        template=fingerprint.template(entry.title),
        alert_name=entry.alert_name,
        created_at=now,
        first_at=entry.at,
        last_at=min(entry.at, now + SKEW),
    )


async def _merge_emptied(
    conn: AsyncConnection, left: Mapping[str, str], touched: Mapping[str, Touch], as_of: datetime
) -> list[str]:
    """Merge themes that lost their last evidence into the theme it went to, so that their candidate
    follows. Their keys don't: what comes under the old service again is another pain, and opens a
    theme of its own. Returns those merged."""
    emptied = left.keys() - await evidence.with_evidence(conn, left)
    events: list[Event] = []
    merged: list[Theme] = []
    for theme_id, theme in (await store.load_many(conn, emptied)).items():
        into, ctx = left[theme_id], touched[theme_id].ctx
        gone, event = merged_away(theme, into, as_of, ctx, by="service:feedback", reason=EMPTIED)
        events.append(event)
        merged.append(gone)
        if theme.told_as_of is not None:
            await store.make_known(conn, [into])
        await store.follow_merge(conn, theme_id, into)
        await store.drop_keys(conn, theme_id)
        await items.follow_merge(conn, theme_id, into)
        await detection.end_escalations(conn, theme_id, as_of)
        await store.note_decision(
            conn, "merge", theme_id, into, by="service:feedback", reason=EMPTIED, at=as_of
        )
    await store.save(conn, merged)
    await publish(conn, events)
    return [theme.id for theme in merged]


def merged_away(
    theme: Theme, into: str, at: datetime, ctx: Context, *, by: str, reason: str
) -> tuple[Theme, Event]:
    """The theme once it is part of another, and the event that says so."""
    gone = replace(
        theme,
        state="merged",
        told="quiet",
        rose_at=None,
        merged_into=into,
        review_at=None,
        told_as_of=None,
        evidence_count=0,
    )
    return theme_event(gone, ThemeMerged, at, ctx, into_theme_id=into, by=by, reason=reason)
