"""The migrations make the very tables that the code declares."""

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine

from services.incidents.app import MIGRATIONS, create_app
from services.incidents.metadata import metadata
from services.incidents.worker import jobs
from shared.bus import EmbeddedBus
from shared.database import Database, sqlite_url
from shared.migrations import upgrade
from shared.outbox import plumbing


async def load_all_tables(url: str) -> None:
    """Whatever the two processes of the service import declares its tables."""
    db = Database(url)
    assert create_app(db)
    assert jobs(db, EmbeddedBus(url))
    await db.close()


async def test_migrations_and_tables_agree(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path, "incidents.sqlite3")
    await upgrade(url, MIGRATIONS)
    await load_all_tables(url)

    def differences(conn: Connection) -> list[object]:
        options = {"include_name": lambda name, kind, _: not str(name).startswith("incident_words")}
        context = MigrationContext.configure(conn, opts=options)
        return list(compare_metadata(context, [metadata, plumbing]))

    engine = create_engine(url.replace("+aiosqlite", ""))
    with engine.connect() as conn:
        assert differences(conn) == []
    engine.dispose()
