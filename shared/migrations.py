"""Runs a service's own Alembic history, and holds the plumbing's part of it.

A service's `migrations/env.py` is one line: `run_env(metadata)`. Its first revision calls
`create_plumbing()`; a later change of the plumbing is a new function here and a revision in each.
"""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command, context, op
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData
from sqlalchemy.ext.asyncio import create_async_engine

from shared.database import Json, Serial, UtcDateTime
from shared.http.idempotency import idempotency_keys
from shared.inbox import dead_letters, inbox
from shared.outbox import outbox, plumbing

PLUMBING = (outbox, inbox, dead_letters, idempotency_keys)
"""All tables of the plumbing; importing them here makes its metadata whole."""


def config_for(migrations: Path) -> Config:
    """Alembic's configuration for the history in this folder."""
    config = Config()
    config.set_main_option("script_location", str(migrations))
    return config


async def upgrade(url: str, migrations: Path) -> None:
    """Bring the database to the newest revision. Does nothing when it is there already."""
    config = config_for(migrations)
    newest = ScriptDirectory.from_config(config).get_current_head()
    engine = create_async_engine(url)

    def work(conn: Connection) -> None:
        if MigrationContext.configure(conn).get_current_revision() != newest:
            config.attributes["connection"] = conn
            command.upgrade(config, "head")

    try:
        async with engine.begin() as conn:
            await conn.run_sync(work)
    finally:
        await engine.dispose()


def run_env(metadata: MetaData) -> None:
    """The whole of a service's `env.py`."""
    connection: Any = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=[metadata, plumbing])
    with context.begin_transaction():
        context.run_migrations()


def create_plumbing() -> None:
    """The first form of the plumbing's tables. Frozen: a change is a new function, never an edit."""
    op.create_table(
        "outbox",
        sa.Column("seq", Serial, primary_key=True, autoincrement=True),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("headers", Json, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("recorded_at", UtcDateTime, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "inbox",
        sa.Column("consumer", sa.Text, primary_key=True),
        sa.Column("event_id", sa.Text, primary_key=True),
        sa.Column("claimed_at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("consumer", sa.Text, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("headers", Json, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("recorded_at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("actor", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("request_hash", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("recorded_at", UtcDateTime, nullable=False),
    )
