"""What is known of a theme names every time that it stood up."""

import sqlalchemy as sa
from alembic import op

from shared.database import Json

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("themes", sa.Column("rises", Json, nullable=False, server_default="[]"))
    op.create_index("ix_themes_into_theme_id", "themes", ["into_theme_id"])
