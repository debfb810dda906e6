"""The tables `candidates`, `items` and `item_themes`: a projection of the roadmap's events.

Nothing is decided here. A row is as new as the newest event that was heard of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, Integer, Table, Text, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.metadata import metadata
from shared.database import UtcDateTime, insert_into
from shared.prepared import Prepared, Upsert

candidates = Table(
    "candidates",
    metadata,
    Column("candidate_id", Text, primary_key=True),
    Column("theme_id", Text, nullable=False, index=True),
    Column("state", Text, nullable=False),
    Column("detectors", Text, nullable=False),
    Column("raised_at", UtcDateTime, nullable=False),
    Column("item_id", Text),
    Column("version", Integer, nullable=False),
)

items = Table(
    "items",
    metadata,
    Column("item_id", Text, primary_key=True),
    Column("title", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("horizon", Text, nullable=False),
    Column("quarter", Text),
    Column("delivered_at", UtcDateTime),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("version", Integer, nullable=False),
)

item_themes = Table(
    "item_themes",
    metadata,
    Column("item_id", Text, primary_key=True),
    Column("theme_id", Text, primary_key=True, index=True),
)


WITHDRAWN = "withdrawn"
"""The state of a candidate that is as if it had never been."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate as last heard. `detectors` are those that raised it."""

    candidate_id: str
    theme_id: str
    state: str
    detectors: tuple[str, ...]
    raised_at: datetime
    item_id: str | None
    version: int


@dataclass(frozen=True, slots=True)
class Item:
    """A roadmap item as last heard."""

    item_id: str
    title: str
    product: str
    state: str
    horizon: str
    quarter: str | None
    delivered_at: datetime | None
    changed_at: datetime
    version: int


_LOAD = Prepared(select(candidates).where(candidates.c.candidate_id == bindparam("key")))


async def load_candidate(conn: AsyncConnection, candidate_id: str) -> Candidate | None:
    rows = await _LOAD.rows(conn, {"key": candidate_id})
    if not rows:
        return None
    row = rows[0]
    return Candidate(
        row.candidate_id,
        row.theme_id,
        row.state,
        tuple(row.detectors.split()),
        row.raised_at,
        row.item_id,
        row.version,
    )


_SAVE = Upsert(candidates, "candidate_id")


async def save_candidate(conn: AsyncConnection, candidate: Candidate) -> None:
    """Write it, new or known."""
    values = {
        "candidate_id": candidate.candidate_id,
        "theme_id": candidate.theme_id,
        "state": candidate.state,
        "detectors": " ".join(candidate.detectors),
        "raised_at": candidate.raised_at,
        "item_id": candidate.item_id,
        "version": candidate.version,
    }
    await _SAVE.many(conn, [values])


async def load_item(conn: AsyncConnection, item_id: str) -> Item | None:
    row = (await conn.execute(select(items).where(items.c.item_id == item_id))).one_or_none()
    return None if row is None else Item(**row._mapping)  # pyright: ignore[reportPrivateUsage]


async def save_item(conn: AsyncConnection, item: Item, theme_ids: Iterable[str]) -> None:
    """Write it, new or known, and the themes that it deals with."""
    values = {column.name: getattr(item, column.name) for column in items.c}
    upsert = insert_into(conn, items).values(values)
    await conn.execute(upsert.on_conflict_do_update(index_elements=["item_id"], set_=values))
    await conn.execute(delete(item_themes).where(item_themes.c.item_id == item.item_id))
    rows = [{"item_id": item.item_id, "theme_id": theme_id} for theme_id in set(theme_ids)]
    if rows:
        await conn.execute(insert(item_themes), rows)


async def follow_merge(conn: AsyncConnection, theme_id: str, into: str) -> None:
    """What dealt with one theme deals with the theme it was merged into."""
    mine = candidates.c.theme_id == theme_id
    await conn.execute(update(candidates).where(mine).values(theme_id=into))
    held = select(item_themes.c.item_id).where(item_themes.c.theme_id == theme_id)
    upsert = insert_into(conn, item_themes)
    rows = [{"item_id": i, "theme_id": into} for i in (await conn.execute(held)).scalars()]
    if rows:
        await conn.execute(upsert.on_conflict_do_nothing(), rows)
        await conn.execute(delete(item_themes).where(item_themes.c.theme_id == theme_id))


@dataclass(frozen=True, slots=True)
class Dealing:
    """What the roadmap does about a theme: its newest candidate that was not withdrawn, its newest
    item."""

    candidate_id: str | None = None
    candidate_state: str | None = None
    item: Item | None = None


async def dealings(conn: AsyncConnection, theme_ids: Iterable[str]) -> dict[str, Dealing]:
    """What is done about each of these themes (at most 200)."""
    wanted = sorted(set(theme_ids))
    if not wanted:
        return {}
    query = (
        select(candidates)
        .where(candidates.c.theme_id.in_(wanted), candidates.c.state != WITHDRAWN)
        .order_by(candidates.c.raised_at, candidates.c.candidate_id)
    )
    newest = {row.theme_id: row for row in await conn.execute(query)}
    held = (
        select(item_themes.c.theme_id, items)
        .join(items, items.c.item_id == item_themes.c.item_id)
        .where(item_themes.c.theme_id.in_(wanted))
        .order_by(items.c.changed_at, items.c.item_id)
    )
    in_hand = {
        row.theme_id: Item(**{c.name: getattr(row, c.name) for c in items.c})
        for row in await conn.execute(held)
    }
    found: dict[str, Dealing] = {}
    for theme_id in wanted:
        row = newest.get(theme_id)
        found[theme_id] = Dealing(
            candidate_id=row.candidate_id if row else None,
            candidate_state=row.state if row else None,
            item=in_hand.get(theme_id),
        )
    return found
