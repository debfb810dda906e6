"""Runs a service's own Alembic history, and holds the plumbing's part of it.

A service's `migrations/env.py` is one line: `run_env(metadata)`. Its first revision calls
`create_plumbing()`; a later change of the plumbing is a new function here and a revision in each.
"""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command, context, op
from alembic.config import Config
from alembic.ddl.postgresql import PostgresqlImpl
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData

from shared.database import Database, Json, Serial, UtcDateTime, migrating
from shared.dead_letters import dead_letters
from shared.http.idempotency import idempotency_keys
from shared.inbox import inbox
from shared.outbox import outbox, plumbing
from shared.runs import dead_letter_runs

PLUMBING = (outbox, inbox, dead_letters, dead_letter_runs, idempotency_keys)
"""All tables of the plumbing; importing them here makes its metadata whole."""


def config_for(migrations: Path) -> Config:
    """Alembic's configuration for the history in this folder."""
    config = Config()
    config.set_main_option("script_location", str(migrations))
    return config


async def upgrade(url: str, migrations: Path) -> None:
    """Bring the database to the newest revision, in one transaction. Idempotent.

    Leaves a database alone that is ahead of this code. On PostgreSQL the schema is made when it
    is missing, and the writers of that database wait meanwhile, as does a second `upgrade`.
    Raises DatabaseUnavailable.
    """
    config = config_for(migrations)

    def work(conn: Connection) -> None:
        if _is_behind(_revision(conn), migrations):
            config.attributes["connection"] = conn
            # failpoint: migrations.begun
            command.upgrade(config, "head")
            # failpoint: migrations.upgraded

    async with migrating(url) as conn:
        await conn.run_sync(work)
        # failpoint: migrations.committing


async def at_expected_revision(db: Database, migrations: Path) -> bool:
    """Is the database at the newest revision that this code knows, or ahead of all it knows?

    Ahead is fine: a rolling upgrade migrates first, and a migration only adds. Raises
    DatabaseUnavailable.
    """
    async with db.read() as conn:
        return not _is_behind(await conn.run_sync(_revision), migrations)


def _revision(conn: Connection) -> str | None:
    return MigrationContext.configure(conn).get_current_revision()


def _is_behind(current: str | None, migrations: Path) -> bool:
    script = ScriptDirectory.from_config(config_for(migrations))
    known = {revision.revision for revision in script.walk_revisions()}
    return current is None or current in known - {script.get_current_head()}


def run_env(metadata: MetaData) -> None:
    """The whole of a service's `env.py`."""
    connection: Any = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=[metadata, plumbing])
    with context.begin_transaction():
        context.run_migrations()


class ByCodePoint(PostgresqlImpl):
    """Makes every text column of a migration sort by code point, as SQLite does.

    The collation of a PostgreSQL database is its owner's choice; the order of a list, and what
    comes after a page's cursor, must not depend on it.
    """

    __dialect__ = "postgresql"

    def create_table(self, table: sa.Table, **kw: Any) -> None:
        for column in table.columns:
            _sort_by_code_point(column)
        super().create_table(table, **kw)

    def add_column(self, table_name: str, column: sa.Column[Any], **kw: Any) -> None:
        _sort_by_code_point(column)
        super().add_column(table_name, column, **kw)


def _sort_by_code_point(column: sa.Column[Any]) -> None:
    if isinstance(column.type, sa.Text) and column.type.collation is None:
        column.type = sa.Text(collation="C")


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
    # failpoint: migrations.half_way
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


def add_replay_and_pruning() -> None:
    """What replaying dead letters, stopping at a run of them, and pruning need. Frozen, as above."""
    op.add_column("dead_letters", sa.Column("digest", sa.Text, nullable=False, server_default=""))
    op.add_column("dead_letters", sa.Column("event_type", sa.Text))
    op.add_column("dead_letters", sa.Column("event_id", sa.Text))
    op.add_column("dead_letters", sa.Column("traceback", sa.Text))
    op.add_column("dead_letters", sa.Column("replayed_at", UtcDateTime))
    op.add_column("dead_letters", sa.Column("replayed_by", sa.Text))
    # Letters of before stay as they are, each on its own, even where one was set aside twice.
    op.execute("UPDATE dead_letters SET digest = id")
    once = ["consumer", "topic", "partition", "offset", "digest"]
    op.create_index("dead_letters_once", "dead_letters", once, unique=True)
    for name, column, condition in (
        ("dead_letters_waiting", "id", sa.text("replayed_at IS NULL")),
        ("dead_letters_replayed", "replayed_at", sa.text("replayed_at IS NOT NULL")),
    ):
        op.create_index(
            name,
            "dead_letters",
            [column],
            sqlite_where=condition,
            postgresql_where=condition,
        )
    op.create_table(
        "dead_letter_runs",
        sa.Column("consumer", sa.Text, primary_key=True),
        sa.Column("length", sa.Integer, nullable=False),
        sa.Column("topic", sa.Text),
        sa.Column("partition", sa.Integer),
        sa.Column("offset", sa.BigInteger),
        sa.Column("stopped_at", UtcDateTime),
    )
    op.create_index("inbox_by_claim", "inbox", ["consumer", "claimed_at"])
    op.create_index("idempotency_keys_by_age", "idempotency_keys", ["recorded_at"])
