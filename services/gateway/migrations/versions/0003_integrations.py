"""Integrations: a sender's account, with keys of its own."""

import sqlalchemy as sa
from alembic import op

from shared.database import Json, UtcDateTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "integrations",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False, unique=True),
        sa.Column("service", sa.Text),
        sa.Column("signals_per_minute", sa.Integer),
        sa.Column("secrets", Json, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("ended_at", UtcDateTime),
    )
    op.add_column("api_keys", sa.Column("integration_id", sa.Text))
    op.create_index("ix_api_keys_integration_id", "api_keys", ["integration_id"])
