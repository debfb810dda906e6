"""SQLite: one writing connection per file, a few that only read. Used by `shared.database` alone.

A write transaction begins with BEGIN IMMEDIATE, so that what it read is still true when it writes.
Readers have their own connections (WAL), and can't write. `synchronous=FULL`: a commit is on the
disk when it returns.
"""

import os
import sqlite3
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from shared.columns import to_json

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

    event.listen(made.sync_engine, "connect", prepare)
    event.listen(made.sync_engine, "begin", begin)
    return made


def is_away(error: DBAPIError, *, writing: bool) -> bool:
    """Did this fail because the file can't be used just now, and not because of what was asked?"""
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    return code in AWAY or (writing and code == sqlite3.SQLITE_READONLY)


def sqlite_url(folder: str | os.PathLike[str], name: str) -> str:
    """The URL of the SQLite file `name` in `folder`."""
    return f"sqlite+aiosqlite:///{os.path.join(os.fspath(folder), name)}"
