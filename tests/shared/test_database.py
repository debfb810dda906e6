"""What the database promises, once for each engine. A new engine joins by a line in `ENGINES`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from shared.clock import parse_rfc3339, rfc3339
from shared.database import Database, Json, Serial, UtcDateTime, insert_into, sqlite_url

ENGINES: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda folder: sqlite_url(folder, "t.sqlite3")
}

metadata = MetaData()
things = Table(
    "things",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("name", Text, unique=True),
    Column("count", Integer, nullable=False, default=0),
    Column("at", UtcDateTime),
    Column("data", Json),
)


@pytest.fixture(params=list(ENGINES))
async def db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    db = Database(ENGINES[request.param](tmp_path))
    async with db.begin() as conn:
        await conn.run_sync(metadata.create_all)
    yield db
    await db.close()


async def test_concurrent_increments_lose_no_update(db: Database) -> None:
    async with db.begin() as conn:
        await conn.execute(insert(things).values(name="a", count=0))

    async def increment() -> None:
        async with db.begin() as conn:
            count = (await conn.execute(select(things.c.count))).scalar_one()
            await asyncio.sleep(0)
            await conn.execute(update(things).values(count=count + 1))

    await asyncio.gather(*(increment() for _ in range(50)))
    async with db.read() as conn:
        assert (await conn.execute(select(things.c.count))).scalar_one() == 50


async def test_a_failed_transaction_leaves_nothing(db: Database) -> None:
    async def insert_twice() -> None:
        async with db.begin() as conn:
            await conn.execute(insert(things).values(name="kept?"))
            await conn.execute(insert(things).values(name="kept?"))

    with pytest.raises(IntegrityError):
        await insert_twice()
    async with db.read() as conn:
        assert (await conn.execute(select(things))).all() == []


async def test_a_reader_can_not_write(db: Database) -> None:
    with pytest.raises(DBAPIError):
        async with db.read() as conn:
            await conn.execute(insert(things).values(name="a"))


async def test_a_reader_does_not_wait_for_a_writer_and_sees_no_half(db: Database) -> None:
    async with db.begin() as writer:
        await writer.execute(insert(things).values(name="a"))
        async with asyncio.timeout(2), db.read() as reader:
            assert (await reader.execute(select(things))).all() == []


async def test_times_and_json_come_back_as_they_went_in(db: Database) -> None:
    at = datetime(2026, 3, 1, 12, 30, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    async with db.begin() as conn:
        await conn.execute(insert(things).values(name="a", at=at, data={"ü": [1, None, 2.5]}))
    async with db.read() as conn:
        row = (await conn.execute(select(things))).one()
    assert row.at == at
    assert row.at.utcoffset() == timedelta(0)
    assert row.data == {"ü": [1, None, 2.5]}


async def test_an_insert_on_conflict_returns_only_what_is_new(db: Database) -> None:
    async with db.begin() as conn:
        await conn.execute(insert(things).values(name="old"))
        query = insert_into(conn, things).values([{"name": "old"}, {"name": "new"}])
        query = query.on_conflict_do_nothing(index_elements=["name"]).returning(things.c.name)
        assert (await conn.execute(query)).scalars().all() == ["new"]


MOMENTS = st.datetimes(timezones=st.just(UTC)).filter(lambda moment: 1 < moment.year < 9999)


@given(MOMENTS, MOMENTS)
def test_the_order_of_stored_times_is_the_order_of_time(a: datetime, b: datetime) -> None:
    assert parse_rfc3339(rfc3339(a)) == a
    assert (rfc3339(a) < rfc3339(b)) == (a < b)
