"""Import of incidents from another tool, with their histories: in bulk, and safe to repeat.

An incident is known by (source, external_ref), an entry of its history by its kind and time: what
was imported before is passed over, what is new is added.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Column, ForeignKey, Table, Text, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.catalog import store as catalog
from services.incidents.catalog.domain import DEFAULT_TIER, UNASSIGNED, Service
from services.incidents.incidents import commands, domain
from services.incidents.incidents.domain import Command, OpenIncident
from services.incidents.incidents.incident import Incident, Link
from services.incidents.incidents.store import Change, incident_of, incidents, parts
from services.incidents.metadata import metadata
from shared.clock import rfc3339
from shared.context import Context
from shared.contracts.incidents import Severity
from shared.database import Json, insert_into
from shared.refusals import Refusal

incident_imports = Table(
    "incident_imports",
    metadata,
    Column("incident_id", Text, ForeignKey("incidents.id"), primary_key=True),
    Column("entries", Json, nullable=False),
)
"""The entries of each imported history that were taken in, as "kind at"."""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One thing that happened, as the other tool says it; `kind` decides which fields count."""

    kind: str
    at: datetime
    by: str | None = None
    severity: Severity | None = None
    assignee: str | None = None
    service: str | None = None
    link: Link | None = None
    text: str | None = None
    customers_affected: int | None = None
    revenue_at_risk: float | None = None
    responder_hours: float | None = None

    @property
    def mark(self) -> str:
        return f"{self.kind} {rfc3339(self.at)}"


@dataclass(frozen=True, slots=True)
class ImportIncident:
    """`opening.external_ref` is set; `history` is in order of time."""

    opening: OpenIncident
    history: Sequence[HistoryEntry]


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one item; `skipped` counts entries that change nothing here."""

    external_ref: str
    incident_id: str
    status: Literal["created", "updated", "unchanged"]
    skipped: int
    change: Change


async def import_incidents(
    conn: AsyncConnection, wanted: Sequence[ImportIncident], ctx: Context
) -> list[Imported]:
    """Enter these incidents in the caller's transaction. Returns one result each, in order.

    The later of two items with the same (source, external_ref) continues the earlier.
    """
    known = await _known(conn, wanted)
    done = await _done(conn, [incident.id for incident in known.values()])
    entries = await _catalog(conn, wanted)
    changes: dict[tuple[str, str], Change] = {}
    results: list[Imported] = []
    marks: dict[str, list[str]] = {}
    for one in wanted:
        key = (one.opening.source, one.opening.external_ref or "")
        before = changes.get(key)
        if before is None:
            before = commands.unchanged(known[key], ctx) if key in known else None
        change = before or commands.opening(_placed(one.opening, entries), ctx)
        seen = Counter(done.get(change.incident.id, ())) + Counter(
            marks.get(change.incident.id, ())
        )
        new = list(_unseen(one.history, seen))
        grown, skipped = _applied(change, new, entries)
        changes[key] = grown
        marks.setdefault(grown.incident.id, []).extend(entry.mark for entry in new)
        status = "created" if before is None else "updated" if new else "unchanged"
        results.append(Imported(key[1], grown.incident.id, status, skipped, grown))
    await commands.record(conn, [change for change in changes.values() if change.entries])
    await _note(conn, {i: [*done.get(i, []), *new] for i, new in marks.items()})
    return results


def _unseen(history: Iterable[HistoryEntry], seen: "Counter[str]") -> Iterator[HistoryEntry]:
    for entry in history:
        if seen[entry.mark]:
            seen[entry.mark] -= 1
        else:
            yield entry


def _placed(opening: OpenIncident, entries: dict[str, Service]) -> OpenIncident:
    return replace(opening, entry=entries.get(opening.claimed_service or ""))


def _applied(
    change: Change, history: Iterable[HistoryEntry], entries: dict[str, Service]
) -> tuple[Change, int]:
    """The change with this history added. What the incident no longer admits is skipped.

    It may have moved on here since the other tool wrote its history, and then ours stands.
    """
    skipped = 0
    for entry in history:
        before = len(change.entries)
        for command in _meant(change.incident, entry, entries):
            try:
                change = commands.after(change, command)
            except Refusal:
                break
        skipped += len(change.entries) == before
    return change, skipped


def _meant(
    incident: Incident, entry: HistoryEntry, entries: dict[str, Service]
) -> Iterator[Command]:
    """The commands that a history entry comes to. Closing what is open resolves it as well."""
    at, by = entry.at, entry.by or incident.source
    match entry.kind:
        case "acknowledged":
            yield domain.Acknowledge(at, by)
        case "mitigated":
            yield domain.Mitigate(at)
        case "resolved":
            yield domain.Resolve(at)
        case "reopened":
            yield domain.Reopen(at)
        case "closed":
            if incident.is_open:
                yield domain.Resolve(at)
            yield domain.Close(at)
        case "severity_changed" if entry.severity:
            yield domain.ChangeSeverity(at, entry.severity)
        case "assigned":
            yield domain.Assign(at, entry.assignee)
        case "service_assigned" if entry.service:
            name = entry.service
            unknown = Service(name, UNASSIGNED, None, DEFAULT_TIER, (), (), 0)
            yield domain.AssignService(at, entries.get(name, unknown))
        case "impact_assessed":
            yield domain.AssessImpact(
                at, entry.customers_affected, entry.revenue_at_risk, entry.responder_hours
            )
        case "linked" if entry.link:
            yield domain.TieTo(at, entry.link)
        case "commented" if entry.text:
            yield domain.Comment(at, by, entry.text)
        case _:
            raise ValueError(f"a history entry of kind {entry.kind!r} that nobody validated")


_RECORD = tuple_(incidents.c.source, incidents.c.external_ref)


async def _known(
    conn: AsyncConnection, wanted: Iterable[ImportIncident]
) -> dict[tuple[str, str], Incident]:
    keys = {(one.opening.source, one.opening.external_ref or "") for one in wanted}
    known: dict[tuple[str, str], Incident] = {}
    for some in parts(keys):
        query = select(incidents).where(_RECORD.in_(some))
        for row in await conn.execute(query):
            known[row.source, row.external_ref] = incident_of(row)
    return known


async def _done(conn: AsyncConnection, ids: Iterable[str]) -> dict[str, list[str]]:
    done: dict[str, list[str]] = {}
    for some in parts(ids):
        query = select(incident_imports).where(incident_imports.c.incident_id.in_(some))
        done |= {row.incident_id: row.entries for row in await conn.execute(query)}
    return done


async def _catalog(conn: AsyncConnection, wanted: Iterable[ImportIncident]) -> dict[str, Service]:
    claimed = {one.opening.claimed_service for one in wanted}
    claimed |= {entry.service for one in wanted for entry in one.history}
    return await catalog.resolve(conn, claimed)


async def _note(conn: AsyncConnection, marks: dict[str, list[str]]) -> None:
    rows: list[dict[str, Any]] = [
        {"incident_id": incident_id, "entries": entries} for incident_id, entries in marks.items()
    ]
    if rows:
        upsert = insert_into(conn, incident_imports)
        await conn.execute(
            upsert.on_conflict_do_update(
                index_elements=["incident_id"], set_={"entries": upsert.excluded.entries}
            ),
            rows,
        )
