"""Rows by many keys: the right ones on both engines, and by the index on SQLite."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Column, MetaData, Table, Text, UniqueConstraint, select

from shared.database import Database, UtcDateTime
from shared.keys import one_of, packed
from tests.engines.stores import Store

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)

things = Table(
    "things",
    MetaData(),
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    UniqueConstraint("name", "at"),
)
FIND = select(things.c.id).where(one_of(things.c.name, things.c.at)).order_by(things.c.id)

NAMES = ["a", "b", 'quo"te', "comma,", "ünïcode", "", "{}", "\\", "null", "x" * 3_000]


@pytest.fixture
async def db(store: Store) -> AsyncIterator[Database]:
    url = await store.empty()
    db = Database(url)
    async with db.begin() as conn:
        await conn.run_sync(things.metadata.create_all)
        await conn.execute(
            things.insert(),
            [
                {"id": f"{i}-{hour}", "name": name, "at": NOON + timedelta(hours=hour)}
                for i, name in enumerate(NAMES)
                for hour in range(3)
            ],
        )
    yield db
    await db.close()
    await store.drop(url)


async def found(db: Database, keys: list[tuple[str, datetime]]) -> list[str]:
    async with db.read() as conn:
        return list((await conn.execute(FIND, {"keys": packed(keys)})).scalars())


@pytest.mark.parametrize("number", range(len(NAMES)))
async def test_whatever_a_key_holds_its_row_is_found(db: Database, number: int) -> None:
    later = NOON + timedelta(hours=1)
    assert await found(db, [(NAMES[number], later)]) == [f"{number}-1"]


async def test_rows_of_any_of_the_keys_are_found_once(db: Database) -> None:
    keys = [("a", NOON), ("a", NOON), ("b", NOON + timedelta(hours=2)), ("c", NOON)]
    assert await found(db, keys) == ["0-0", "1-2"]


async def test_no_keys_find_nothing(db: Database) -> None:
    assert await found(db, []) == []


async def test_a_moment_is_the_same_moment_in_any_offset(db: Database) -> None:
    there = NOON.astimezone(datetime.fromisoformat("2026-01-01T00:00:00+05:30").tzinfo)
    assert await found(db, [("a", there)]) == ["0-0"]


async def test_sqlite_looks_them_up_by_the_index(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'x.db'}")
    async with db.begin() as conn:
        await conn.run_sync(things.metadata.create_all)
        query = str(FIND.compile(dialect=conn.dialect))
        plan = await conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", ("[]",))
        said = [row[3] for row in plan]
    await db.close()
    assert any(one.startswith("SEARCH things USING") for one in said), said
    assert not any(one.startswith("SCAN things") for one in said), said
