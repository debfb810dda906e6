"""A whole transaction handed over: what `Database.write` promises, once for each engine."""

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import database
from shared.database import PUBLISHED, UNAVAILABLE, Database
from tests.engines.stores import Store
from tests.shared.things import metadata, things


async def names(db: Database) -> Sequence[str | None]:
    async with db.read() as conn:
        return (await conn.execute(select(things.c.name).order_by(things.c.id))).scalars().all()


async def test_what_the_work_returns_is_had_once_it_is_committed(db: Database) -> None:
    async def work(conn: AsyncConnection) -> list[str | None]:
        await conn.execute(insert(things), [{"name": "a"}, {"name": "b"}])
        return list((await conn.execute(select(things.c.name))).scalars())

    assert sorted(str(name) for name in await db.write(work)) == ["a", "b"]
    assert await names(db) == ["a", "b"]


async def test_what_raises_leaves_nothing_and_the_next_work_goes_on(db: Database) -> None:
    async def twice(conn: AsyncConnection) -> None:
        await conn.execute(insert(things).values(name="kept?"))
        await conn.execute(insert(things).values(name="kept?"))

    async def refuses(conn: AsyncConnection) -> None:
        await conn.execute(insert(things).values(name="kept?"))
        raise LookupError("a rule of ours")

    async def once(conn: AsyncConnection) -> None:
        await conn.execute(insert(things).values(name="kept"))

    for _ in range(2):
        with pytest.raises(IntegrityError) as caught:
            await db.write(twice)
        assert not isinstance(caught.value, UNAVAILABLE)
        with pytest.raises(LookupError):
            await db.write(refuses)
    await db.write(once)
    assert await names(db) == ["kept"]


async def test_only_one_writes_at_a_time_however_it_asks(db: Database, url: str) -> None:
    other = Database(url)

    async def count_up(conn: AsyncConnection) -> None:
        found = (await conn.execute(select(things.c.count))).scalar_one()
        await conn.execute(things.update().values(count=found + 1))

    async def by_begin(one: Database) -> None:
        async with one.begin() as conn:
            await asyncio.sleep(0)
            await count_up(conn)

    async with db.begin() as conn:
        await conn.execute(insert(things).values(name="a", count=0))
    writes = [db.write(count_up) for _ in range(20)]
    if db.schema is not None:  # a file is one process' own
        writes += [other.write(count_up) for _ in range(20)]
    await asyncio.gather(*writes, *(by_begin(db) for _ in range(20)))
    async with db.read() as conn:
        assert (await conn.execute(select(things.c.count))).scalar_one() == len(writes) + 20
    await other.close()


async def test_who_waits_too_long_is_told_to_come_again(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 1)
    db = Database(url)

    async def nothing(conn: AsyncConnection) -> None:
        await conn.exec_driver_sql("SELECT 1")

    async with db.begin() as conn:
        await conn.run_sync(metadata.create_all)
        with pytest.raises(UNAVAILABLE):
            await db.write(nothing)
    await db.write(nothing)
    await db.close()


async def test_the_relay_is_woken_by_what_was_published_and_nothing_else(db: Database) -> None:
    async def publishes(conn: AsyncConnection) -> None:
        conn.info[PUBLISHED] = True

    async def fails(conn: AsyncConnection) -> None:
        conn.info[PUBLISHED] = True
        raise LookupError

    async def is_quiet(conn: AsyncConnection) -> None:
        await conn.exec_driver_sql("SELECT 1")

    with pytest.raises(LookupError):
        await db.write(fails)
    await db.write(is_quiet)
    assert not db.published.is_set()
    await db.write(publishes)
    assert db.published.is_set()


async def test_whoever_is_cancelled_while_waiting_leaves_nothing(db: Database) -> None:
    async def work(conn: AsyncConnection) -> None:
        await conn.execute(insert(things).values(name="late"))

    async with db.begin():
        waiting = asyncio.create_task(db.write(work))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with asyncio.timeout(5):
        await db.ping()
    assert await names(db) == []


async def test_a_closed_database_opens_again(db: Database) -> None:
    async def work(conn: AsyncConnection) -> None:
        await conn.execute(insert(things).values(count=1))

    await db.write(work)
    await db.close()
    await db.write(work)
    assert await names(db) == [None, None]


async def test_work_in_a_thread_can_await_nothing_else(sqlite_store: Store) -> None:
    db = Database(await sqlite_store.empty())

    async def sleeps(conn: AsyncConnection) -> None:
        await conn.exec_driver_sql("CREATE TABLE gone (id INTEGER)")
        await asyncio.sleep(0)

    async def looks(conn: AsyncConnection) -> list[str]:
        query = "SELECT name FROM sqlite_master WHERE name = 'gone'"
        return list((await conn.exec_driver_sql(query)).scalars())

    with pytest.raises(RuntimeError, match="nothing but its connection"):
        await db.write(sleeps)
    assert await db.write(looks) == []
    await db.close()


async def test_a_connection_that_the_server_ended_is_made_anew(postgres_store: Store) -> None:
    db = Database(await postgres_store.empty())

    async def who(conn: AsyncConnection) -> int:
        return (await conn.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()

    async def is_ended(conn: AsyncConnection) -> None:
        async with db.read() as killer:
            ending = f"SELECT pg_terminate_backend({first})"
            assert (await killer.exec_driver_sql(ending)).scalar_one()
        await asyncio.sleep(0.2)
        await conn.exec_driver_sql("SELECT 1")

    first = await db.write(who)
    with pytest.raises(UNAVAILABLE):
        await db.write(is_ended)
    second = await db.write(who)
    assert second != first
    async with db.read() as conn:
        assert (await conn.exec_driver_sql(f"SELECT pg_terminate_backend({second})")).scalar_one()
    await asyncio.sleep(0.2)
    assert await db.write(who) not in (first, second)
    await db.close()
