"""The tables `evidence` and `horizon`. Rows of the ledger are never deleted; they move between themes."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    Row,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.evidence.domain import Entry
from services.feedback.metadata import chunks, metadata
from shared.clock import SKEW
from shared.database import Json, UtcDateTime
from shared.keys import one_of
from shared.prepared import Prepared, Upsert

evidence = Table(
    "evidence",
    metadata,
    Column("id", Text, primary_key=True),
    Column("theme_id", Text),
    Column("kind", Text, nullable=False),
    Column("source_id", Text, nullable=False),
    Column("source_version", Integer, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("severity_then", Text),
    Column("severity", Text),
    Column("customers", Integer),
    Column("tier", Integer),
    Column("responder_hours", Float),
    Column("revenue_at_risk", Float),
    Column("linked", Boolean, nullable=False),
    Column("votes", Integer, nullable=False),
    Column("voice", Text),
    Column("customer", Text),
    Column("product", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("alert_name", Text),
    Column("labels", Json, nullable=False),
    Column("silenced", Boolean, nullable=False),
    Column("parent_id", Text),
    UniqueConstraint("kind", "source_id", name="evidence_source"),
    Index("evidence_theme", "theme_id", "at", "source_id"),
)
"""`theme_id` is null for what was unlinked from every theme or counts for nothing, as what is silenced or
a part of another; `ended_at` for what still goes on."""

horizon = Table(
    "horizon",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("as_of", UtcDateTime, nullable=False),
)
"""Two rows: the newest event time of what began, and of what else was seen."""

BEGUN, BESIDE = 1, 2

GRACE = timedelta(hours=24)
"""How far what is no beginning may move the horizon past the last one. In a real log closings run on for
months after the last opening, and would make everything look silent that was merely not recorded any
longer; but the end of what began today is to count today."""


def entry(row: Row[Any]) -> Entry:
    """The ledger entry of a whole row."""
    return Entry(**row._asdict())  # pyright: ignore[reportPrivateUsage]


_BY_SOURCE = Prepared(
    select(evidence)
    .where(evidence.c.kind == bindparam("kind_is"), one_of(evidence.c.source_id))
    .order_by(evidence.c.source_id)
)


async def by_source(
    conn: AsyncConnection, kind: str, source_ids: Iterable[str]
) -> dict[str, Entry]:
    """The entries of these sources, by source id; unknown sources are absent."""
    rows = await _BY_SOURCE.of(conn, source_ids, kind_is=kind)
    return {row.source_id: entry(row) for row in rows}


_SAVE = Upsert(evidence, "kind", "source_id", kept=["id"])


async def save(conn: AsyncConnection, entries: Sequence[Entry]) -> None:
    """Write entries, new and changed, in one statement. A known source keeps the id of its row."""
    await _SAVE.many(
        conn,
        [{column.name: getattr(one, column.name) for column in evidence.c} for one in entries],
    )


async def move_all(conn: AsyncConnection, from_theme: str, to_theme: str) -> None:
    """Give the whole ledger of one theme to another."""
    query = update(evidence).where(evidence.c.theme_id == from_theme)
    await conn.execute(query.values(theme_id=to_theme))


async def move(conn: AsyncConnection, ids: Iterable[str], to_theme: str) -> None:
    """Give these rows to a theme."""
    for some in chunks(ids):
        query = update(evidence).where(evidence.c.id.in_(some))
        await conn.execute(query.values(theme_id=to_theme))


async def with_evidence(conn: AsyncConnection, theme_ids: Iterable[str]) -> set[str]:
    """Those of these themes that have any evidence."""
    found: set[str] = set()
    for some in chunks(theme_ids):
        query = select(evidence.c.theme_id).where(evidence.c.theme_id.in_(some)).distinct()
        found |= set((await conn.execute(query)).scalars())
    return found


_HORIZON = Prepared(select(horizon))


_ADVANCE = Upsert(horizon, "id")


async def current_horizon(conn: AsyncConnection) -> datetime | None:
    """As of when things are judged; None before anything began."""
    newest = {row.id: row.as_of for row in await _HORIZON.rows(conn, {})}
    return _as_of(newest)


async def advance_horizon(
    conn: AsyncConnection, begun: Iterable[datetime], now: datetime, beside: Iterable[datetime] = ()
) -> datetime:
    """Move the horizon to the newest of the times `begun`, at which something began or somebody did
    something, never back. `beside`, what else happened, moves it by GRACE at most beyond that.
    Returns where it stands.

    A time further ahead of `now` than clocks may differ doesn't pull it along.
    """
    newest: dict[int, datetime] = {row.id: row.as_of for row in await _HORIZON.rows(conn, {})}
    for which, times in ((BEGUN, begun), (BESIDE, beside)):
        latest = max((at for at in times if at <= now + SKEW), default=None)
        if latest is not None and (which not in newest or latest > newest[which]):
            newest[which] = latest
            await _ADVANCE.many(conn, [{"id": which, "as_of": latest}])
    return _as_of(newest) or now


def _as_of(newest: Mapping[int, datetime]) -> datetime | None:
    begun = newest.get(BEGUN)
    if begun is None:
        return None
    return max(begun, min(newest.get(BESIDE, begun), begun + GRACE))


async def incidents_of(conn: AsyncConnection, theme_id: str) -> list[str]:
    """The ids of the incidents that are evidence of this theme, oldest first."""
    query = select(evidence.c.source_id).where(
        evidence.c.theme_id == theme_id, evidence.c.kind == "incident"
    )
    ordered = query.order_by(evidence.c.at, evidence.c.source_id)
    return list((await conn.execute(ordered)).scalars())


async def rows_of(conn: AsyncConnection, theme_id: str) -> dict[str, Row[*tuple[Any, ...]]]:
    """The rows of this theme by their ids, with kind, source and time."""
    query = select(evidence.c.id, evidence.c.kind, evidence.c.source_id, evidence.c.at)
    rows = await conn.execute(query.where(evidence.c.theme_id == theme_id))
    return {row.id: row for row in rows}
