"""SQLite: one writing connection per file, a few that only read. Used by `shared.database` alone.

A write transaction begins with BEGIN IMMEDIATE, so that what it read is still true when it writes.
Readers have their own connections (WAL), and can't write. `synchronous=FULL`: a commit is on the
disk when it returns.
"""

import asyncio
import contextvars
import os
import sqlite3
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import Executable, create_engine, event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from shared.columns import to_json

PUBLISHED = "groundswell.published"
"""Key in a connection's `info`: this transaction wrote to the outbox."""

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


def engine(url: URL, *, connections: int, readonly: bool, busy_seconds: int) -> AsyncEngine:
    """The engine of one file: for the one writer, or for readers."""
    made = create_async_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=busy_seconds,
        hide_parameters=True,  # an error that is logged must not quote what people sent
        json_serializer=to_json,
    )

    _prepared(made.sync_engine, readonly=readonly, busy_seconds=busy_seconds)
    return made


def _prepared(made: Engine, *, readonly: bool, busy_seconds: int) -> None:
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


class Inline:
    """What a transaction's work uses of an AsyncConnection, over one that waits for nothing."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self.dialect = conn.dialect
        self.info = conn.info

    async def execute(self, statement: Executable, parameters: Any = None) -> Any:
        return self._conn.execute(statement, parameters)

    async def exec_driver_sql(self, statement: str, parameters: Any = None) -> Any:
        return self._conn.exec_driver_sql(statement, parameters)


class Quick:
    """A writing connection with a thread of its own, where a transaction runs from BEGIN to COMMIT.

    Else each statement goes to a thread and back four times. Who uses it sees to it that nobody else
    writes meanwhile.
    """

    def __init__(self, url: URL, *, busy_seconds: int) -> None:
        self._engine = create_engine(
            url.set(drivername="sqlite+pysqlite"),
            poolclass=StaticPool,
            connect_args={"check_same_thread": False},
            hide_parameters=True,
            json_serializer=to_json,
        )
        _prepared(self._engine, readonly=False, busy_seconds=busy_seconds)
        self._thread = ThreadPoolExecutor(1, "sqlite writer")

    async def run(self, work: Callable[[Any], Coroutine[Any, Any, Any]]) -> tuple[Any, bool]:
        """What the work returns, once it is committed, and whether it published.

        Whoever is cancelled meanwhile waits for the end of it all the same.
        """
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._thread, context.run, self._transaction, work)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            await asyncio.wait([done])
            raise

    def _transaction(self, work: Callable[[Any], Coroutine[Any, Any, Any]]) -> tuple[Any, bool]:
        with self._engine.connect() as conn:
            conn.info.pop(PUBLISHED, None)
            with conn.begin():
                result = _finished(work(Inline(conn)))
                # failpoint: database.committing
            # failpoint: database.committed
            return result, conn.info.pop(PUBLISHED, False)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._engine.dispose)
        self._thread.shutdown()


def _finished(work: Coroutine[Any, Any, Any]) -> Any:
    """What the coroutine returns. Raises RuntimeError when it waits for something else."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    work.close()
    raise RuntimeError("in a transaction that runs in a thread nothing else can be awaited")


def is_away(error: DBAPIError, *, writing: bool) -> bool:
    """Did this fail because the file can't be used just now, and not because of what was asked?"""
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    return code in AWAY or (writing and code == sqlite3.SQLITE_READONLY)


def sqlite_url(folder: str | os.PathLike[str], name: str) -> str:
    """The URL of the SQLite file `name` in `folder`."""
    return f"sqlite+aiosqlite:///{os.path.join(os.fspath(folder), name)}"
