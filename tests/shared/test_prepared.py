"""A prepared statement means what SQLAlchemy makes of it, in each kind of transaction, on each engine."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Integer,
    LargeBinary,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import UNAVAILABLE, Database, Json, Serial, UtcDateTime
from shared.keys import one_of, packed
from shared.prepared import Prepared, Upsert
from tests.shared.things import metadata

kept = Table(
    "kept",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("name", Text, unique=True),
    Column("count", Integer),
    Column("share", Float),
    Column("told", Boolean),
    Column("at", UtcDateTime),
    Column("said", Json),
    Column("value", LargeBinary),
)

ADD = Prepared(insert(kept))
ALL = Prepared(select(kept).order_by(kept.c.id))
SOME = Prepared(select(kept.c.name, kept.c.at).where(one_of(kept.c.name, kept.c.at)))
COUNT = Prepared(
    update(kept)
    .where(kept.c.name == bindparam("key"))
    .values(count=kept.c.count + 7 * bindparam("times", type_=Integer()))
)
RENAME = Prepared(
    update(kept)
    .where(kept.c.name == bindparam("key"))
    .values(name=bindparam("to"), at=bindparam("then"))
    .returning(kept.c.name, kept.c.at)
)
NAMED = Prepared(
    text("SELECT name AS called FROM kept WHERE count = :count")
    .bindparams(bindparam("count", type_=Integer()))
    .columns(Column("called", Text))
)

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=20)
ROWS = st.fixed_dictionaries(
    {
        "name": st.none(),
        "count": st.none() | st.integers(-(2**31), 2**31 - 1),
        "share": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "told": st.none() | st.booleans(),
        "at": st.none() | st.datetimes(datetime(1900, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  the strategy's own zone
        "said": st.recursive(
            st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
            max_leaves=6,
        ),
        "value": st.none() | st.binary(max_size=20),
    }
)


async def added(conn: AsyncConnection, rows: Sequence[dict[str, Any]]) -> list[Any]:
    await conn.execute(delete(kept))
    await ADD.many(conn, rows)
    return [tuple(row) for row in await ALL.rows(conn, {})]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(ROWS, min_size=1, max_size=4))
async def test_it_writes_and_reads_what_sqlalchemy_does(
    db: Database, rows: list[dict[str, Any]]
) -> None:
    handed_over = await db.write(lambda conn: added(conn, rows))
    async with db.read() as conn:
        assert [tuple(row) for row in await conn.execute(select(kept).order_by(kept.c.id))] == (
            handed_over
        )
    assert [row[1:] for row in handed_over] == [tuple(row[name] for name in ROW) for row in rows]
    async with db.begin() as conn:
        step_by_step = await added(conn, rows)
    assert [row[1:] for row in step_by_step] == [row[1:] for row in handed_over]


ROW = dict.fromkeys(("name", "count", "share", "told", "at", "said", "value"))
MORNING = datetime(2026, 11, 22, 8, 30, 0, 125_000, tzinfo=UTC)


async def test_keys_constants_and_plain_text_are_understood(db: Database) -> None:
    async def work(conn: AsyncConnection) -> tuple[Any, ...]:
        rows = [
            {**ROW, "name": n, "count": 1, "at": MORNING + timedelta(hours=i)}
            for i, n in enumerate("abc")
        ]
        await ADD.many(conn, rows)
        await COUNT.many(conn, [{"key": "a", "times": 1}, {"key": "c", "times": 2}])
        found = await SOME.rows(conn, {"keys": packed([("a", MORNING), ("b", MORNING)])})
        called = await NAMED.rows(conn, {"count": 15})
        return [tuple(row) for row in found], [row.called for row in called]

    assert await db.write(work) == ([("a", MORNING)], ["c"])


@pytest.mark.parametrize("handed_over", [True, False])
async def test_what_changed_rows_return_is_told(db: Database, handed_over: bool) -> None:
    async def work(conn: AsyncConnection) -> list[tuple[Any, ...]]:
        await ADD.many(conn, [{**ROW, "name": "a"}])
        values = {"key": "a", "to": "b", "then": MORNING}
        return [tuple(row) for _ in range(2) for row in await RENAME.rows(conn, values)]

    if handed_over:
        told = await db.write(work)
    else:
        async with db.begin() as conn:
            told = await work(conn)
    assert told == [("b", MORNING)]


async def test_its_errors_are_sqlalchemys_and_leave_nothing(db: Database) -> None:
    async def twice(conn: AsyncConnection) -> None:
        await ADD.many(conn, [{**ROW, "name": "a"}, {**ROW, "name": "a"}])

    async def nowhere(conn: AsyncConnection) -> None:
        await Prepared(text("SELECT x FROM nowhere").columns(Column("x", Text))).rows(conn, {})

    for wrong, named in ((twice, IntegrityError), (nowhere, DBAPIError)):
        with pytest.raises(named) as caught:
            await db.write(wrong)
        assert not isinstance(caught.value, UNAVAILABLE)
        assert "'a'" not in str(caught.value)
    assert await db.write(lambda conn: ALL.rows(conn, {})) == []


async def test_a_parameter_that_is_missing_is_an_error_and_no_null(db: Database) -> None:
    fresh = Prepared(insert(kept))

    async def work(conn: AsyncConnection) -> None:
        await fresh.many(conn, [{"name": "a", "count": 1}, {"name": "b"}])

    with pytest.raises(KeyError):
        await db.write(work)


BY_NAME = Prepared(
    select(kept.c.name, kept.c.count).where(one_of(kept.c.name)).order_by(kept.c.name)
)


async def test_rows_of_many_names_and_of_none(db: Database) -> None:
    async def work(conn: AsyncConnection) -> list[list[tuple[Any, ...]]]:
        await ADD.many(conn, [])
        await ADD.many(conn, [{**ROW, "name": name, "count": 1} for name in "abc"])
        asked: list[list[str]] = [["c", "a", "c", "unknown"], []]
        return [[tuple(row) for row in await BY_NAME.of(conn, names)] for names in asked]

    assert await db.write(work) == [[("a", 1), ("c", 1)], []]


async def test_an_upsert_enters_what_is_new_and_replaces_what_may_be(db: Database) -> None:
    later = Upsert(kept, "name", kept=["id", "share"], if_so=lambda new: new.count > kept.c.count)

    def row(name: str, count: int, share: float) -> dict[str, Any]:
        return {**ROW, "name": name, "count": count, "share": share}

    async def work(conn: AsyncConnection) -> list[tuple[Any, ...]]:
        await later.many(conn, [row("a", 2, 0.5), row("b", 2, 0.5)])
        await later.many(conn, [row("a", 3, 0.9), row("b", 1, 0.9), row("c", 1, 0.9)])
        await later.many(conn, [])
        return [(one.id, one.name, one.count, one.share) for one in await ALL.rows(conn, {})]

    handed_over = await db.write(work)
    assert [one[1:] for one in handed_over] == [("a", 3, 0.5), ("b", 2, 0.5), ("c", 1, 0.9)]
    assert [one[0] for one in handed_over[:2]] == [1, 2]
    async with db.begin() as conn:
        await conn.execute(delete(kept))
        assert [one[1:] for one in await work(conn)] == [one[1:] for one in handed_over]
