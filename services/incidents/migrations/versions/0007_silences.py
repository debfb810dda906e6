"""Silences, and which incidents and episodes fell into them."""

import sqlalchemy as sa
from alembic import op

from shared.database import Json, UtcDateTime

revision = "0007"
down_revision = "0006"

SILENCED = sa.text("silenced_by IS NOT NULL")
IN_QUESTION = sa.text("silence_review_at IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "silences",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("matchers", Json, nullable=False),
        sa.Column("starts_at", UtcDateTime, nullable=False),
        sa.Column("ends_at", UtcDateTime, nullable=False),
        sa.Column("recurrence", Json),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("ended_at", UtcDateTime),
        sa.Column("ended_by", sa.Text),
        sa.Column("over_at", UtcDateTime, nullable=False),
    )
    op.create_index("silences_by_end", "silences", ["over_at", "id"])
    op.add_column("incidents", sa.Column("silenced_by", sa.Text))
    op.create_index(
        "incidents_silenced",
        "incidents",
        ["opened_at", "id"],
        sqlite_where=SILENCED,
        postgresql_where=SILENCED,
    )
    op.add_column("episodes", sa.Column("silenced_by", sa.Text))
    op.add_column("episodes", sa.Column("silence_review_at", UtcDateTime))
    op.add_column("episodes", sa.Column("heard_from", UtcDateTime))
    op.create_index(
        "episodes_in_question",
        "episodes",
        ["silence_review_at"],
        sqlite_where=IN_QUESTION,
        postgresql_where=IN_QUESTION,
    )
