"""One service's database: transactions to write in, connections to read from, on either engine.

One writer at a time per database, on both engines (`engine_sqlite`, `engine_postgres` say how):
what a write transaction read is still true when it writes, and rows are numbered in the order of
the commits. Readers never wait for writers and see one snapshot.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, TypeVar

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError, TimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import engine_postgres, engine_sqlite
from shared.columns import Json, Serial, UtcDateTime, to_json
from shared.engine_sqlite import SqliteEngine, sqlite_url

__all__ = [
    "PUBLISHED",
    "UNAVAILABLE",
    "Database",
    "DatabaseUnavailable",
    "Json",
    "Serial",
    "UtcDateTime",
    "insert_into",
    "sqlite_url",
    "to_json",
]

BUSY_SECONDS = 30
"""How long a write transaction waits for its turn before it fails."""

ROLLBACK_SECONDS = 5

READERS = 4
LEADERS = 4


Result = TypeVar("Result")
Work = Callable[[AsyncConnection], Coroutine[Any, Any, Result]]
"""What is done in a transaction that asks for nothing but its connection."""


PUBLISHED = "groundswell.published"
"""Key in a connection's `info`: this transaction wrote to the outbox."""


class DatabaseUnavailable(OperationalError):
    """The database is away, full, or too slow. Raised by a commit, it may or may not have happened."""


UNAVAILABLE = (DatabaseUnavailable,)
"""What `begin`, `read`, `leading` and `ping` raise when it is nobody's fault but the database's:
the caller should be told to come again. Every other error is a mistake of ours or of the caller."""


