"""The table `mappings`. Load and save one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Integer, Table, Text, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.incidents.store import parts
from services.incidents.metadata import metadata
from shared.database import Json, UtcDateTime
from shared.refusals import Conflict

mappings = Table(
    "mappings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("document", Json, nullable=False),
    Column("version", Integer, nullable=False),
    Column("by", Text, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
)


@dataclass(frozen=True, slots=True)
class StoredMapping:
    """A mapping as it was put, by whom and when."""

    name: str
    document: Mapping[str, Any]
    version: int
    by: str
    changed_at: datetime


async def load(conn: AsyncConnection, name: str) -> StoredMapping | None:
    row = (await conn.execute(select(mappings).where(mappings.c.name == name))).one_or_none()
    return None if row is None else StoredMapping(**row._mapping)  # pyright: ignore[reportPrivateUsage]


async def versions(conn: AsyncConnection) -> dict[str, int]:
    """The version of every mapping, by its name."""
    rows = await conn.execute(select(mappings.c.name, mappings.c.version))
    return {row.name: row.version for row in rows}


async def load_all(conn: AsyncConnection, names: Iterable[str]) -> list[StoredMapping]:
    """Those of these names that there are."""
    found: list[StoredMapping] = []
    for some in parts(names):
        rows = await conn.execute(select(mappings).where(mappings.c.name.in_(some)))
        found += [StoredMapping(**row._mapping) for row in rows]  # pyright: ignore[reportPrivateUsage]
    return found


async def save(conn: AsyncConnection, changed: StoredMapping, *, was: int | None) -> None:
    """Write it. `was` is the version it was loaded with, None for a new one. Raises Conflict."""
    values = {
        "name": changed.name,
        "document": dict(changed.document),
        "version": changed.version,
        "by": changed.by,
        "changed_at": changed.changed_at,
    }
    if was is None:
        await conn.execute(insert(mappings).values(values))
        return
    query = update(mappings).where(mappings.c.name == changed.name, mappings.c.version == was)
    if (await conn.execute(query.values(values))).rowcount != 1:
        raise Conflict(f"Mapping {changed.name!r} was changed meanwhile; read it again and retry.")
