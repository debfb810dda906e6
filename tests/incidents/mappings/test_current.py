"""The copy in memory: it follows the database, asks it rarely, and outlasts its absence."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.mappings.current import Mappings
from services.incidents.mappings.mapping import MappingUnknown
from services.incidents.mappings.store import mappings
from shared.database import Database, DatabaseUnavailable

MAPPING = {"title": "$.t"}


class Reads:
    """A database that counts how often it is read, and may be away."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.count = 0
        self.away = False

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        self.count += 1
        if self.away:
            raise DatabaseUnavailable("SELECT 1", {}, OSError("away"))
        async with self.db.read() as conn:
            yield conn


@pytest.fixture
def reads(db: Database) -> Reads:
    return Reads(db)


@pytest.fixture
def kept(reads: Reads) -> Mappings:
    return Mappings(reads)  # pyright: ignore[reportArgumentType]


def make_old(kept: Mappings) -> None:
    kept._remembered._asked_at = -1e9  # pyright: ignore[reportPrivateUsage]


async def test_many_posts_cost_one_query(
    client: httpx.AsyncClient, kept: Mappings, reads: Reads
) -> None:
    await client.put("/v1/mappings/x", json=MAPPING)
    first = await kept.load("x")
    for _ in range(20):
        assert await kept.load("x") is first
    assert reads.count == 1


async def test_an_unknown_name_is_refused_and_costs_no_query_either(
    kept: Mappings, reads: Reads
) -> None:
    for _ in range(5):
        with pytest.raises(MappingUnknown):
            await kept.load("nothing")
    assert reads.count == 1


async def test_a_change_made_elsewhere_is_seen_once_the_copy_is_old(
    client: httpx.AsyncClient, kept: Mappings
) -> None:
    await client.put("/v1/mappings/x", json=MAPPING)
    await client.put("/v1/mappings/y", json=MAPPING)
    unchanged = await kept.load("y")
    assert (await kept.load("x")).version == 1
    await client.put("/v1/mappings/x", json={"title": "$.other"})
    assert (await kept.load("x")).version == 1
    make_old(kept)
    assert (await kept.load("x")).version == 2
    assert await kept.load("y") is unchanged, "what did not change is not compiled again"


async def test_a_change_made_here_is_seen_at_once(client: httpx.AsyncClient, app: FastAPI) -> None:
    for version, title in ((1, "$.a"), (2, "$.b")):
        await client.put("/v1/mappings/x", json={"title": title})
        assert (await app.state.mappings.load("x")).version == version


async def test_a_database_that_is_away_leaves_the_mappings_as_they_were(
    client: httpx.AsyncClient, kept: Mappings, reads: Reads
) -> None:
    await client.put("/v1/mappings/x", json=MAPPING)
    reads.away = True
    with pytest.raises(DatabaseUnavailable):
        await kept.load("x")
    reads.away = False
    before = await kept.load("x")
    reads.away = True
    make_old(kept)
    assert await kept.load("x") is before
    asked = reads.count
    assert await kept.load("x") is before
    assert reads.count == asked, "it is not asked again with each post"


async def test_one_unreadable_mapping_leaves_the_others_usable(
    client: httpx.AsyncClient, db: Database, kept: Mappings
) -> None:
    await client.put("/v1/mappings/bad", json=MAPPING)
    await client.put("/v1/mappings/good", json=MAPPING)
    async with db.begin() as conn:
        spoiled = update(mappings).where(mappings.c.name == "bad")
        await conn.execute(spoiled.values(document={"title": "$..x"}))
    assert (await kept.load("good")).name == "good"
    with pytest.raises(MappingUnknown):
        await kept.load("bad")