class Database:
    """The engines of one database. `begin()` to change, `read()` to look; nothing else commits."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self.url = parsed.render_as_string(hide_password=True)
        """For people to read: without the password."""
        self.published = asyncio.Event()
        """Set after a commit of this process that wrote to the outbox; the relay waits on it."""
        self.schema: str | None = None
        """On PostgreSQL: where the tables are. None: a file that this process has to itself."""
        self._leaders = None
        match parsed.get_backend_name():
            case "sqlite":
                self._is_away = engine_sqlite.is_away
                self._writer = self._quick = SqliteEngine(
                    parsed, connections=1, readonly=False, busy_seconds=BUSY_SECONDS
                )
                self._reader = SqliteEngine(
                    parsed, connections=READERS, readonly=True, busy_seconds=BUSY_SECONDS
                )
                self._glance = self._reader.look
            case "postgresql":
                self.schema = engine_postgres.split(parsed)[1]
                self._is_away = engine_postgres.is_away
                self._writer = engine_postgres.writer(parsed, busy_seconds=BUSY_SECONDS)
                self._quick = engine_postgres.Quick(parsed, busy_seconds=BUSY_SECONDS)
                self._reader = engine_postgres.reader(
                    parsed, connections=READERS, busy_seconds=BUSY_SECONDS
                )
                self._glance = self._reader.execution_options(isolation_level="AUTOCOMMIT").connect
                self._leaders = engine_postgres.leaders(
                    parsed, connections=LEADERS, busy_seconds=BUSY_SECONDS
                )
            case other:
                raise ValueError(
                    f"no engine for {other!r}: use sqlite:///PATH or"
                    " postgresql+asyncpg://USER:PASSWORD@HOST/DATABASE?schema=NAME"
                )

    def __repr__(self) -> str:
        return f"Database({self.url!r})"

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[AsyncConnection]:
        """One write transaction: commits when the block ends, rolls back when it raises.

        Raises DatabaseUnavailable. An OSError that leaves the block counts as the database's own:
        nothing in it may do other I/O.
        """
        with _naming_what_is_away(self._is_away, writing=True):
            async with self._writer.connect() as conn:
                conn.info.pop(PUBLISHED, None)
                async with _transaction(conn):
                    if self.schema is not None:
                        await engine_postgres.take_turn(conn, self.schema)
                    yield conn
                    # failpoint: database.committing
                # failpoint: database.committed
                if conn.info.pop(PUBLISHED, False):
                    self.published.set()

    async def write(self, work: Work[Result]) -> Result:
        """The same for work that awaits nothing but its connection, and quicker; see `Quick`, `Lane`.

        Commits when the work returns, rolls back when it raises. Raises DatabaseUnavailable.
        """
        published = False

        async def noting(conn: AsyncConnection) -> Result:
            nonlocal published
            conn.info.pop(PUBLISHED, None)
            result = await work(conn)
            published = conn.info.pop(PUBLISHED, False)
            return result

        with _naming_what_is_away(self._is_away, writing=True):
            result = await self._quick.run(noting)
        if published:
            self.published.set()
        return result

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """One consistent snapshot to read from; writing raises. Raises DatabaseUnavailable."""
        with _naming_what_is_away(self._is_away, writing=False):
            async with self._reader.connect() as conn, _transaction(conn):
                yield conn

    @asynccontextmanager
    async def look(self) -> AsyncGenerator[AsyncConnection]:
        """To read with one statement, which sees one snapshot without a transaction around it.

        Several may see different ones: use `read` for these. Raises DatabaseUnavailable.
        """
        with _naming_what_is_away(self._is_away, writing=False):
            async with self._glance() as conn:
                yield conn

    @asynccontextmanager
    async def leading(self, name: str) -> AsyncGenerator[bool]:
        """Be the only process that does `name` while the block runs. False: another one does it.

        On SQLite always true: one process has the file. A leader that says nothing for a minute,
        or loses its connection, is succeeded without being told: what it does must be safe to do
        twice. Raises DatabaseUnavailable on entry.
        """
        if self._leaders is None or self.schema is None:
            yield True
            return
        async with AsyncExitStack() as stack:
            with _naming_what_is_away(self._is_away, writing=False):
                conn = await stack.enter_async_context(self._leaders.connect())
                stack.push_async_callback(_roll_back, conn)
                leads = await engine_postgres.try_to_lead(conn, self.schema, name)
            yield leads

    async def ping(self) -> None:
        """Raises unless a write transaction can begin and end."""
        async with self.begin() as conn:
            await conn.exec_driver_sql("SELECT 1")

    async def close(self) -> None:
        for engine in {self._quick, self._writer, self._reader, self._leaders}:
            if engine is not None:
                await engine.dispose()


@asynccontextmanager
async def migrating(url: str) -> AsyncGenerator[AsyncConnection]:
    """One transaction that may change tables, on a connection of its own. Raises DatabaseUnavailable.

    On PostgreSQL in the schema that the URL names, made when missing; nobody else writes there.
    """
    parsed = make_url(url)
    on_postgres = parsed.get_backend_name() == "postgresql"
    engine = (
        engine_postgres.migrator(parsed, busy_seconds=BUSY_SECONDS)
        if on_postgres
        else SqliteEngine(parsed, connections=1, readonly=False, busy_seconds=BUSY_SECONDS)
    )
    is_away = engine_postgres.is_away if on_postgres else engine_sqlite.is_away
    try:
        with _naming_what_is_away(is_away, writing=True):
            async with engine.connect() as conn, _transaction(conn):
                if on_postgres:
                    await engine_postgres.enter_schema(conn, engine_postgres.split(parsed)[1])
                yield conn
    finally:
        await engine.dispose()


IsAway = Callable[..., bool]


@contextmanager
def _naming_what_is_away(is_away: IsAway, *, writing: bool) -> Generator[None]:
    try:
        yield
    except DatabaseUnavailable:
        raise
    except (TimeoutError, OSError) as error:
        raise DatabaseUnavailable(None, None, error) from error
    except DBAPIError as error:
        if not is_away(error, writing=writing):
            raise
        raise DatabaseUnavailable(None, None, error.orig or error) from error


@asynccontextmanager
async def _transaction(conn: AsyncConnection) -> AsyncGenerator[None]:
    """Commits when the block ends; rolls back when it raises, or when the commit does."""
    await conn.begin()
    try:
        yield
        await conn.commit()
    except BaseException:
        await _roll_back(conn)
        raise


async def _roll_back(conn: AsyncConnection) -> None:
    """End the transaction. Where even that can't be said, the server does it: the connection ends.

    After a timeout SQLAlchemy has thrown the connection away already, and there is nothing to say.
    """
    try:
        async with asyncio.timeout(ROLLBACK_SECONDS):
            await conn.rollback()
    except (DBAPIError, OSError):
        await conn.invalidate()


def insert_into(conn: AsyncConnection, table: Table) -> Any:
    """The dialect's own INSERT, which has `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return postgresql.insert(table) if conn.dialect.name == "postgresql" else sqlite.insert(table)
