"""A database on each engine."""

from collections.abc import AsyncIterator

import pytest

from shared.database import Database
from tests.engines.stores import Store
from tests.shared.things import metadata


@pytest.fixture(params=["sqlite_store", "postgres_store"])
async def url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    store: Store = request.getfixturevalue(request.param)
    url = await store.empty()
    yield url
    await store.drop(url)


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    """With the tables of `things`."""
    db = Database(url)
    async with db.begin() as conn:
        await conn.run_sync(metadata.create_all)
    yield db
    await db.close()
