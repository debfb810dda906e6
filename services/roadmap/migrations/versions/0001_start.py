"""The plumbing's tables, themes, score policies, objectives, candidates and items."""

import sqlalchemy as sa
from alembic import op

from shared.database import Json, UtcDateTime
from shared.migrations import create_plumbing

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_plumbing()
    _themes_and_policies()
    _objectives()
    _candidates()
    _candidate_histories()
    _items()
    _item_links()


def _themes_and_policies() -> None:
    op.create_table(
        "themes",
        sa.Column("theme_id", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("product", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("into_theme_id", sa.Text),
        sa.Column("reasons", Json, nullable=False),
        sa.Column("evidence", Json),
    )
    op.create_table(
        "score_policies",
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("data", Json, nullable=False),
        sa.Column("recorded_at", UtcDateTime, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
    )


def _objectives() -> None:
    op.create_table(
        "objectives",
        sa.Column("objective_id", sa.Text, primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("product", sa.Text),
        sa.Column("target", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("set_at", UtcDateTime, nullable=False),
        sa.Column("correlation_id", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_index("objectives_by_age", "objectives", ["set_at", "objective_id"])


def _candidates() -> None:
    op.create_table(
        "candidates",
        sa.Column("candidate_id", sa.Text, primary_key=True),
        sa.Column("theme_id", sa.Text),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("product", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("block", sa.Integer, nullable=False),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("scored", Json, nullable=False),
        sa.Column("needs_estimate", sa.Boolean, nullable=False),
        sa.Column("reasons", Json, nullable=False),
        sa.Column("evidence", Json),
        sa.Column("effort_person_months", sa.Float),
        sa.Column("duration_weeks", sa.Float),
        sa.Column("confirmed", sa.Boolean, nullable=False),
        sa.Column("quiet_since", UtcDateTime),
        sa.Column("raised_at", UtcDateTime, nullable=False),
        sa.Column("previous_id", sa.Text),
        sa.Column("item_id", sa.Text, index=True),
        sa.Column("into_candidate_id", sa.Text, index=True),
        sa.Column("until", UtcDateTime),
        sa.Column("until_total", sa.Integer),
        sa.Column("decided_at", UtcDateTime),
        sa.Column("decided_by", sa.Text),
        sa.Column("decision", sa.Text),
        sa.Column("correlation_id", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    for name, columns in {
        "candidates_by_score": ["state", "block", "score", "candidate_id"],
        "candidates_by_age": ["state", "raised_at", "candidate_id"],
        "candidates_by_theme": ["theme_id", "decided_at"],
        "candidates_to_wake": ["state", "until"],
    }.items():
        op.create_index(name, "candidates", columns)
    waits = sa.text("state IN ('open', 'snoozed')")
    op.create_index(
        "candidates_one_waiting",
        "candidates",
        ["theme_id"],
        unique=True,
        sqlite_where=waits,
        postgresql_where=waits,
    )


def _candidate_histories() -> None:
    op.create_table(
        "candidate_log",
        sa.Column(
            "candidate_id", sa.Text, sa.ForeignKey("candidates.candidate_id"), primary_key=True
        ),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("recorded_at", UtcDateTime, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("data", Json, nullable=False),
    )
    op.create_table(
        "candidate_scores",
        sa.Column(
            "candidate_id", sa.Text, sa.ForeignKey("candidates.candidate_id"), primary_key=True
        ),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("unit", sa.Text, nullable=False),
        sa.Column("parts", Json, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("rank", sa.Integer),
    )


def _items() -> None:
    op.create_table(
        "items",
        sa.Column("item_id", sa.Text, primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("product", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("horizon", sa.Text, nullable=False),
        sa.Column("quarter", sa.Text),
        sa.Column("objective_id", sa.Text, sa.ForeignKey("objectives.objective_id"), index=True),
        sa.Column("owner", sa.Text),
        sa.Column("effort_person_months", sa.Float),
        sa.Column("duration_weeks", sa.Float),
        sa.Column("expected_reduction", sa.Float),
        sa.Column("expected_assumed", sa.Boolean, nullable=False),
        sa.Column("power", Json),
        sa.Column("release", sa.Text),
        sa.Column("planned_at", UtcDateTime, nullable=False),
        sa.Column("committed_at", UtcDateTime),
        sa.Column("started_at", UtcDateTime),
        sa.Column("delivered_at", UtcDateTime),
        sa.Column("cancelled_at", UtcDateTime),
        sa.Column("cancel_reason", sa.Text),
        sa.Column("outcome_id", sa.Text),
        sa.Column("outcome", Json),
        sa.Column("verdict", sa.Text),
        sa.Column("block", sa.Integer, nullable=False),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("scored", Json),
        sa.Column("correlation_id", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_index("items_by_age", "items", ["planned_at", "item_id"])
    op.create_index("items_by_state", "items", ["state", "block", "score", "item_id"])


def _item_links() -> None:
    item = "items.item_id"
    op.create_table(
        "item_themes",
        sa.Column("item_id", sa.Text, sa.ForeignKey(item), primary_key=True),
        sa.Column("theme_id", sa.Text, primary_key=True, index=True),
        sa.Column("in_work", sa.Boolean, nullable=False),
    )
    op.create_index(
        "item_themes_one_in_work",
        "item_themes",
        ["theme_id"],
        unique=True,
        sqlite_where=sa.text("in_work = 1"),
        postgresql_where=sa.text("in_work"),
    )
    op.create_table(
        "item_candidates",
        sa.Column("candidate_id", sa.Text, primary_key=True),
        sa.Column("item_id", sa.Text, sa.ForeignKey(item), nullable=False, index=True),
    )
    op.create_table(
        "item_log",
        sa.Column("item_id", sa.Text, sa.ForeignKey(item), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("recorded_at", UtcDateTime, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("data", Json, nullable=False),
        sa.Column("noted", Json, nullable=False),
    )
