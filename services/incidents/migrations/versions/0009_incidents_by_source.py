"""A list of one source's incidents finds them in order."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_index("incidents_by_source", "incidents", ["source", "opened_at", "id"])
