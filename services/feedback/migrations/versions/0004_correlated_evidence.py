"""Evidence of incidents that are part of another: kept, and of no theme."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("evidence", sa.Column("parent_id", sa.Text))
