"""The gateway's background work: it keeps the keys in memory true."""

from services.gateway.access.keyring import RELOAD_SECONDS, Keyring
from shared.supervisor import Job, every


def jobs(keyring: Keyring) -> dict[str, Job]:
    """Reload the keys, and note which were used."""
    return {"gateway keys": every(RELOAD_SECONDS, keyring.keep_up)}
