"""What every test may use: a clock that tests move, a service over a fresh database, a client."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from shared import logs
from shared.auth import PRINCIPAL, SCOPES, Principal
from shared.database import Database, sqlite_url
from shared.migrations import upgrade

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


MakeDatabase = Callable[[str, Path], Awaitable[Database]]


@pytest.fixture
async def make_database(tmp_path: Path) -> AsyncIterator[MakeDatabase]:
    """Makes a migrated database: `await make_database("incidents", incidents.app.MIGRATIONS)`."""
    async with AsyncExitStack() as stack:

        async def make(service: str, migrations: Path) -> Database:
            url = sqlite_url(tmp_path, f"{service}.sqlite3")
            await upgrade(url, migrations)
            db = Database(url)
            stack.push_async_callback(db.close)
            return db

        yield make


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
