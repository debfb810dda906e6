"""Lists of candidates find their rows in an index: of every state, of one product."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    rank = ["block", "score", "candidate_id"]
    op.create_index("candidates_by_rank", "candidates", rank)
    op.create_index("candidates_of_product", "candidates", ["product", "state", *rank])
