"""The table `api_keys`. Load and save a key."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Row, Table, Text, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.access.domain import ApiKey
from services.gateway.metadata import metadata
from shared.database import Json, UtcDateTime

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False, unique=True),
    Column("hash", Text, nullable=False),
    Column("scopes", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("revoked_by", Text),
    Column("last_used_at", UtcDateTime),
    Column("integration_id", Text, index=True),
)


def _key(row: Row[Any]) -> ApiKey:
    columns = dict(row._mapping)  # pyright: ignore[reportPrivateUsage]
    return ApiKey(**{**columns, "scopes": frozenset(row.scopes)})


async def load(conn: AsyncConnection, key_id: str) -> ApiKey | None:
    row = (await conn.execute(select(api_keys).where(api_keys.c.id == key_id))).one_or_none()
    return None if row is None else _key(row)


async def load_unrevoked(conn: AsyncConnection) -> list[ApiKey]:
    """Every key that may still open the door; expiry is the caller's to check."""
    query = select(api_keys).where(api_keys.c.revoked_at.is_(None))
    return [_key(row) for row in await conn.execute(query)]


async def load_of_integration(conn: AsyncConnection, integration_id: str) -> list[ApiKey]:
    """Its keys that are not revoked, the oldest first."""
    query = select(api_keys).where(
        api_keys.c.integration_id == integration_id, api_keys.c.revoked_at.is_(None)
    )
    return [_key(row) for row in await conn.execute(query.order_by(api_keys.c.id))]


async def has_prefix(conn: AsyncConnection, prefix: str) -> bool:
    """Was there ever a key with this prefix, revoked or not?"""
    query = select(api_keys.c.id).where(api_keys.c.prefix == prefix)
    return (await conn.execute(query)).first() is not None


async def add(conn: AsyncConnection, key: ApiKey) -> None:
    await conn.execute(
        insert(api_keys).values(
            id=key.id,
            name=key.name,
            prefix=key.prefix,
            hash=key.hash,
            scopes=sorted(key.scopes),
            created_at=key.created_at,
            created_by=key.created_by,
            expires_at=key.expires_at,
            integration_id=key.integration_id,
        )
    )


async def revoke(conn: AsyncConnection, key_id: str, by: str, at: datetime) -> None:
    query = update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
    await conn.execute(query.values(revoked_at=at, revoked_by=by))


async def note_use(conn: AsyncConnection, used: Mapping[str, datetime]) -> None:
    """When each of these keys was last seen."""
    for key_id, at in used.items():
        await conn.execute(update(api_keys).where(api_keys.c.id == key_id).values(last_used_at=at))
