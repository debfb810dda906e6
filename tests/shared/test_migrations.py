"""Each service's history, on both engines: it makes the tables that the code knows, once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Index, MetaData, insert, inspect, select, text

from shared.database import UNAVAILABLE, Database
from shared.migrations import PLUMBING, at_expected_revision, upgrade
from shared.outbox import outbox, plumbing
from tests.engines.postgres import free_port
from tests.engines.stores import PostgresStore, Store

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SERVICES = ("incidents", "feedback", "roadmap", "gateway")
SEARCH = "incident_words"
"""Each engine's own table of words: no table of the code's."""


def migrations_of(service: str) -> Path:
    return import_module(f"services.{service}.app").MIGRATIONS


def metadata_of(service: str) -> MetaData:
    import_module(f"services.{service}.worker")  # every noun's tables register with its import
    return import_module(f"services.{service}.metadata").metadata


@pytest.fixture(params=["sqlite_store", "postgres_store"])
def store(request: pytest.FixtureRequest) -> Store:
    return request.getfixturevalue(request.param)


@pytest.fixture
async def url(store: Store) -> AsyncIterator[str]:
    url = await store.empty()
    yield url
    await store.drop(url)


async def look(url: str, work: Any) -> Any:
    db = Database(url)
    async with db.begin() as conn:
        found = await conn.run_sync(work)
    await db.close()
    return found


@pytest.mark.parametrize("service", SERVICES)
async def test_the_history_makes_the_tables_that_the_code_knows(url: str, service: str) -> None:
    def differences(conn: Connection) -> list[Any]:
        def ours(name: str | None, _kind: str, _parents: Any) -> bool:
            return not str(name).startswith(SEARCH)

        context = MigrationContext.configure(conn, opts={"include_name": ours})
        return list(compare_metadata(context, [metadata_of(service), plumbing]))  # pyright: ignore[reportArgumentType]

    await upgrade(url, migrations_of(service))
    assert await look(url, differences) == []


@pytest.mark.parametrize("service", SERVICES)
async def test_the_last_guards_are_in_the_database(url: str, service: str) -> None:
    """Partial unique indexes and checks: what the comparison above does not look at."""

    def of_database(conn: Connection) -> set[tuple[str, bool]]:
        if conn.dialect.name == "sqlite":
            query = (
                "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql LIKE '%WHERE%'"
            )
        else:
            query = (
                "SELECT indexname, indexdef FROM pg_indexes"
                " WHERE schemaname = current_schema AND indexdef LIKE '%WHERE%'"
            )
        return {(name, "UNIQUE" in sql) for name, sql in conn.execute(text(query))}

    def checks(conn: Connection) -> set[str | None]:
        found = inspect(conn)
        return {
            check["name"]
            for table in found.get_table_names()
            for check in found.get_check_constraints(table)
        }

    await upgrade(url, migrations_of(service))
    tables = [*metadata_of(service).tables.values(), *plumbing.tables.values()]
    engine = "postgresql" if url.startswith("postgresql") else "sqlite"
    declared = {
        (str(index.name), bool(index.unique))
        for table in tables
        for index in table.indexes
        if partial(index, engine)
    }
    assert await look(url, of_database) == declared
    named = {
        str(constraint.name)
        for table in tables
        for constraint in table.constraints
        if type(constraint).__name__ == "CheckConstraint"
    }
    assert await look(url, checks) == named


def partial(index: Index, engine: str) -> bool:
    """Partial on one engine is partial on the other."""
    wheres = [index.dialect_options[name]["where"] is not None for name in ("sqlite", "postgresql")]
    assert wheres[0] == wheres[1], f"{index.name} is partial on one engine only"
    return wheres[0]


async def test_two_upgrades_at_once_are_one(url: str) -> None:
    history = migrations_of("incidents")
    if url.startswith("postgresql"):
        await asyncio.gather(*(upgrade(url, history) for _ in range(3)))
    await upgrade(url, history)
    db = Database(url)
    assert await at_expected_revision(db, history)
    await db.close()


async def test_an_upgrade_waits_for_a_writer_and_keeps_what_is_there(url: str) -> None:
    history = migrations_of("incidents")
    await upgrade(url, history)
    db = Database(url)
    async with db.begin() as conn:
        await conn.execute(text("UPDATE alembic_version SET version_num = version_num"))
        row = {"topic": "t", "key": "k", "headers": {}, "value": b"", "recorded_at": NOW}
        await conn.execute(insert(outbox).values(row))
        upgrading = asyncio.create_task(upgrade(url, history))
        await asyncio.sleep(0.2)
        assert not upgrading.done() or url.startswith("sqlite")  # which finds nothing to do
    await upgrading
    async with db.read() as conn:
        assert len((await conn.execute(select(outbox))).all()) == 1
    await db.close()


async def test_what_is_older_or_empty_is_behind_and_what_is_newer_is_not(url: str) -> None:
    history = migrations_of("incidents")
    db = Database(url)
    assert not await at_expected_revision(db, history)
    await upgrade(url, history)
    for revision, expected in (("0001", False), ("9999", True)):
        async with db.begin() as conn:
            change = text("UPDATE alembic_version SET version_num = :revision")
            await conn.execute(change, {"revision": revision})
        assert await at_expected_revision(db, history) is expected
    await upgrade(url, history)
    assert await at_expected_revision(db, history), "code that is older leaves it alone"
    await db.close()


async def test_a_missing_schema_is_made_and_until_then_is_behind(
    postgres_store: PostgresStore,
) -> None:
    found = await postgres_store.empty()
    url = found.replace("schema=tables", "schema=roadmap")
    db = Database(url)
    assert not await at_expected_revision(db, migrations_of("roadmap"))
    await upgrade(url, migrations_of("roadmap"))
    assert await at_expected_revision(db, migrations_of("roadmap"))
    await db.close()
    await postgres_store.drop(found)


async def test_an_upgrade_of_what_is_away_says_so() -> None:
    url = f"postgresql+asyncpg://somebody@127.0.0.1:{free_port()}/t?schema=t"
    with pytest.raises(UNAVAILABLE):
        await upgrade(url, migrations_of("roadmap"))


@pytest.mark.parametrize("service", SERVICES)
async def test_text_sorts_by_code_point_whatever_the_database_does(
    postgres_store: PostgresStore, service: str
) -> None:
    def others(conn: Connection) -> list[Any]:
        query = (
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = current_schema AND data_type = 'text'"
            " AND collation_name IS DISTINCT FROM 'C'"
        )
        return list(conn.execute(text(query)))

    url = await postgres_store.fresh(migrations_of(service))
    assert await look(url, others) == []
    await postgres_store.drop(url)


def test_the_plumbing_is_whole() -> None:
    assert {table.name for table in PLUMBING} == set(plumbing.tables)
