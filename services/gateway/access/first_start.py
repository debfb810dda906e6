"""The two secrets in the data folder: the pepper of the key hashes, and the first admin key."""

import os
import secrets
from pathlib import Path

import structlog

from services.gateway.access import commands, store
from services.gateway.access.commands import CreateKey
from services.gateway.access.keyring import Keyring
from shared.context import Context
from shared.ids import new_id

logger = structlog.get_logger(__name__)

PEPPER_FILE = "secret"
ADMIN_KEY_FILE = "admin.key"


def pepper(data: Path) -> bytes:
    """The pepper of this data folder, made at the first start. Losing the file voids every key."""
    path = data / PEPPER_FILE
    if not path.exists():
        write_private(path, secrets.token_hex(32))
    return bytes.fromhex(path.read_text().strip())


async def ensure_admin(keyring: Keyring, data: Path) -> None:
    """When no active key holds `admin`, make one and leave it in a file that only the owner reads.

    The file is written before the key is committed: a crash in between leaves a file whose key
    opens nothing, and the next start replaces it.
    """
    ctx = Context("gateway", "first start", keyring.clock(), new_id("req"))
    async with keyring.db.begin() as conn:
        keys = await store.load_unrevoked(conn)
        if any("admin" in key.scopes and key.active(ctx.now) for key in keys):
            return
        wanted = CreateKey("admin", frozenset({"admin"}))
        _, text = await commands.create(conn, wanted, ctx, pepper=keyring.pepper)
        path = data / ADMIN_KEY_FILE
        write_private(path, text)
    logger.info("made the first admin key", file=str(path))


def write_private(path: Path, text: str) -> None:
    """Replace a file by one that only its owner can read, durably, whole or not at all."""
    draft = path.with_name(path.name + ".draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
