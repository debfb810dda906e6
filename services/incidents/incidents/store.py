"""The tables `incidents` and `timeline`. Loads incidents, and saves them with what happened to them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import (
    Column,
    ColumnElement,
    Float,
    ForeignKey,
    Index,
    Integer,
    Row,
    Table,
    Text,
    bindparam,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.incidents.incident import OPEN_STATES, Entry, Incident, Link
from services.incidents.metadata import metadata
from shared.context import Context
from shared.contracts import incidents as said
from shared.database import Json, UtcDateTime
from shared.keys import one_of
from shared.prepared import Prepared
from shared.refusals import Conflict

OPEN = text("state IN ('open', 'acknowledged', 'mitigated')")
"""For partial indexes; the same states as `OPEN_STATES`."""

UNCLAIMED = text("product = 'unassigned'")
SILENCED = text("silenced_by IS NOT NULL")
CHILD = text("parent_id IS NOT NULL")

incidents = Table(
    "incidents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("external_ref", Text),
    Column("fingerprint", Text),
    Column("title", Text, nullable=False),
    Column("alert_name", Text),
    Column("description", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("claimed_service", Text),
    Column("product", Text, nullable=False),
    Column("tier", Integer, nullable=False),
    Column("severity", Text, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("labels", Json, nullable=False),
    Column("links", Json, nullable=False),
    Column("customers_affected", Integer),
    Column("revenue_at_risk", Float),
    Column("responder_hours", Float),
    Column("assignee", Text),
    Column("state", Text, nullable=False),
    Column("acknowledged_at", UtcDateTime),
    Column("mitigated_at", UtcDateTime),
    Column("resolved_at", UtcDateTime),
    Column("closed_at", UtcDateTime),
    Column("reopened_at", UtcDateTime),
    Column("by_hand_at", UtcDateTime),
    Column("resolutions", Integer, nullable=False),
    Column("reopenings", Integer, nullable=False),
    Column("silenced_by", Text),
    Column("parent_id", Text),
    Column("correlated_by", Text),
    Column("version", Integer, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("incidents_by_opening", "opened_at", "id"),
    Index("incidents_by_change", "updated_at", "id"),
    Index("incidents_by_state", "state", "opened_at", "id"),
    Index("incidents_by_service", "service", "opened_at", "id"),
    Index("incidents_by_product", "product", "opened_at", "id"),
    Index("incidents_by_source", "source", "opened_at", "id"),
    Index("incidents_of_alert", "source", "fingerprint", "resolved_at"),
    Index("incidents_of_record", "source", "external_ref", unique=True),
    Index(
        "incidents_open_of_alert",
        "source",
        "fingerprint",
        unique=True,
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    ),
    Index(
        "incidents_silenced", "opened_at", "id", sqlite_where=SILENCED, postgresql_where=SILENCED
    ),
    Index(
        "incidents_of_parent",
        "parent_id",
        "opened_at",
        "id",
        sqlite_where=CHILD,
        postgresql_where=CHILD,
    ),
    Index(
        "incidents_unclaimed", "claimed_service", sqlite_where=UNCLAIMED, postgresql_where=UNCLAIMED
    ),
)

timeline = Table(
    "timeline",
    metadata,
    Column("incident_id", Text, ForeignKey("incidents.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("data", Json, nullable=False),
)
"""The log of each incident: folded in the order of `version`, it is the row in `incidents`."""

MANY = 500
"""How many values one statement may list; engines bound them."""

FIELDS = tuple(field.name for field in fields(Incident))
KINDS: dict[str, type[said.IncidentEvent]] = {
    event.TYPE.split(".")[-2]: event
    for event in said.EVENTS
    if issubclass(event, said.IncidentEvent)
}

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Change:
    """An incident after its new entries; `was` is the version it was loaded with, None when new."""

    incident: Incident
    was: int | None
    entries: Sequence[Entry]
    ctx: Context

    @property
    def first_version(self) -> int:
        """The version that the first of the new entries made."""
        return self.incident.version - len(self.entries) + 1


def parts(values: Iterable[Value]) -> Iterator[list[Value]]:
    """The values in lists of at most MANY."""
    everything = list(values)
    for start in range(0, len(everything), MANY):
        yield everything[start : start + MANY]


def incident_of(row: Row[Any]) -> Incident:
    """The state that a whole row of `incidents` holds."""
    held = {name: getattr(row, name) for name in FIELDS}
    held["links"] = tuple(Link(link["kind"], link["reference"]) for link in row.links)
    return Incident(**held)


_LOAD = Prepared(select(incidents).where(one_of(incidents.c.id)))


async def load(conn: AsyncConnection, ids: Iterable[str]) -> dict[str, Incident]:
    """The incidents of these ids; unknown ids are absent."""
    return {row.id: incident_of(row) for row in await _LOAD.of(conn, ids)}


async def open_of_alert(conn: AsyncConnection, source: str, fingerprint: str) -> str | None:
    """The id of the incident that this alert has open, if any: there is one at most."""
    query = select(incidents.c.id).where(
        incidents.c.source == source,
        incidents.c.fingerprint == fingerprint,
        incidents.c.state.in_(OPEN_STATES),
    )
    return (await conn.execute(query)).scalar_one_or_none()


async def save(conn: AsyncConnection, changes: Sequence[Change]) -> None:
    """Write the incidents and their new entries. Raises Conflict when one was changed meanwhile.

    What ceases to be open is written first: an alert has one open incident at any moment.
    """
    ordered = sorted(changes, key=lambda change: change.incident.is_open)
    changed = [change for change in ordered if change.was is not None]
    new = [change for change in ordered if change.was is None]
    if changed:
        result = await conn.execute(
            _UPDATE, [{**_row(c), "was": c.was, "key": c.incident.id} for c in changed]
        )
        if 0 <= result.rowcount < len(changed):
            raise Conflict("An incident was changed meanwhile; read it again and retry.")
    await _INSERT.many(conn, [_row(change) for change in new])
    entries = [row for change in changes for row in _timeline_rows(change)]
    await _APPEND.many(conn, entries)


_INSERT = Prepared(insert(incidents))
_APPEND = Prepared(insert(timeline))
_UPDATE = (
    update(incidents)
    .where(incidents.c.id == bindparam("key"), incidents.c.version == bindparam("was"))
    .values({name: bindparam(name) for name in (*FIELDS, "updated_at") if name != "id"})
)


def _row(change: Change) -> dict[str, Any]:
    incident = change.incident
    row: dict[str, Any] = {name: getattr(incident, name) for name in FIELDS}
    row["labels"] = dict(incident.labels)
    row["links"] = [{"kind": link.kind, "reference": link.reference} for link in incident.links]
    row["updated_at"] = change.ctx.now
    if change.was is not None:
        del row["id"]
    return row


def _timeline_rows(change: Change) -> list[dict[str, Any]]:
    return [
        {
            "incident_id": change.incident.id,
            "version": version,
            "kind": entry.event.TYPE.split(".")[-2],
            "at": entry.event.at,
            "recorded_at": change.ctx.now,
            "actor": change.ctx.actor,
            "data": {
                **entry.event.model_dump(mode="json", exclude={"incident_id", "at"}),
                **({"kept": dict(entry.kept)} if entry.kept else {}),
            },
        }
        for version, entry in enumerate(change.entries, start=change.first_version)
    ]


def entry_of(row: Row[Any]) -> Entry:
    """The entry that a row of `timeline` records."""
    data = {name: value for name, value in row.data.items() if name != "kept"}
    event = KINDS[row.kind].model_validate({**data, "incident_id": row.incident_id, "at": row.at})
    return Entry(event, row.data.get("kept", {}))


async def entries_of(conn: AsyncConnection, incident_id: str) -> list[Entry]:
    """The incident's log, oldest entry first."""
    query = (
        select(timeline).where(timeline.c.incident_id == incident_id).order_by(timeline.c.version)
    )
    return [entry_of(row) for row in await conn.execute(query)]


def since(moment: datetime | ColumnElement[datetime]) -> Any:
    """Condition: incidents that were still open at `moment`, or ended later."""
    return incidents.c.resolved_at.is_(None) | (incidents.c.resolved_at >= moment)
