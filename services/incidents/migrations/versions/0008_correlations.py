"""Rules of correlation, which incidents are one by them, and whose child each is.

Flapping is a rule like any, and there from the beginning. What was opened before stays as it is.
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from shared.database import Json, UtcDateTime

revision = "0008"
down_revision = "0007"

CHILD = sa.text("parent_id IS NOT NULL")
FLAPPING = {"by": ["alert"], "within_seconds": 7200, "span_seconds": 7200, "at_least": 4}


def upgrade() -> None:
    rules = op.create_table(
        "correlation_rules",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("document", Json, nullable=False),
        sa.Column("since", UtcDateTime, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("changed_at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "correlations",
        sa.Column("rule", sa.Text, primary_key=True),
        sa.Column("incident_id", sa.Text, primary_key=True),
        sa.Column("parent_id", sa.Text, nullable=False),
        sa.Column("began_at", UtcDateTime, nullable=False),
        sa.Column("last_at", UtcDateTime, nullable=False),
    )
    op.create_index("correlations_by_time", "correlations", ["rule", "began_at"])
    op.create_index("correlations_of_incident", "correlations", ["incident_id"])
    op.create_table(
        "correlations_due",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("opened_at", UtcDateTime, nullable=False),
        sa.Column("incident_id", sa.Text, nullable=False),
    )
    op.add_column("incidents", sa.Column("parent_id", sa.Text))
    op.add_column("incidents", sa.Column("correlated_by", sa.Text))
    op.create_index(
        "incidents_of_parent",
        "incidents",
        ["parent_id", "opened_at", "id"],
        sqlite_where=CHILD,
        postgresql_where=CHILD,
    )
    known = sa.table("incidents", sa.column("opened_at", UtcDateTime))
    newest = op.get_bind().execute(sa.select(sa.func.max(known.c.opened_at))).scalar()
    start = datetime(2000, 1, 1, tzinfo=UTC)
    op.bulk_insert(
        rules,
        [
            {
                "name": "flapping",
                "document": FLAPPING,
                "since": newest or start,
                "version": 1,
                "by": "service:incidents",
                "changed_at": newest or start,
            }
        ],
    )
