"""What the database promises, once for each engine. What only servers can do: test_postgres.py."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import (
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError

from shared import database
from shared.clock import parse_rfc3339, rfc3339
from shared.database import UNAVAILABLE, Database, insert_into
from tests.shared.things import things


@pytest.fixture
async def other(db: Database, url: str) -> AsyncIterator[Database]:
    """The same database as another process has it: nothing is shared but the server or the file."""
    other = Database(url)
    yield other
    await other.close()


async def test_concurrent_increments_lose_no_update(db: Database, other: Database) -> None:
    async with db.begin() as conn:
        await conn.execute(insert(things).values(name="a", count=0))

    async def increment(engine: Database) -> None:
        async with engine.begin() as conn:
            count = (await conn.execute(select(things.c.count))).scalar_one()
            await asyncio.sleep(0)
            await conn.execute(update(things).values(count=count + 1))

    await asyncio.gather(*(increment(engine) for engine in (db, other) for _ in range(25)))
    async with db.read() as conn:
        assert (await conn.execute(select(things.c.count))).scalar_one() == 50


async def test_rows_are_numbered_in_the_order_of_the_commits(db: Database, other: Database) -> None:
    """A reader that has seen a number will never see a smaller one appear."""
    seen: list[int] = []

    async def second() -> None:
        async with other.begin() as conn:
            seen.append((await conn.execute(select(func.count()).select_from(things))).scalar_one())
            await conn.execute(insert(things).values(name="second"))

    async with db.begin() as conn:
        await conn.execute(insert(things).values(name="first"))
        waiting = asyncio.create_task(second())
        await asyncio.sleep(0.2)
        assert not waiting.done()
    await waiting
    assert seen == [1], "what the second wrote was decided without the first"
    async with db.read() as conn:
        query = select(things.c.name).order_by(things.c.id)
        assert (await conn.execute(query)).scalars().all() == ["first", "second"]


async def test_who_waits_too_long_for_a_turn_is_told_to_come_again(
    db: Database, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 1)
    impatient = Database(url)
    async with db.begin() as conn:
        await conn.execute(insert(things).values(name="a"))
        with pytest.raises(UNAVAILABLE):
            await impatient.ping()
    await impatient.ping()
    await impatient.close()


async def test_who_waits_too_long_in_its_own_process_is_told_so_too(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 1)
    db = Database(url)
    async with db.begin():
        with pytest.raises(UNAVAILABLE):
            await db.ping()
    await db.close()


async def test_a_failed_transaction_leaves_nothing(db: Database) -> None:
    async def insert_twice() -> None:
        async with db.begin() as conn:
            await conn.execute(insert(things).values(name="kept?"))
            await conn.execute(insert(things).values(name="kept?"))

    with pytest.raises(IntegrityError) as caught:
        await insert_twice()
    assert not isinstance(caught.value, UNAVAILABLE)
    async with db.read() as conn:
        assert (await conn.execute(select(things))).all() == []


async def test_a_cancelled_transaction_leaves_nothing_and_gives_its_turn_back(
    db: Database, other: Database
) -> None:
    begun = asyncio.Event()

    async def hangs() -> None:
        async with db.begin() as conn:
            await conn.execute(insert(things).values(name="a"))
            begun.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(hangs())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5), other.begin() as conn:
        assert (await conn.execute(select(things))).all() == []


async def test_a_reader_can_not_write(db: Database) -> None:
    for session in (db.read, db.look):
        with pytest.raises(DBAPIError) as caught:
            async with session() as conn:
                await conn.execute(insert(things).values(name="a"))
        assert not isinstance(caught.value, UNAVAILABLE)


async def test_a_mistake_of_ours_is_not_called_an_outage(db: Database) -> None:
    for wrong in ("SELECT nothing FROM nowhere", "SELEC"):
        for session in (db.begin, db.read, db.look):
            with pytest.raises(DBAPIError) as caught:
                async with session() as conn:
                    await conn.execute(text(wrong))
            assert not isinstance(caught.value, UNAVAILABLE)
    await db.ping()


async def test_a_reader_does_not_wait_for_a_writer_and_sees_no_half(db: Database) -> None:
    async with db.begin() as writer:
        await writer.execute(insert(things).values(name="a"))
        async with asyncio.timeout(2), db.read() as reader:
            assert (await reader.execute(select(things))).all() == []


async def test_a_reader_sees_one_snapshot(db: Database) -> None:
    async with db.read() as reader:
        before = (await reader.execute(select(things))).all()
        async with db.begin() as writer:
            await writer.execute(insert(things).values(name="a"))
        assert (await reader.execute(select(things))).all() == before == []
    async with db.read() as reader:
        assert len((await reader.execute(select(things))).all()) == 1


async def test_each_statement_of_a_look_sees_what_is_committed_and_reads_are_whole_after_it(
    db: Database,
) -> None:
    for name in "abcde":  # more than there are connections: each has looked, and then reads
        async with db.look() as looker:
            before = len((await looker.execute(select(things))).all())
            async with db.begin() as writer:
                await writer.execute(insert(things).values(name=name))
            assert len((await looker.execute(select(things))).all()) == before + 1
    for name in "fghij":
        async with db.read() as reader:
            before = (await reader.execute(select(things))).all()
            async with db.begin() as writer:
                await writer.execute(insert(things).values(name=name))
            assert (await reader.execute(select(things))).all() == before


JSON: list[Any] = [
    {"ü": [1, None, 2.5, True], "a": {}, "": ""},
    {"z": 1, "a": 2},
    [2**63, -(2**70), 1e300, 1e16, 5e-324, -0.0, 0.1],
    "a\u0000b",
    "\u2028 \U0001f600 ' \" \\",
    json.loads("[" * 300 + "]" * 300),
    None,
]


@pytest.mark.parametrize("value", JSON)
async def test_json_comes_back_as_it_went_in(db: Database, value: Any) -> None:
    async with db.begin() as conn:
        await conn.execute(insert(things).values(name="a", data=value))
    async with db.read() as conn:
        back = (await conn.execute(select(things.c.data))).scalar_one()
    assert repr(back) == repr(value)  # also the order of keys, and what is a float


async def test_what_is_not_json_is_refused(db: Database) -> None:
    for wrong in (float("nan"), [float("inf")]):
        with pytest.raises((StatementError, ValueError)) as caught:
            async with db.begin() as conn:
                await conn.execute(insert(things).values(name="a", data=wrong))
        assert not isinstance(caught.value, UNAVAILABLE)


async def test_values_come_back_as_they_went_in(db: Database) -> None:
    at = datetime(2026, 3, 1, 12, 30, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    every = bytes(range(256))
    async with db.begin() as conn:
        await conn.execute(insert(things).values(name="a", at=at, weight=0.1 + 0.2, bytes=every))
    async with db.read() as conn:
        row = (await conn.execute(select(things))).one()
    assert row.at == at
    assert row.at.utcoffset() == timedelta(0)
    assert row.weight == 0.1 + 0.2
    assert row.bytes == every


async def test_an_insert_on_conflict_returns_only_what_is_new(db: Database) -> None:
    async with db.begin() as conn:
        await conn.execute(insert(things).values(name="old"))
        query = insert_into(conn, things).values([{"name": "old"}, {"name": "new"}])
        query = query.on_conflict_do_nothing(index_elements=["name"]).returning(things.c.name)
        assert (await conn.execute(query)).scalars().all() == ["new"]


async def test_a_commit_that_published_wakes_the_relay(db: Database) -> None:
    async with db.begin() as conn:
        conn.info[database.PUBLISHED] = True
        assert not db.published.is_set()
    assert db.published.is_set()
    db.published.clear()
    await db.ping()
    assert not db.published.is_set()


MOMENTS = st.datetimes(timezones=st.just(UTC)).filter(lambda moment: 1 < moment.year < 9999)


@given(MOMENTS, MOMENTS)
def test_the_order_of_stored_times_is_the_order_of_time(a: datetime, b: datetime) -> None:
    assert parse_rfc3339(rfc3339(a)) == a
    assert (rfc3339(a) < rfc3339(b)) == (a < b)
