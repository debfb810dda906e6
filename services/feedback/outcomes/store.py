"""The tables `outcomes`, `outcome_themes` and `outcome_versions`. Load and save outcomes."""

from collections.abc import Iterable
from datetime import datetime
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
    and_,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.metadata import metadata
from services.feedback.outcomes.domain import Outcome
from services.feedback.themes.store import themes
from shared.database import Json, UtcDateTime, insert_into
from shared.keys import one_of, packed
from shared.prepared import Prepared
from shared.refusals import Conflict

outcomes = Table(
    "outcomes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("item_id", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("theme_ids", Json, nullable=False),
    Column("delivered_at", UtcDateTime, nullable=False),
    Column("watch_from", UtcDateTime, nullable=False),
    Column("watch_until", UtcDateTime, nullable=False, index=True),
    Column("release", Text),
    Column("expected_reduction", Float, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("final", Boolean, nullable=False),
    Column("text", Text, nullable=False),
    Column("numbers", Json, nullable=False),
    Column("as_of", UtcDateTime),
    Column("due_at", UtcDateTime, index=True),
    Column("version", Integer, nullable=False),
    UniqueConstraint("item_id", "delivered_at", name="outcome_of_a_delivery"),
    Index("outcomes_delivered", "delivered_at", "id"),
)

outcome_themes = Table(
    "outcome_themes",
    metadata,
    Column("outcome_id", Text, primary_key=True),
    Column("theme_id", Text, primary_key=True, index=True),
)
"""The themes an item was delivered for, by the ids they had then; merges are followed on reading."""

outcome_versions = Table(
    "outcome_versions",
    metadata,
    Column("outcome_id", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("verdict", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("final", Boolean, nullable=False),
    Column("text", Text, nullable=False),
    Column("numbers", Json, nullable=False),
    Column("as_of", UtcDateTime, nullable=False),
)
"""Every verdict that was ever said of an outcome."""


def outcome(row: Row[Any]) -> Outcome:
    """The outcome of a whole row."""
    values = {column.name: getattr(row, column.name) for column in outcomes.c}
    return Outcome(**{**values, "theme_ids": tuple(row.theme_ids)})


async def add(conn: AsyncConnection, new: Outcome) -> bool:
    """Enter an outcome. False when that delivery has one already; then nothing changes."""
    query = insert_into(conn, outcomes).values(_values(new)).on_conflict_do_nothing()
    if (await conn.execute(query.returning(outcomes.c.id))).one_or_none() is None:
        return False
    rows = [{"outcome_id": new.id, "theme_id": theme_id} for theme_id in set(new.theme_ids)]
    if rows:
        await conn.execute(insert(outcome_themes), rows)
    return True


async def save(conn: AsyncConnection, changed: Outcome, *, was: int) -> None:
    """Write an outcome, and its history when it is a version on. Raises Conflict."""
    query = update(outcomes).where(outcomes.c.id == changed.id, outcomes.c.version == was)
    if (await conn.execute(query.values(_values(changed)))).rowcount != 1:
        raise Conflict(f"Outcome {changed.id} was changed meanwhile; read it again and retry.")
    if changed.version == was:
        return
    said = {c.name: getattr(changed, c.name) for c in outcome_versions.c if c.name != "outcome_id"}
    values = {**said, "numbers": dict(changed.numbers), "outcome_id": changed.id}
    await conn.execute(insert(outcome_versions).values(values))


def _values(one: Outcome) -> dict[str, Any]:
    values = {column.name: getattr(one, column.name) for column in outcomes.c}
    return {**values, "theme_ids": list(one.theme_ids), "numbers": dict(one.numbers)}


_FIRST = bindparam("first", type_=UtcDateTime())

_MARK_WATCHING = Prepared(
    update(outcomes)
    .where(
        outcomes.c.watch_until >= _FIRST,
        outcomes.c.watch_from <= bindparam("last", type_=UtcDateTime()),
        outcomes.c.due_at.is_distinct_from(outcomes.c.delivered_at),
    )
    .values(due_at=outcomes.c.delivered_at)
)
_CONCERNED = (
    select(outcome_themes.c.outcome_id)
    .join(themes, themes.c.id == outcome_themes.c.theme_id)
    .where(one_of(func.coalesce(themes.c.merged_into, themes.c.id)))
)
_MARK_DUE = Prepared(
    update(outcomes)
    .where(outcomes.c.id.in_(_CONCERNED), outcomes.c.watch_until >= _FIRST)
    .values(due_at=outcomes.c.delivered_at)
)


async def mark_watching(conn: AsyncConnection, first: datetime, last: datetime) -> None:
    """Have the outcomes looked at again that watch any of the time from `first` to `last`."""
    await _MARK_WATCHING.many(conn, [{"first": first, "last": last}])


async def mark_due(conn: AsyncConnection, theme_ids: Iterable[str], first: datetime) -> None:
    """Have the outcomes looked at again that these themes bear on, if evidence as old as `first`
    lies in the time that they watch."""
    keys = [(id,) for id in sorted(set(theme_ids))]
    if keys:
        await _MARK_DUE.many(conn, [{"keys": packed(keys), "first": first}])


async def due(conn: AsyncConnection, as_of: datetime, limit: int, *, stale: bool) -> list[Outcome]:
    """Outcomes to look at again as of then, longest due first. `stale`: also those that are
    not due yet, where the last look was as of an earlier time and was not the final one."""
    late = outcomes.c.due_at <= as_of
    if stale:
        late = or_(late, and_(outcomes.c.due_at.is_not(None), outcomes.c.as_of < as_of))
    query = select(outcomes).where(late).order_by(outcomes.c.due_at, outcomes.c.id).limit(limit)
    return [outcome(row) for row in await conn.execute(query)]
