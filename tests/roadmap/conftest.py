"""The roadmap service over a fresh database, its API, and its consumer."""

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from services.roadmap.app import MIGRATIONS, NAME, create_app
from services.roadmap.consumers import handle
from shared.database import Database
from shared.envelope import Event
from tests.conftest import MakeDatabase, MovingClock, client_of, signed_in

Hear = Callable[..., Awaitable[None]]


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    return await make_database(NAME, MIGRATIONS)


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
