"""A connection to a SQLite file with a thread of its own, and what waits for it from the event loop.

Each statement goes to the thread and back once; what asks for nothing but its connection goes there
whole. Used by `engine_sqlite` alone.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, Executable
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Lane:
    """One connection, used in one thread; whatever is asked of it is done in the order of asking."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._thread: ThreadPoolExecutor | None = None
        self._conn: Connection | None = None

    async def hop(
        self, work: Callable[Given, Result], *args: Given.args, **named: Given.kwargs
    ) -> Result:
        """Do it in the thread. Whoever is cancelled meanwhile doesn't wait for what has begun."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "sqlite")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: work(*args, **named))

    @property
    def connection(self) -> Connection:
        """Opened when it is first asked for."""
        if self._conn is None:
            self._conn = self._engine.connect()
        return self._conn

    def execute(self, statement: Executable, parameters: Any = None) -> Any:
        """Run it and read all its rows, since those who asked read them elsewhere."""
        return _read(self.connection.execute(statement, parameters))

    def exec_driver_sql(self, statement: str, parameters: Any = None) -> Any:
        """The same for text in the driver's own words."""
        return _read(self.connection.exec_driver_sql(statement, parameters))

    def transaction(self, work: Callable[[Any], Coroutine[Any, Any, Result]]) -> Result:
        """Run the work from BEGIN to COMMIT."""
        with self.connection.begin():
            result = _finished(work(Inline(self.connection)))
            # failpoint: lane.committing
        # failpoint: lane.committed
        return result  # noqa: RET504  failpoints stand between

    def abandon(self) -> None:
        """Roll back what was cut short, after all that was asked before; nobody can cancel this.

        A cancelled BEGIN still begins in the thread, and a cancelled ROLLBACK may never run.
        """
        if self._thread is not None:
            self._thread.submit(self._clear)

    def _clear(self) -> None:
        try:
            if self._conn is not None:
                self._conn.rollback()
        except SQLAlchemyError:
            self.forget()

    def forget(self) -> None:
        """Close the connection; the next work opens another."""
        conn, self._conn = self._conn, None
        if conn is not None:
            conn.close()

    async def close(self) -> None:
        """Close the connection and end the thread; whoever asks again gets both anew."""
        if self._thread is not None:
            await self.hop(self.forget)
            thread, self._thread = self._thread, None
            thread.shutdown()


class Hopping:
    """What is used of SQLAlchemy's AsyncConnection, over a lane.

    `begins_late`: BEGIN goes to the thread with the first statement. It is all the same to a reader:
    SQLite takes its snapshot no sooner.
    """

    def __init__(self, lane: Lane, *, begins_late: bool = False) -> None:
        self._lane = lane
        self._begins_late = begins_late

    @property
    def dialect(self) -> Any:
        return self._lane.connection.dialect

    @property
    def info(self) -> dict[Any, Any]:
        return self._lane.connection.info

    async def begin(self) -> None:
        if not self._begins_late:
            await self._lane.hop(lambda: self._lane.connection.begin())

    async def commit(self) -> None:
        await self._lane.hop(lambda: self._lane.connection.commit())

    async def rollback(self) -> None:
        await self._lane.hop(lambda: self._lane.connection.rollback())

    async def invalidate(self) -> None:
        await self._lane.hop(self._lane.forget)

    async def execute(self, statement: Executable, parameters: Any = None) -> Any:
        return await self._lane.hop(self._lane.execute, statement, parameters)

    async def exec_driver_sql(self, statement: str, parameters: Any = None) -> Any:
        return await self._lane.hop(self._lane.exec_driver_sql, statement, parameters)

    async def run_sync(self, work: Callable[..., Result], *args: Any) -> Result:
        return await self._lane.hop(lambda: work(self._lane.connection, *args))


class Looking:
    """The same, where each statement goes to the thread and back once with its BEGIN and its end."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    @property
    def dialect(self) -> Any:
        return self._lane.connection.dialect

    async def execute(self, statement: Executable, parameters: Any = None) -> Any:
        return await self._lane.hop(self._alone, statement, parameters)

    def _alone(self, statement: Executable, parameters: Any) -> Any:
        with self._lane.connection.begin():
            return self._lane.execute(statement, parameters)


class Inline:
    """The same within the thread, where nothing has to be waited for."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self.dialect = conn.dialect
        self.info = conn.info
        self.driver = Driver(conn)

    async def execute(self, statement: Executable, parameters: Any = None) -> Any:
        return self._conn.execute(statement, parameters)

    async def exec_driver_sql(self, statement: str, parameters: Any = None) -> Any:
        return self._conn.exec_driver_sql(statement, parameters)


class Driver:
    """The same without SQLAlchemy, for `shared.prepared`."""

    def __init__(self, conn: Connection) -> None:
        self._raw: Any = conn.connection.driver_connection

    async def fetch(self, words: str, places: Sequence[Any]) -> Sequence[Any]:
        try:
            return self._raw.execute(words, places).fetchall()
        except sqlite3.Error as error:
            raise _named(error) from error

    async def run_many(self, words: str, places: Sequence[Sequence[Any]]) -> None:
        try:
            self._raw.executemany(words, places)
        except sqlite3.Error as error:
            raise _named(error) from error


def _named(error: sqlite3.Error) -> Exception:
    """The error as SQLAlchemy names it, without what people sent."""
    return DBAPIError.instance(None, None, error, sqlite3.Error, hide_parameters=True)


def _read(result: Any) -> Any:
    """The result with all its rows in hand."""
    return result.freeze()() if result.returns_rows else result


def _finished(work: Coroutine[Any, Any, Result]) -> Result:
    """What the coroutine returns. Raises RuntimeError when it waits for something else."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    work.close()
    raise RuntimeError("a transaction that runs in a thread can await nothing but its connection")
