"""The table `changes`. Finds changes by what their senders call them, and saves them."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Column, Index, Row, Table, Text, bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.changes.domain import Change, Recorded
from services.incidents.metadata import metadata
from shared.database import Json, UtcDateTime
from shared.keys import one_of, packed

changes = Table(
    "changes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("external_ref", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("service", Text),
    Column("at", UtcDateTime, nullable=False),
    Column("stated_at", UtcDateTime, nullable=False),
    Column("state", Text, nullable=False),
    Column("environment", Text),
    Column("revision", Text),
    Column("url", Text),
    Column("details", Json, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    Index("changes_once", "source", "external_ref", unique=True),
    Index("changes_by_time", "at", "id"),
    Index("changes_by_service", "service", "at", "id"),
)


class Reference(NamedTuple):
    """What all tellings of one change have in common."""

    source: str
    external_ref: str


def reference_of(change: Change) -> Reference:
    return Reference(change.source, change.external_ref)


_FIND = select(changes).where(one_of(changes.c.source, changes.c.external_ref))
_STATED = ("kind", "title", "service", "state", "environment", "revision", "url")
_REWRITTEN = ("at", "stated_at", "details", *_STATED)


async def find(conn: AsyncConnection, references: Iterable[Reference]) -> dict[Reference, Recorded]:
    """Those of these changes that are recorded already."""
    found: dict[Reference, Recorded] = {}
    for row in await conn.execute(_FIND, {"keys": packed(references)}):
        recorded = _recorded_of(row)
        found[reference_of(recorded.told)] = recorded
    return found


async def add(conn: AsyncConnection, new: Sequence[Recorded]) -> None:
    """Store changes that were not recorded before."""
    if new:
        await conn.execute(insert(changes), [_row(one) for one in new])


async def rewrite(conn: AsyncConnection, retold: Sequence[Recorded]) -> None:
    """Store what is now said of recorded changes; their ids, references and arrival stay."""
    if retold:
        rows = [_row(one) for one in retold]
        parameters = [
            {"key": row["id"], **{name: row[name] for name in _REWRITTEN}} for row in rows
        ]
        await conn.execute(_REWRITE, parameters)


_REWRITE = (
    update(changes)
    .where(changes.c.id == bindparam("key"))
    .values({name: bindparam(name) for name in _REWRITTEN})
)


def _row(recorded: Recorded) -> dict[str, Any]:
    told = recorded.told
    return {
        "id": recorded.id,
        "source": told.source,
        "external_ref": told.external_ref,
        **{name: getattr(told, name) for name in _STATED},
        "at": recorded.at,
        "stated_at": told.at,
        "details": dict(told.details),
        "recorded_at": recorded.recorded_at,
    }


def _recorded_of(row: Row[Any]) -> Recorded:
    told = Change(
        source=row.source,
        external_ref=row.external_ref,
        kind=row.kind,
        title=row.title,
        service=row.service,
        at=row.stated_at,
        state=row.state,
        environment=row.environment,
        revision=row.revision,
        url=row.url,
        details=row.details,
    )
    return Recorded(row.id, told, row.at, row.recorded_at)
