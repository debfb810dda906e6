"""An empty database on each engine."""

from collections.abc import AsyncIterator

import pytest

from tests.engines.stores import Store


@pytest.fixture(params=["sqlite_store", "postgres_store"])
async def url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    store: Store = request.getfixturevalue(request.param)
    url = await store.empty()
    yield url
    await store.drop(url)
