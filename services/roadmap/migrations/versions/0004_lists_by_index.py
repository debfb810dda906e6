"""Every sort that a list offers has its index: no page sorts, or reads, the whole table."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    rank = ["block", "score", "candidate_id"]
    op.create_index("candidates_by_rank", "candidates", rank)
    op.create_index("candidates_of_product", "candidates", ["product", "state", *rank])
    op.create_index("candidates_by_raising", "candidates", ["raised_at", "candidate_id"])
    op.create_index("items_by_score", "items", ["block", "score", "item_id"])
    op.create_index("items_by_state_and_age", "items", ["state", "planned_at", "item_id"])
