"""The gateway's background work: it keeps the keys in memory true, and forgets what is old."""

from functools import partial

from services.gateway.keyring import RELOAD_SECONDS, Keyring
from shared.pruning import prune_forever
from shared.supervisor import Job, every
from shared.upkeep import Upkeep


def jobs(keyring: Keyring, upkeep: Upkeep | None = None) -> dict[str, Job]:
    """Reload the keys, and note which were used; prune the plumbing's tables."""
    kept = upkeep or Upkeep()
    return {
        "gateway keys": every(RELOAD_SECONDS, keyring.keep_up),
        "gateway.pruning": partial(prune_forever, keyring.db, kept),
    }
