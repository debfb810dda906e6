"""What every test may use: a clock that tests move, a service over a fresh database, a client."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from shared import logs
from shared.auth import PRINCIPAL, SCOPES, Principal
from shared.database import Database
from tests.engines.stores import PostgresStore, SqliteStore, Store

logs.configure("console")  # as the process does it: its tracebacks are short


class MovingClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--store",
        choices=["sqlite", "postgresql"],
        default="sqlite",
        help="which engine the services under test keep their tables in",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On PostgreSQL run what keeps something in a database; the rest was passed already."""
    if config.getoption("--store") == "postgresql":
        stored = [one for one in items if "store" in getattr(one, "fixturenames", ())]
        config.hook.pytest_deselected(items=[one for one in items if one not in set(stored)])
        items[:] = stored


@pytest.fixture(scope="session")
def postgres_store() -> Iterator[PostgresStore]:
    """Databases on a real PostgreSQL, which starts with the first and goes with the last test."""
    store = PostgresStore()
    yield store
    store.close()


@pytest.fixture(scope="session")
def sqlite_store(tmp_path_factory: pytest.TempPathFactory) -> SqliteStore:
    return SqliteStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def store(request: pytest.FixtureRequest) -> Store:
    """Databases on the engine that `--store` names."""
    chosen = {"sqlite": "sqlite_store", "postgresql": "postgres_store"}
    return request.getfixturevalue(chosen[request.config.getoption("--store")])


MakeDatabase = Callable[[str, Path], Awaitable[Database]]


@pytest.fixture
async def make_database(store: Store) -> AsyncIterator[MakeDatabase]:
    """Makes a migrated database: `await make_database("incidents", incidents.app.MIGRATIONS)`."""
    async with AsyncExitStack() as stack:

        async def make(_service: str, migrations: Path) -> Database:
            return await stack.enter_async_context(database(store, migrations))

        yield make


@asynccontextmanager
async def database(store: Store, migrations: Path) -> AsyncIterator[Database]:
    """One migrated database, gone when the block ends."""
    url = await store.fresh(migrations)
    db = Database(url)
    try:
        yield db
    finally:
        await db.close()
        await store.drop(url)


def signed_in(app: ASGIApp, *scopes: str, name: str = "tester") -> ASGIApp:
    """The app as an authenticated caller sees it: with all scopes, or with those named."""
    principal = Principal(f"key_{name}", name, frozenset(scopes or SCOPES))

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, PRINCIPAL: principal}, receive, send)

    return wrapped


def client_of(app: ASGIApp) -> httpx.AsyncClient:
    """A client of an app in this process; errors of the app are answers, as in real life."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # pyright: ignore[reportArgumentType]
    return httpx.AsyncClient(transport=transport, base_url="http://groundswell.test")


def outbox_types(rows: list[Any]) -> list[str]:
    """The event types of outbox rows, in order, without prefix and version."""
    return [row.headers["ce_type"].removeprefix("groundswell.").removesuffix(".v1") for row in rows]
