"""Which alerts fire is asked for every signal that tells no start: an index of those that do."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

FIRING = sa.text("ends_at IS NULL")


def upgrade() -> None:
    op.create_index(
        "episodes_firing",
        "episodes",
        ["source", "fingerprint", "starts_at"],
        sqlite_where=FIRING,
        postgresql_where=FIRING,
    )
