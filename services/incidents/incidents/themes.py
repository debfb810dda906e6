"""What other services say about incidents: their theme, and the roadmap item that deals with it.

Copies, kept up to date from events; decided elsewhere.
"""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Column, Integer, Table, Text, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.metadata import metadata
from shared.contracts.roadmap import ItemDelivered, ItemEvent
from shared.database import UtcDateTime, insert_into
from shared.prepared import Prepared, Upsert

incident_themes = Table(
    "incident_themes",
    metadata,
    Column("incident_id", Text, primary_key=True),
    Column("theme_id", Text, nullable=False, index=True),
    Column("event_id", Text, nullable=False),
)
"""`event_id` is of the event that said so; ids sort by when they were made."""

theme_merges = Table(
    "theme_merges",
    metadata,
    Column("theme_id", Text, primary_key=True),
    Column("into_theme_id", Text, nullable=False),
)

items = Table(
    "items",
    metadata,
    Column("item_id", Text, primary_key=True),
    Column("title", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("horizon", Text, nullable=False),
    Column("quarter", Text),
    Column("delivered_at", UtcDateTime),
    Column("version", Integer, nullable=False),
)

theme_items = Table(
    "theme_items",
    metadata,
    Column("theme_id", Text, primary_key=True),
    Column("item_id", Text, primary_key=True, index=True),
)


_PLACE = Upsert(
    incident_themes,
    "incident_id",
    if_so=lambda new: new.event_id > incident_themes.c.event_id,
)


async def place(
    conn: AsyncConnection, incident_ids: Iterable[str], theme_id: str, event_id: str
) -> None:
    """These incidents are of this theme, unless a newer event said otherwise. Idempotent."""
    theme_id = await current(conn, theme_id)
    rows = [
        {"incident_id": incident_id, "theme_id": theme_id, "event_id": event_id}
        for incident_id in dict.fromkeys(incident_ids)
    ]
    await _PLACE.many(conn, rows)


async def merge(conn: AsyncConnection, theme_id: str, into_theme_id: str) -> None:
    """What is of the one theme, incidents and items, is of the other from now on. Idempotent."""
    into_theme_id = await current(conn, into_theme_id)
    if into_theme_id == theme_id:
        return
    upsert = insert_into(conn, theme_merges)
    await conn.execute(
        upsert.values(theme_id=theme_id, into_theme_id=into_theme_id).on_conflict_do_update(
            index_elements=["theme_id"], set_={"into_theme_id": into_theme_id}
        )
    )
    earlier = update(theme_merges).where(theme_merges.c.into_theme_id == theme_id)
    await conn.execute(earlier.values(into_theme_id=into_theme_id))
    placed = update(incident_themes).where(incident_themes.c.theme_id == theme_id)
    await conn.execute(placed.values(theme_id=into_theme_id))
    query = select(theme_items.c.item_id).where(theme_items.c.theme_id == theme_id)
    moved = list((await conn.execute(query)).scalars())
    await conn.execute(delete(theme_items).where(theme_items.c.theme_id == theme_id))
    await _tie(conn, moved, into_theme_id)


_CURRENT = Prepared(
    select(theme_merges.c.into_theme_id).where(theme_merges.c.theme_id == bindparam("theme"))
)


async def current(conn: AsyncConnection, theme_id: str) -> str:
    """The theme that this one was merged into, or itself."""
    rows = await _CURRENT.rows(conn, {"theme": theme_id})
    return rows[0].into_theme_id if rows else theme_id


async def follow(conn: AsyncConnection, item: ItemEvent, version: int) -> None:
    """Copy what an item's event says of it, unless a newer one was copied. Idempotent."""
    delivered_at: datetime | None = item.at if isinstance(item, ItemDelivered) else None
    known = (await conn.execute(select(items).where(items.c.item_id == item.item_id))).one_or_none()
    if known is not None and known.version >= version:
        return
    row = {
        "title": item.title,
        "state": item.state,
        "horizon": item.horizon,
        "quarter": item.quarter,
        "delivered_at": delivered_at or (known.delivered_at if known else None),
        "version": version,
    }
    if known is None:
        await conn.execute(insert(items).values(item_id=item.item_id, **row))
    else:
        await conn.execute(update(items).where(items.c.item_id == item.item_id).values(row))
    await conn.execute(delete(theme_items).where(theme_items.c.item_id == item.item_id))
    for theme_id in item.theme_ids:
        await _tie(conn, [item.item_id], await current(conn, theme_id))


async def _tie(conn: AsyncConnection, item_ids: Iterable[str], theme_id: str) -> None:
    rows = [{"theme_id": theme_id, "item_id": item_id} for item_id in item_ids]
    if rows:
        await conn.execute(insert_into(conn, theme_items).on_conflict_do_nothing(), rows)
