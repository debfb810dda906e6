"""The plumbing's tables and the catalog."""

import sqlalchemy as sa
from alembic import op

from shared.database import Json
from shared.migrations import create_plumbing

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_plumbing()
    op.create_table(
        "services",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("product", sa.Text, nullable=False, index=True),
        sa.Column("owner", sa.Text),
        sa.Column("tier", sa.Integer, nullable=False),
        sa.Column("dependencies", Json, nullable=False),
        sa.Column("aliases", Json, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_table(
        "service_names",
        sa.Column("claimed", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, sa.ForeignKey("services.name"), nullable=False, index=True),
    )
