"""Changes: what was deployed, released or configured."""

import sqlalchemy as sa
from alembic import op

from shared.database import Json, UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "changes",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("external_ref", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("service", sa.Text),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("stated_at", UtcDateTime, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("environment", sa.Text),
        sa.Column("revision", sa.Text),
        sa.Column("url", sa.Text),
        sa.Column("details", Json, nullable=False),
        sa.Column("recorded_at", UtcDateTime, nullable=False),
    )
    op.create_index("changes_once", "changes", ["source", "external_ref"], unique=True)
    op.create_index("changes_by_time", "changes", ["at", "id"])
    op.create_index("changes_by_service", "changes", ["service", "at", "id"])
