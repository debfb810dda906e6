"""PostgreSQL: one writer at a time per schema, readers in snapshots. Used by `shared.database` and
`shared.migrations` alone.

A write transaction first takes the schema's advisory lock, in whatever process it runs: what it
read is still true when it writes, and sequence numbers are in the order of the commits. The server
ends the transaction of a process that has stopped, and so gives its lock back.
"""

# pyright: reportMissingTypeStubs=false
# asyncpg comes without types; what it makes is Any here.

import asyncio
import hashlib
import re
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import asyncpg
from sqlalchemy import event, text
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, DisconnectionError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.schema import CreateSchema

from shared.columns import from_json, to_json

CONNECT_SECONDS = 5
GRACE_SECONDS = 5
"""How much longer than the server we wait: then it is the network that is gone."""

WRITER_IDLE_SECONDS = 10
"""A write transaction whose process says nothing for so long is rolled back by the server."""

LEADER_IDLE_SECONDS = 60

SCHEMA = re.compile(r"[a-z][a-z0-9_]{0,40}")

Settings = Mapping[str, str]
"""Server settings of a connection, set as it is made."""

AWAY_CLASSES = ("08", "28", "3D", "40", "53", "57", "58")
"""SQLSTATE classes for which nobody's statement is to blame: connection, sign-in, no such database,
rolled back for another's sake, out of resources, stopped by the operator, broken disk."""

AWAY_STATES = frozenset({"55P03", "25P03", "25P04"})
"""Waited too long for a lock; was idle, or in all, too long in a transaction."""

OUTDATED = (
    AsyncAdapt_asyncpg_dbapi.InvalidCachedStatementError,
    asyncpg.exceptions.InvalidCachedStatementError,
)
READ_ONLY_SERVER = "25006"

_LOCK = text("SELECT pg_advisory_xact_lock(:number)")
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:number)")


def split(url: URL) -> tuple[URL, str]:
    """The URL for the driver, and the schema that `?schema=` names. Raises ValueError."""
    schema = url.query.get("schema")
    if not isinstance(schema, str) or not SCHEMA.fullmatch(schema):
        raise ValueError("a PostgreSQL URL must end with ?schema=NAME, of a-z, 0-9 and _")
    return url.difference_update_query(["schema"]), schema


