"""S4, second half: what one service keeps of another is what the other is, and rows fold their logs.

Holds at rest only: in between, a projection is behind by what is on its way.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from services.feedback.consumers import INCIDENT_TYPES
from services.incidents.incidents import store as incident_store
from services.incidents.incidents.commands import folded
from services.incidents.incidents.incident import begin
from services.roadmap.candidates import domain as candidate_domain
from services.roadmap.candidates import store as candidate_store
from services.roadmap.candidates.domain import WAITING, Candidate
from services.roadmap.items import domain as item_domain
from services.roadmap.items.domain import Item
from shared.contracts import EVENTS
from tests.faults.stored import Stored
from tests.faults.violation import Violation

TAKEN_IN = frozenset(type_.split(".")[-2] for type_ in INCIDENT_TYPES)
"""The kinds of timeline entries that move an incident's evidence."""

Columns = Mapping[str, Any]


def folds(stored: Stored) -> Iterator[Violation]:
    """Incidents, candidates and items are what their own logs fold to."""
    timelines = stored.by("timeline", "incident_id")
    for row in stored["incidents"]:
        entries = [incident_store.entry_of(one) for one in _ordered(timelines.get(row.id, []))]
        if entries and folded(begin(entries[0]), entries[1:]) != incident_store.incident_of(row):
            yield Violation("S4", row.id, "is not what its timeline folds to")
    logs = stored.by("candidate_log", "candidate_id")
    for row in stored["candidates"]:
        candidate: Candidate | None = None
        for one in _ordered(logs.get(row.candidate_id, [])):
            candidate = candidate_domain.evolve(candidate, _event("candidate", one))
        if candidate is not None and candidate != candidate_store.stored_of(row)[0]:
            yield Violation("S4", row.candidate_id, "is not what its log folds to")
    yield from _items_fold(stored)


def _items_fold(stored: Stored) -> Iterator[Violation]:
    logs = stored.by("item_log", "item_id")
    themes = stored.by("item_themes", "item_id")
    for row in stored["items"]:
        item: Item | None = None
        for one in _ordered(logs.get(row.item_id, [])):
            item = item_domain.evolve(item, _event("item", one))
        if item is None:
            continue
        own = {name: getattr(item, name) for name in ("state", "version", "horizon", "quarter")}
        yield from _differs(row.item_id, "its log folds to", own, row)
        if set(item.theme_ids) != {one.theme_id for one in themes.get(row.item_id, [])}:
            yield Violation("S4", row.item_id, "deals with other themes than its log says")


def _event(noun: str, row: Row[Any]) -> Any:
    return EVENTS[f"groundswell.{noun}.{row.kind}.v1"].model_validate(row.data)


def _ordered(rows: list[Row[Any]]) -> list[Row[Any]]:
    return sorted(rows, key=lambda row: row.version)


def signals(stored: Stored) -> Iterator[Violation]:
    """Signals, episodes and incidents name each other."""
    incidents = {row.id for row in stored["incidents"]}
    owners = {(r.source, r.fingerprint, r.starts_at): r.incident_id for r in stored["episodes"]}
    for row in stored["signals"]:
        if row.incident_id not in incidents:
            yield Violation("S4", row.id, f"is of incident {row.incident_id}, which isn't there")
        owner = owners.get((row.source, row.fingerprint, row.starts_at))
        if owner != row.incident_id:
            what = f"is of incident {row.incident_id}, its episode of {owner}"
            yield Violation("S4", row.id, what)


def evidence(stored: Stored) -> Iterator[Violation]:
    """Feedback's ledger is what the incidents are by now, and incidents know their themes."""
    rows = {row.source_id: row for row in stored["evidence"] if row.kind == "incident"}
    timelines = stored.by("timeline", "incident_id")
    placed = {row.incident_id: row.theme_id for row in stored["incident_themes"]}
    for incident in stored["incidents"]:
        row = rows.pop(incident.id, None)
        if row is None:
            yield Violation("S4", incident.id, "is no evidence, though it was opened")
            continue
        entries = timelines.get(incident.id, [])
        expected = {
            "at": incident.opened_at,
            "ended_at": _end(incident.opened_at, incident.resolved_at),
            "severity": incident.severity,
            "service": incident.service,
            "product": incident.product,
            "tier": incident.tier,
            "linked": bool(incident.links),
            "silenced": incident.silenced_by is not None,
            "parent_id": incident.parent_id,
            "source_version": max((e.version for e in entries if e.kind in TAKEN_IN), default=0),
        }
        yield from _differs(row.id, f"incident {incident.id} has", expected, row)
        if row.silenced or row.parent_id is not None:
            if row.theme_id is not None:
                yield Violation("S4", incident.id, f"counts not, and is evidence of {row.theme_id}")
        elif placed.get(incident.id) != row.theme_id:
            what = (
                f"is shown with theme {placed.get(incident.id)} and is evidence of {row.theme_id}"
            )
            yield Violation("S4", incident.id, what)
    for source_id, row in rows.items():
        yield Violation("S4", row.id, f"is evidence of {source_id}, which is no incident")


def _end(opened_at: datetime, resolved_at: datetime | None) -> datetime | None:
    return None if resolved_at is None else max(opened_at, resolved_at)


def themes(stored: Stored) -> Iterator[Violation]:
    """The roadmap knows every theme that was ever told of, as it was told last."""
    heard = {row.theme_id: row for row in stored["heard_themes"]}
    for theme in stored["themes"]:
        row = heard.pop(theme.id, None)
        if theme.state == "merged":
            if row is not None and row.state != "merged":
                yield Violation("S4", theme.id, f"was merged away; the roadmap has it {row.state}")
        elif theme.announced:
            if row is None:
                yield Violation("S4", theme.id, "was told of, and the roadmap doesn't know it")
                continue
            expected = {"state": theme.told, "title": theme.title, "product": theme.product}
            yield from _differs(theme.id, "feedback told", expected, row)
            total = (row.evidence or {}).get("total")
            if total != theme.evidence_count:
                what = f"has {theme.evidence_count} rows of evidence; the roadmap counts {total}"
                yield Violation("S4", theme.id, what)
    for theme_id in heard:
        yield Violation("S4", theme_id, "is a theme of the roadmap's and not of feedback's")


def candidates(stored: Stored) -> Iterator[Violation]:
    """A waiting candidate has its theme's newest numbers; feedback knows all candidates and items,
    and incidents know all items, as they are."""
    heard = {row.theme_id: row for row in stored["heard_themes"]}
    for row in stored["candidates"]:
        theme = heard.get(row.theme_id)
        if row.state in WAITING and theme is not None and theme.evidence is not None:
            differing = {
                name
                for name in theme.evidence.keys() | (row.evidence or {}).keys()
                if theme.evidence.get(name) != (row.evidence or {}).get(name)
            }
            if differing:
                what = f"has other numbers than its theme: {', '.join(sorted(differing))}"
                yield Violation("S4", row.candidate_id, what)
    yield from _copies(stored, "candidates", "heard_candidates", "candidate_id", ("state",))
    item = ("state", "horizon", "quarter", "title", "delivered_at")
    yield from _copies(stored, "items", "heard_items", "item_id", item)
    yield from _copies(stored, "items", "shown_items", "item_id", item)


def _copies(
    stored: Stored, table: str, copy: str, key: str, columns: tuple[str, ...]
) -> Iterator[Violation]:
    copies = {getattr(row, key): row for row in stored[copy]}
    for row in stored[table]:
        id_ = getattr(row, key)
        copied = copies.pop(id_, None)
        if copied is None:
            yield Violation("S4", id_, f"is not in {copy}")
        else:
            own = {name: getattr(row, name) for name in ("version", *columns)}
            yield from _differs(id_, f"{table} says", own, copied)
    for id_ in copies:
        yield Violation("S4", id_, f"is in {copy} and not in {table}")


def _differs(about: str, whose: str, expected: Columns, row: Row[Any]) -> Iterator[Violation]:
    for name, value in expected.items():
        found = getattr(row, name)
        if found != value:
            yield Violation("S4", about, f"has {name} {found}; {whose} {value}")
