"""The history of migrations makes the tables that the code knows."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from services.roadmap import app  # noqa: F401 – every noun's tables register with its import
from services.roadmap.metadata import metadata
from shared.database import Database
from shared.outbox import plumbing


async def test_the_migrations_make_the_tables_that_the_code_knows(db: Database) -> None:
    def differences(conn: Connection) -> list[object]:
        context = MigrationContext.configure(conn)
        return compare_metadata(context, [metadata, plumbing])  # pyright: ignore[reportArgumentType]

    async with db.begin() as conn:
        assert await conn.run_sync(differences) == []
