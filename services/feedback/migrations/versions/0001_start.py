"""The plumbing's tables and all that the feedback service begins with."""

import sqlalchemy as sa
from alembic import op

from shared.database import Json, Serial, UtcDateTime
from shared.migrations import create_plumbing

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_plumbing()
    op.create_table(
        "evidence",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("theme_id", sa.Text),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("source_id", sa.Text, nullable=False),
        sa.Column("source_version", sa.Integer, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("ended_at", UtcDateTime),
        sa.Column("severity_then", sa.Text),
        sa.Column("severity", sa.Text),
        sa.Column("customers", sa.Integer),
        sa.Column("tier", sa.Integer),
        sa.Column("responder_hours", sa.Float),
        sa.Column("revenue_at_risk", sa.Float),
        sa.Column("linked", sa.Boolean, nullable=False),
        sa.Column("votes", sa.Integer, nullable=False),
        sa.Column("voice", sa.Text),
        sa.Column("customer", sa.Text),
        sa.Column("product", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("alert_name", sa.Text),
        sa.Column("labels", Json, nullable=False),
        sa.UniqueConstraint("kind", "source_id", name="evidence_source"),
    )
    op.create_index("evidence_theme", "evidence", ["theme_id", "at", "source_id"])
    op.create_table(
        "horizon",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("as_of", UtcDateTime, nullable=False),
    )
    op.create_table(
        "feedback",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("segment", sa.Text),
        sa.Column("customer", sa.Text),
        sa.Column("product", sa.Text),
        sa.Column("service", sa.Text),
        sa.Column("revenue_at_risk", sa.Float),
        sa.Column("happened_at", UtcDateTime, nullable=False),
        sa.Column("votes", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_index("feedback_author", "feedback", ["author", "happened_at", "id"])
    op.create_index("feedback_happened", "feedback", ["happened_at", "id"])
    op.create_index("feedback_product", "feedback", ["product", "happened_at", "id"])
    op.create_table(
        "feedback_votes",
        sa.Column("feedback_id", sa.Text, primary_key=True),
        sa.Column("voter", sa.Text, primary_key=True, index=True),
        sa.Column("at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "themes",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("product", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("title_given", sa.Boolean, nullable=False),
        sa.Column("template", sa.Text, nullable=False),
        sa.Column("alert_name", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("rose_at", UtcDateTime),
        sa.Column("told", sa.Text, nullable=False),
        sa.Column("announced", Json, nullable=False),
        sa.Column("told_as_of", UtcDateTime, index=True),
        sa.Column("dismissed_at", UtcDateTime),
        sa.Column("merged_into", sa.Text, index=True),
        sa.Column("evidence_count", sa.Integer, nullable=False),
        sa.Column("first_at", UtcDateTime, nullable=False),
        sa.Column("last_at", UtcDateTime, nullable=False),
        sa.Column("review_at", UtcDateTime, index=True),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_index("themes_last", "themes", ["last_at", "id"])
    op.create_index("themes_product_last", "themes", ["product", "last_at", "id"])
    op.create_index("themes_state_last", "themes", ["state", "last_at", "id"])
    op.create_table(
        "theme_keys",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("theme_id", sa.Text, nullable=False, index=True),
    )
    op.create_table(
        "theme_decisions",
        sa.Column("seq", Serial, primary_key=True, autoincrement=True),
        sa.Column("theme_id", sa.Text, nullable=False, index=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("other_theme_id", sa.Text, nullable=False, index=True),
        sa.Column("evidence_ids", Json, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "policies",
        sa.Column("detector", sa.Text, primary_key=True),
        sa.Column("product", sa.Text, primary_key=True),
        sa.Column("settings", Json, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("changed_at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "policy_history",
        sa.Column("seq", Serial, primary_key=True, autoincrement=True),
        sa.Column("detector", sa.Text, nullable=False, index=True),
        sa.Column("product", sa.Text, nullable=False),
        sa.Column("settings", Json, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("changed_at", UtcDateTime, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "policy_changes",
        sa.Column("seq", Serial, primary_key=True, autoincrement=True),
        sa.Column("product", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "escalations",
        sa.Column("theme_id", sa.Text, primary_key=True),
        sa.Column("detector", sa.Text, primary_key=True),
        sa.Column("rose_at", UtcDateTime, primary_key=True),
        sa.Column("fell_at", UtcDateTime),
        sa.Column("reasons", Json, nullable=False),
        sa.Column("fell_because", sa.Text),
    )
    op.create_table(
        "candidates",
        sa.Column("candidate_id", sa.Text, primary_key=True),
        sa.Column("theme_id", sa.Text, nullable=False, index=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("detectors", sa.Text, nullable=False),
        sa.Column("raised_at", UtcDateTime, nullable=False),
        sa.Column("item_id", sa.Text),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_table(
        "items",
        sa.Column("item_id", sa.Text, primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("product", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("horizon", sa.Text, nullable=False),
        sa.Column("quarter", sa.Text),
        sa.Column("delivered_at", UtcDateTime),
        sa.Column("changed_at", UtcDateTime, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_table(
        "item_themes",
        sa.Column("item_id", sa.Text, primary_key=True),
        sa.Column("theme_id", sa.Text, primary_key=True, index=True),
    )
    op.create_table(
        "outcomes",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("item_id", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("product", sa.Text, nullable=False),
        sa.Column("theme_ids", Json, nullable=False),
        sa.Column("delivered_at", UtcDateTime, nullable=False),
        sa.Column("watch_from", UtcDateTime, nullable=False),
        sa.Column("watch_until", UtcDateTime, nullable=False, index=True),
        sa.Column("release", sa.Text),
        sa.Column("expected_reduction", sa.Float, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("final", sa.Boolean, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("numbers", Json, nullable=False),
        sa.Column("as_of", UtcDateTime),
        sa.Column("due_at", UtcDateTime, index=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.UniqueConstraint("item_id", "delivered_at", name="outcome_of_a_delivery"),
    )
    op.create_index("outcomes_delivered", "outcomes", ["delivered_at", "id"])
    op.create_table(
        "outcome_themes",
        sa.Column("outcome_id", sa.Text, primary_key=True),
        sa.Column("theme_id", sa.Text, primary_key=True, index=True),
    )
    op.create_table(
        "outcome_versions",
        sa.Column("outcome_id", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("final", sa.Boolean, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("numbers", Json, nullable=False),
        sa.Column("as_of", UtcDateTime, nullable=False),
    )
