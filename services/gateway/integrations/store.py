"""The table `integrations`. Load and save one."""

from typing import Any

from sqlalchemy import Column, Integer, Row, Table, Text, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.integrations.domain import Integration
from services.gateway.metadata import metadata
from shared.database import Json, UtcDateTime

integrations = Table(
    "integrations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("source", Text, nullable=False, unique=True),
    Column("service", Text),
    Column("signals_per_minute", Integer),
    Column("secrets", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("ended_at", UtcDateTime),
)


def integration_of(row: Row[Any]) -> Integration:
    columns = dict(row._mapping)  # pyright: ignore[reportPrivateUsage]
    return Integration(**{**columns, "secrets": tuple(row.secrets)})


async def load(conn: AsyncConnection, integration_id: str) -> Integration | None:
    query = select(integrations).where(integrations.c.id == integration_id)
    row = (await conn.execute(query)).one_or_none()
    return None if row is None else integration_of(row)


async def load_active(conn: AsyncConnection) -> list[Integration]:
    """All that may still send."""
    query = select(integrations).where(integrations.c.ended_at.is_(None))
    return [integration_of(row) for row in await conn.execute(query)]


async def by_source(conn: AsyncConnection, source: str) -> str | None:
    """The id of the integration that speaks, or once spoke, with this name."""
    query = select(integrations.c.id).where(integrations.c.source == source)
    return (await conn.execute(query)).scalar_one_or_none()


async def add(conn: AsyncConnection, one: Integration) -> None:
    await conn.execute(insert(integrations).values(_values(one)))


async def save(conn: AsyncConnection, one: Integration) -> None:
    """Write what changed. One transaction writes at a time: what it loaded is what it replaces."""
    query = update(integrations).where(integrations.c.id == one.id)
    await conn.execute(query.values(_values(one)))


def _values(one: Integration) -> dict[str, object]:
    return {
        "id": one.id,
        "name": one.name,
        "source": one.source,
        "service": one.service,
        "signals_per_minute": one.signals_per_minute,
        "secrets": list(one.secrets),
        "created_at": one.created_at,
        "created_by": one.created_by,
        "version": one.version,
        "ended_at": one.ended_at,
    }
