"""The plumbing's second form, over tables that hold what its first form left there."""

from datetime import UTC, datetime
from typing import Any

from alembic import command
from sqlalchemy import Connection, select, text

from services.gateway.app import MIGRATIONS
from shared.database import Database
from shared.dead_letters import dead_letters
from shared.migrations import config_for, upgrade
from tests.engines.stores import Store

COLUMNS = 'id, consumer, topic, partition, "offset", key, headers, value, reason, recorded_at'
AT = datetime(2026, 1, 1, tzinfo=UTC)


def _first_form(conn: Connection) -> None:
    config = config_for(MIGRATIONS)
    config.attributes["connection"] = conn
    command.upgrade(config, "0001")


async def test_letters_of_before_are_kept_even_where_one_was_set_aside_twice(store: Store) -> None:
    url = await store.empty()
    db = Database(url)
    async with db.begin() as conn:
        await conn.run_sync(_first_form)
        recorded = "2026-01-01T00:00:00.000000Z"
        for letter in ("ded_1", "ded_2"):
            row: dict[str, Any] = {"id": letter, "value": b"poison"}
            await conn.execute(
                text(
                    f"INSERT INTO dead_letters ({COLUMNS}) VALUES (:id, 'c', 't', 0, 7, 'k', '{{}}',"
                    f" :value, 'unreadable', '{recorded}')"
                ),
                row,
            )
    await upgrade(url, MIGRATIONS)
    async with db.read() as conn:
        rows = (await conn.execute(select(dead_letters).order_by(dead_letters.c.id))).all()
    assert [row.id for row in rows] == ["ded_1", "ded_2"]
    assert all(row.replayed_at is None and row.recorded_at == AT for row in rows)
    await db.close()
    await store.drop(url)
