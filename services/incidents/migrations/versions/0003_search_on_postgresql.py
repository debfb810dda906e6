"""The words of incidents on PostgreSQL; SQLite has had its own table of them from the start."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

from shared.database import Serial

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.create_table(
            "incident_words",
            sa.Column("id", Serial, primary_key=True, autoincrement=True),
            sa.Column("incident_id", sa.Text, nullable=False),
            sa.Column("words", TSVECTOR, nullable=False),
        )
        op.create_index("incident_words_gin", "incident_words", ["words"], postgresql_using="gin")
