"""The plumbing: dead letters can be replayed, a run of them stops a consumer, old rows are pruned."""

from shared.migrations import add_replay_and_pruning

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    add_replay_and_pruning()
