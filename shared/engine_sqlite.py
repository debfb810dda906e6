"""SQLite: one writing connection per file, a few that only read. Used by `shared.database` alone.

A write transaction begins with BEGIN IMMEDIATE, so that what it read is still true when it writes.
Readers have their own connections (WAL), and can't write. `synchronous=FULL`: a commit is on the
disk when it returns.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, cast

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import NullPool

from shared.columns import from_json, to_json
from shared.lane import Hopping, Lane, Looking

AWAY = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
"""Result codes for which nobody's statement is to blame: the file is locked, away or full."""


class SqliteEngine:
    """The connections to one file: to the one writer, or to readers. Who waits for one goes in turn.

    Has what `shared.database` uses of SQLAlchemy's AsyncEngine.
    """

    def __init__(self, url: URL, *, connections: int, readonly: bool, busy_seconds: int) -> None:
        self.sync_engine = create_engine(
            url.set(drivername="sqlite+pysqlite"),
            poolclass=NullPool,  # lanes keep theirs
            connect_args={"check_same_thread": False},
            hide_parameters=True,  # an error that is logged must not quote what people sent
            json_serializer=to_json,
            json_deserializer=from_json,
        )
        _prepared(self.sync_engine, readonly=readonly, busy_seconds=busy_seconds)
        self._readonly = readonly
        self._busy_seconds = busy_seconds
        self._lanes = [Lane(self.sync_engine) for _ in range(connections)]
        self._free = [*self._lanes]
        self._room = asyncio.Semaphore(connections)

    @asynccontextmanager
    async def lane(self) -> AsyncGenerator[Lane]:
        """A connection of one's own while the block runs. Raises TimeoutError when none gets free."""
        async with asyncio.timeout(self._busy_seconds):
            await self._room.acquire()
        lane = self._free.pop()
        try:
            yield lane
        finally:
            self._free.append(lane)
            self._room.release()

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[AsyncConnection]:
        """The same, as one that statements are awaited from."""
        async with self.lane() as lane:
            try:
                yield cast("AsyncConnection", Hopping(lane, begins_late=self._readonly))
            except BaseException:
                lane.abandon()
                raise

    @asynccontextmanager
    async def look(self) -> AsyncGenerator[AsyncConnection]:
        """The same, where each statement is a transaction of its own."""
        async with self.lane() as lane:
            yield cast("AsyncConnection", Looking(lane))

    async def run(self, work: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        """What the work returns, once it is committed: all of it at once, in the thread."""
        async with self.lane() as lane:
            return await lane.hop(lane.transaction, work)

    async def dispose(self) -> None:
        """Close the connections; whoever asks again, on whichever event loop, gets others."""
        for lane in self._lanes:
            await lane.close()
        self._room = asyncio.Semaphore(len(self._lanes))


def _prepared(made: Any, *, readonly: bool, busy_seconds: int) -> None:
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves; the driver's own loses updates
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA busy_timeout={busy_seconds * 1000}")
        if readonly:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    def begin(conn: Any) -> None:
        conn.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")

    event.listen(made, "connect", prepare)
    event.listen(made, "begin", begin)


def is_away(error: DBAPIError, *, writing: bool) -> bool:
    """Did this fail because the file can't be used just now, and not because of what was asked?"""
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    return code in AWAY or (writing and code == sqlite3.SQLITE_READONLY)


def sqlite_url(folder: str | os.PathLike[str], name: str) -> str:
    """The URL of the SQLite file `name` in `folder`."""
    return f"sqlite:///{os.path.join(os.fspath(folder), name)}"
