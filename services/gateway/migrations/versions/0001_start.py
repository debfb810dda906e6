"""The plumbing's tables and the API keys."""

import sqlalchemy as sa
from alembic import op

from shared.database import Json, UtcDateTime
from shared.migrations import create_plumbing

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_plumbing()
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("prefix", sa.Text, nullable=False, unique=True),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("scopes", Json, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("expires_at", UtcDateTime),
        sa.Column("revoked_at", UtcDateTime),
        sa.Column("revoked_by", sa.Text),
        sa.Column("last_used_at", UtcDateTime),
    )