def lock_number(schema: str, name: str) -> int:
    """The key of the advisory lock `name` of this schema; the same in every process and for ever."""
    digest = hashlib.blake2b(f"groundswell/{schema}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def writer(url: URL, *, busy_seconds: int, **options: Any) -> AsyncEngine:
    """One connection, to write by. In-process waiters queue for it in order."""
    settings = {
        **_timeouts(busy_seconds, idle_seconds=WRITER_IDLE_SECONDS),
        "synchronous_commit": "on",
    }
    return _engine(url, settings, connections=1, busy_seconds=busy_seconds, **options)


class Quick:
    """A writing connection that is kept, and says BEGIN and takes its turn in one message.

    Used by one piece of work after the other. Raises DBAPIError, as SQLAlchemy does.
    """

    def __init__(self, url: URL, *, busy_seconds: int) -> None:
        number = lock_number(split(url)[1], "writer")
        self._begin = f"BEGIN; SELECT pg_advisory_xact_lock({number})"
        self._busy_seconds = busy_seconds
        self._engine = writer(url, busy_seconds=busy_seconds, isolation_level="AUTOCOMMIT")
        self._turn = asyncio.Lock()
        self._conn: AsyncConnection | None = None

    async def run(self, work: Callable[[AsyncConnection], Coroutine[Any, Any, Any]]) -> Any:
        """What the work returns, once it is committed; rolled back when it raises."""
        async with asyncio.timeout(self._busy_seconds):
            await self._turn.acquire()
        try:
            return await self._run(work)
        finally:
            self._turn.release()

    async def _run(self, work: Callable[[AsyncConnection], Coroutine[Any, Any, Any]]) -> Any:
        if self._conn is not None and await _is_gone(self._conn):
            await self._drop(self._conn)
        if self._conn is None:
            self._conn = await self._engine.connect()
        conn = self._conn
        driver = await _driver(conn)
        try:
            await _say(driver, self._begin)
            result = await work(cast("AsyncConnection", Direct(conn, driver)))
            # failpoint: quick.committing
            await _say(driver, "COMMIT")
        except BaseException:
            await self._roll_back(driver)
            raise
        # failpoint: quick.committed
        return result

    async def _roll_back(self, driver: Any) -> None:
        """Where even that can't be said, the connection ends, and the server does it."""
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                await driver.execute("ROLLBACK")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            driver.terminate()
        except asyncio.CancelledError:
            driver.terminate()
            raise

    async def _drop(self, conn: AsyncConnection) -> None:
        """Give up a connection that is no more; the next work opens another."""
        self._conn = None
        await conn.invalidate()
        await conn.close()

    async def dispose(self) -> None:
        """Close the connection; whoever asks again, on whichever event loop, gets another."""
        conn, self._conn = self._conn, None
        self._turn = asyncio.Lock()
        if conn is not None:
            await conn.close()
        await self._engine.dispose()


class Direct:
    """What is used of a connection in a transaction, and the driver's own for `shared.prepared`."""

    def __init__(self, conn: AsyncConnection, driver: Any) -> None:
        self.dialect = conn.dialect
        self.info = conn.info
        self.execute = conn.execute
        self.exec_driver_sql = conn.exec_driver_sql
        self.driver = Driver(driver)


class Driver:
    """asyncpg's connection. Raises DBAPIError, as SQLAlchemy does."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    async def fetch(self, words: str, places: Sequence[Any]) -> Sequence[Any]:
        with _named(self._raw):
            return await self._raw.fetch(words, *places)

    async def run_many(self, words: str, places: Sequence[Sequence[Any]]) -> None:
        with _named(self._raw):
            await self._raw.executemany(words, places)


async def _is_gone(conn: AsyncConnection) -> bool:
    """Did the server end it, or did SQLAlchemy, which does so when a statement is cut short?"""
    return conn.invalidated or (await _driver(conn)).is_closed()


async def _driver(conn: AsyncConnection) -> Any:
    return (await conn.get_raw_connection()).driver_connection


async def _say(driver: Any, words: str) -> None:
    with _named(driver):
        await driver.execute(words)


@contextmanager
def _named(driver: Any) -> Generator[None]:
    """Raises the driver's errors as SQLAlchemy names them."""
    try:
        yield
    except asyncpg.IntegrityConstraintViolationError as error:
        raise IntegrityError(None, None, error) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DBAPIError(None, None, error, connection_invalidated=driver.is_closed()) from error


def reader(url: URL, *, connections: int, busy_seconds: int) -> AsyncEngine:
    """Connections that can only read, each transaction in one snapshot."""
    settings = {
        **_timeouts(busy_seconds, idle_seconds=LEADER_IDLE_SECONDS),
        "default_transaction_isolation": "repeatable read",
        "default_transaction_read_only": "on",
    }
    return _engine(url, settings, connections=connections, busy_seconds=busy_seconds)


def leaders(url: URL, *, connections: int, busy_seconds: int) -> AsyncEngine:
    """Connections that hold leadership, each while its transaction is open."""
    settings = _timeouts(busy_seconds, idle_seconds=LEADER_IDLE_SECONDS)
    return _engine(url, settings, connections=connections, busy_seconds=busy_seconds)


def migrator(url: URL, *, busy_seconds: int) -> AsyncEngine:
    """A connection for migrations: no limit on how long a statement runs, only on locks."""
    settings = {"lock_timeout": f"{busy_seconds}s"}
    return _engine(url, settings, connections=1, busy_seconds=busy_seconds, bounded=False)


async def take_turn(conn: AsyncConnection, schema: str) -> None:
    """Wait until this transaction is the only one that writes in this schema."""
    await conn.execute(_LOCK, {"number": lock_number(schema, "writer")})


async def enter_schema(conn: AsyncConnection, schema: str) -> None:
    """Wait for the writers of this schema, however long, and make it where it is missing."""
    await conn.execute(text("SET LOCAL lock_timeout = 0"))
    await take_turn(conn, schema)
    await conn.execute(text("SET LOCAL lock_timeout TO DEFAULT"))
    found = await conn.execute(text("SELECT to_regnamespace(:schema)"), {"schema": schema})
    if found.scalar_one() is None:  # asked first: who may not create may still have been given one
        await conn.execute(CreateSchema(schema))


async def try_to_lead(conn: AsyncConnection, schema: str, name: str) -> bool:
    """Take the leadership `name` for this transaction, unless another holds it."""
    number = lock_number(schema, f"leader/{name}")
    return bool((await conn.execute(_TRY_LOCK, {"number": number})).scalar_one())


def is_away(error: DBAPIError, *, writing: bool) -> bool:
    """Did this fail because the server can't be used just now, and not because of what was asked?

    True too for a statement that a migration beside us made outdated: asked again, it works.
    """
    state = str(getattr(error.orig, "sqlstate", None) or "")
    return (
        error.connection_invalidated
        or isinstance(error.orig, OUTDATED)
        or state.startswith(AWAY_CLASSES)
        or state in AWAY_STATES
        or (writing and state == READ_ONLY_SERVER)  # failed over: this one is a standby now
    )


def _timeouts(busy_seconds: int, *, idle_seconds: int) -> dict[str, str]:
    return {
        "lock_timeout": f"{busy_seconds}s",
        "statement_timeout": f"{busy_seconds}s",
        "idle_in_transaction_session_timeout": f"{idle_seconds}s",
    }


def _engine(
    url: URL,
    settings: Settings,
    *,
    connections: int,
    busy_seconds: int,
    bounded: bool = True,
    **options: Any,
) -> AsyncEngine:
    plain, schema = split(url)
    made = create_async_engine(
        plain,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=busy_seconds,
        hide_parameters=True,  # an error that is logged must not quote what people sent
        json_serializer=to_json,
        json_deserializer=from_json,
        **options,
        connect_args={
            "timeout": CONNECT_SECONDS,
            "command_timeout": busy_seconds + GRACE_SECONDS if bounded else None,
            "server_settings": {
                "application_name": f"groundswell {schema}",
                "search_path": schema,
                **settings,
            },
        },
    )
    event.listen(made.sync_engine, "checkout", _refuse_dead)
    return made


def _refuse_dead(connection: Any, _record: Any, _proxy: Any) -> None:
    """After the server went away, have the pool connect anew instead of failing a request."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError
