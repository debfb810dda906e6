"""Evidence that is silenced: kept, and of no theme."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column(
        "evidence", sa.Column("silenced", sa.Boolean, nullable=False, server_default=sa.false())
    )
