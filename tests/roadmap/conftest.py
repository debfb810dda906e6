"""The roadmap service over a fresh database, its API, and its consumer."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from services.roadmap.app import MIGRATIONS, create_app
from services.roadmap.consumers import handle
from shared.database import Database, sqlite_url
from shared.envelope import Event
from shared.migrations import upgrade
from tests.conftest import MovingClock, client_of, signed_in

Hear = Callable[..., Awaitable[None]]


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with this service's tables and nothing in them, to copy: migrating takes longer."""
    folder = tmp_path_factory.mktemp("migrated")
    asyncio.run(upgrade(sqlite_url(folder, "roadmap.sqlite3"), MIGRATIONS))
    return folder / "roadmap.sqlite3"


@pytest.fixture
async def db(migrated: Path, tmp_path: Path) -> AsyncIterator[Database]:
    shutil.copy(migrated, tmp_path / "roadmap.sqlite3")
    db = Database(sqlite_url(tmp_path, "roadmap.sqlite3"))
    yield db
    await db.close()


@pytest.fixture
async def client(db: Database, clock: MovingClock) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(signed_in(create_app(db, clock))) as client:
        yield client


@pytest.fixture
def hear(db: Database) -> Hear:
    """Hands events to the consumer, in one transaction."""

    async def hear(*events: Event) -> None:
        async with db.begin() as conn:
            await handle(conn, events)

    return hear
