"""The plumbing's tables and those of the service's nouns."""

import sqlalchemy as sa
from alembic import op

from shared.database import Json, UtcDateTime
from shared.migrations import create_plumbing

revision = "0001"
down_revision = None

OPEN = sa.text("state IN ('open', 'acknowledged', 'mitigated')")
UNCLAIMED = sa.text("product = 'unassigned'")
EXPIRING = sa.text("ends_at IS NULL AND expires_at IS NOT NULL")


def upgrade() -> None:
    create_plumbing()
    create_catalog()
    create_incidents()
    create_signals()
    create_themes()
    create_search()


def create_catalog() -> None:
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


def create_incidents() -> None:
    op.create_table(
        "incidents",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("external_ref", sa.Text),
        sa.Column("fingerprint", sa.Text),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("alert_name", sa.Text),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("claimed_service", sa.Text),
        sa.Column("product", sa.Text, nullable=False),
        sa.Column("tier", sa.Integer, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("opened_at", UtcDateTime, nullable=False),
        sa.Column("labels", Json, nullable=False),
        sa.Column("links", Json, nullable=False),
        sa.Column("customers_affected", sa.Integer),
        sa.Column("revenue_at_risk", sa.Float),
        sa.Column("responder_hours", sa.Float),
        sa.Column("assignee", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("acknowledged_at", UtcDateTime),
        sa.Column("mitigated_at", UtcDateTime),
        sa.Column("resolved_at", UtcDateTime),
        sa.Column("closed_at", UtcDateTime),
        sa.Column("reopened_at", UtcDateTime),
        sa.Column("by_hand_at", UtcDateTime),
        sa.Column("resolutions", sa.Integer, nullable=False),
        sa.Column("reopenings", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
    )
    op.create_index("incidents_by_opening", "incidents", ["opened_at", "id"])
    op.create_index("incidents_by_change", "incidents", ["updated_at", "id"])
    op.create_index("incidents_by_state", "incidents", ["state", "opened_at", "id"])
    op.create_index("incidents_by_service", "incidents", ["service", "opened_at", "id"])
    op.create_index("incidents_by_product", "incidents", ["product", "opened_at", "id"])
    op.create_index("incidents_of_alert", "incidents", ["source", "fingerprint", "resolved_at"])
    op.create_index("incidents_of_record", "incidents", ["source", "external_ref"], unique=True)
    op.create_index(
        "incidents_open_of_alert",
        "incidents",
        ["source", "fingerprint"],
        unique=True,
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    )
    op.create_index(
        "incidents_unclaimed",
        "incidents",
        ["claimed_service"],
        sqlite_where=UNCLAIMED,
        postgresql_where=UNCLAIMED,
    )
    op.create_table(
        "timeline",
        sa.Column("incident_id", sa.Text, sa.ForeignKey("incidents.id"), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("recorded_at", UtcDateTime, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("data", Json, nullable=False),
    )
    op.create_table(
        "incident_imports",
        sa.Column("incident_id", sa.Text, sa.ForeignKey("incidents.id"), primary_key=True),
        sa.Column("entries", Json, nullable=False),
    )


def create_signals() -> None:
    op.create_table(
        "episodes",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("fingerprint", sa.Text, primary_key=True),
        sa.Column("starts_at", UtcDateTime, primary_key=True),
        sa.Column("incident_id", sa.Text, nullable=False, index=True),
        sa.Column("ends_at", UtcDateTime),
        sa.Column("told", sa.Boolean, nullable=False),
        sa.Column("expires_at", UtcDateTime),
    )
    op.create_index(
        "episodes_expiring",
        "episodes",
        ["expires_at"],
        sqlite_where=EXPIRING,
        postgresql_where=EXPIRING,
    )
    op.create_table(
        "signals",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("starts_at", UtcDateTime, nullable=False),
        sa.Column("ends_at", UtcDateTime),
        sa.Column("incident_id", sa.Text, nullable=False),
        sa.Column("received_at", UtcDateTime, nullable=False),
        sa.Column("last_seen_at", UtcDateTime, nullable=False),
        sa.Column("repeats", sa.Integer, nullable=False),
        sa.UniqueConstraint("source", "fingerprint", "status", "starts_at", name="signals_once"),
    )
    op.create_index("signals_of_incident", "signals", ["incident_id", "id"])
    op.create_table(
        "signal_payloads",
        sa.Column("signal_id", sa.Text, sa.ForeignKey("signals.id"), primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("alert_name", sa.Text),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("service", sa.Text),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("customers_affected", sa.Integer),
        sa.Column("labels", Json, nullable=False),
        sa.Column("annotations", Json, nullable=False),
        sa.Column("url", sa.Text),
        sa.Column("truncated", sa.Integer, nullable=False),
        sa.Column("skewed", sa.Boolean, nullable=False),
    )


def create_themes() -> None:
    op.create_table(
        "incident_themes",
        sa.Column("incident_id", sa.Text, primary_key=True),
        sa.Column("theme_id", sa.Text, nullable=False, index=True),
        sa.Column("event_id", sa.Text, nullable=False),
    )
    op.create_table(
        "theme_merges",
        sa.Column("theme_id", sa.Text, primary_key=True),
        sa.Column("into_theme_id", sa.Text, nullable=False),
    )
    op.create_table(
        "items",
        sa.Column("item_id", sa.Text, primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("horizon", sa.Text, nullable=False),
        sa.Column("quarter", sa.Text),
        sa.Column("delivered_at", UtcDateTime),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_table(
        "theme_items",
        sa.Column("theme_id", sa.Text, primary_key=True),
        sa.Column("item_id", sa.Text, primary_key=True, index=True),
    )


def create_search() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE VIRTUAL TABLE incident_words USING fts5("
            "incident_id UNINDEXED, words, tokenize = 'unicode61 remove_diacritics 2')"
        )
