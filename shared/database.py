"""One service's database: transactions to write in, connections to read from, column types.

SQLite has one writer per file: every write transaction waits its turn on a single connection and
begins with BEGIN IMMEDIATE, so that what it read is still true when it writes. Readers have their
own connections (WAL), and can't write. `synchronous=FULL`: a commit is on the disk when it returns.
"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, Table, Text, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.types import JSON, TypeDecorator, TypeEngine

from shared.clock import parse_rfc3339, rfc3339

BUSY_SECONDS = 30
"""How long a write transaction waits for its turn before it fails."""

READERS = 4


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime: timestamptz on PostgreSQL, fixed-width RFC 3339 text on SQLite."""

    impl = Text
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(DateTime(timezone=True))
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return rfc3339(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None or isinstance(value, datetime):
            return value
        return parse_rfc3339(value)


Json = JSON().with_variant(JSONB(), "postgresql")
"""A JSON column: JSONB on PostgreSQL, text on SQLite."""

Serial = BigInteger().with_variant(Integer(), "sqlite")
"""An integer primary key that counts up by itself on both engines."""


class Database:
    """The engines of one database. `begin()` to change, `read()` to look; nothing else commits."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.published = asyncio.Event()
        """Set after a commit that wrote to the outbox; the relay waits on it."""
        if make_url(url).get_backend_name() != "sqlite":
            raise ValueError(
                f"no engine for {make_url(url).get_backend_name()!r}: use sqlite+aiosqlite:///PATH"
            )
        self._writer = _sqlite_engine(url, connections=1, readonly=False)
        self._reader = _sqlite_engine(url, connections=READERS, readonly=True)

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[AsyncConnection]:
        """One write transaction: commits when the block ends, rolls back when it raises."""
        async with self._writer.connect() as conn:
            conn.info.pop(PUBLISHED, None)
            async with conn.begin():
                yield conn
            if conn.info.pop(PUBLISHED, False):
                self.published.set()

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """One consistent snapshot to read from; writing raises."""
        async with self._reader.connect() as conn, conn.begin():
            yield conn

    async def ping(self) -> None:
        """Raises unless a write transaction can begin and end."""
        async with self.begin() as conn:
            await conn.exec_driver_sql("SELECT 1")

    async def close(self) -> None:
        await self._writer.dispose()
        await self._reader.dispose()


PUBLISHED = "groundswell.published"
"""Key in a connection's `info`: this transaction wrote to the outbox."""


def insert_into(conn: AsyncConnection, table: Table) -> Any:
    """The dialect's own INSERT, which has `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return postgresql.insert(table) if conn.dialect.name == "postgresql" else sqlite.insert(table)


def _sqlite_engine(url: str, *, connections: int, readonly: bool) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=BUSY_SECONDS,
        hide_parameters=True,  # an error that is logged must not quote what people sent
        json_serializer=_to_json,
    )

    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves; the driver's own loses updates
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
        if readonly:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    def begin(conn: Any) -> None:
        conn.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")

    event.listen(engine.sync_engine, "connect", prepare)
    event.listen(engine.sync_engine, "begin", begin)
    return engine


def _to_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sqlite_url(folder: str | os.PathLike[str], name: str) -> str:
    """The URL of the SQLite file `name` in `folder`."""
    return f"sqlite+aiosqlite:///{os.path.join(os.fspath(folder), name)}"
