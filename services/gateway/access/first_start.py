"""The two secrets of the API keys: the pepper of their hashes, and the first admin key.

Both are settings, or else files in the data folder. Several gateways need them as settings: each
must hash alike, and a key in one machine's folder would be found by nobody.
"""

import os
import secrets
from pathlib import Path

import structlog
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.access import commands, store
from services.gateway.access.commands import CreateKey
from services.gateway.access.domain import parse
from services.gateway.keyring import Keyring
from shared.context import Context
from shared.ids import new_id

logger = structlog.get_logger(__name__)

PEPPER_FILE = "secret"
ADMIN_KEY_FILE = "admin.key"
WANTED = CreateKey("admin", frozenset({"admin"}))


def pepper(data: Path, stated: SecretStr | None = None) -> bytes:
    """The pepper that is stated, or that of this data folder, made at the first start.

    Losing it voids every key.
    """
    if stated is not None:
        return bytes.fromhex(stated.get_secret_value())
    path = data / PEPPER_FILE
    if not path.exists():
        write_private(path, secrets.token_hex(32))
    return bytes.fromhex(path.read_text().strip())


async def ensure_admin(keyring: Keyring, data: Path, stated: SecretStr | None = None) -> None:
    """When no active key holds `admin`, take the one that is stated, or make one into a file.

    Of several processes at once one does so: it is one write transaction. The file is written
    before the key is committed: a crash in between leaves a file whose key opens nothing, and the
    next start replaces it.
    """
    if await seed_admin(keyring, stated):
        return
    ctx = _context(keyring)
    async with keyring.db.begin() as conn:
        if await _has_admin(conn, ctx):
            return
        _, text = await commands.create(conn, WANTED, ctx, pepper=keyring.pepper)
        path = data / ADMIN_KEY_FILE
        write_private(path, text)
        # failpoint: start.admin_key_written
    logger.info("made the first admin key", file=str(path))


async def seed_admin(keyring: Keyring, stated: SecretStr | None) -> bool:
    """Is there an admin key now? Where none is active, the one that is stated becomes it.

    A key that was revoked stays so, whatever the settings say.
    """
    ctx = _context(keyring)
    presented = parse(stated.get_secret_value()) if stated else None
    async with keyring.db.begin() as conn:
        if await _has_admin(conn, ctx):
            return True
        if presented is None or await store.has_prefix(conn, presented.prefix):
            return False
        await commands.create(conn, WANTED, ctx, pepper=keyring.pepper, presented=presented)
    logger.info("took the first admin key from the settings")
    return True


def _context(keyring: Keyring) -> Context:
    return Context("gateway", "first start", keyring.clock(), new_id("req"))


async def _has_admin(conn: AsyncConnection, ctx: Context) -> bool:
    keys = await store.load_unrevoked(conn)
    return any("admin" in key.scopes and key.active(ctx.now) for key in keys)


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
