"""The keys in memory, so that authentication costs microseconds and no query.

The database is read again every two seconds, and at once after a change in this process: a revoked
key fails within five seconds wherever it was revoked. Expiry is looked at on each request.
"""

from datetime import datetime, timedelta

import structlog

from services.gateway.access import store
from services.gateway.access.domain import ApiKey, opens, parse
from shared.auth import Principal
from shared.clock import Clock
from shared.database import UNAVAILABLE, Database

logger = structlog.get_logger(__name__)

RELOAD_SECONDS = 2.0
USE_IS_NOTED_EVERY = timedelta(minutes=1)


class Keyring:
    """Answers whom a key's text stands for."""

    def __init__(self, db: Database, pepper: bytes, clock: Clock) -> None:
        self.db = db
        self.pepper = pepper
        self.clock = clock
        self._keys: dict[str, tuple[ApiKey, Principal]] = {}
        self._used: dict[str, datetime] = {}
        self._noted: dict[str, datetime] = {}

    async def reload(self) -> None:
        """Take over what the database says now."""
        async with self.db.read() as conn:
            keys = await store.load_unrevoked(conn)
        self._keys = {key.prefix: (key, Principal(key.id, key.name, key.scopes)) for key in keys}

    def principal(self, text: str) -> Principal | None:
        """Whom this key stands for, or None when it opens nothing."""
        presented = parse(text)
        held = self._keys.get(presented.prefix) if presented else None
        if presented is None or held is None:
            return None
        key, principal = held
        now = self.clock()
        if not opens(self.pepper, key, presented.secret, now):
            return None
        self._used[key.id] = now
        return principal

    async def keep_up(self) -> None:
        """Reload, and note which keys were used; a key is written at most once a minute.

        Where the database is away the keys stay as they were; readiness then keeps clients away.
        """
        try:
            await self.reload()
            await self._note_use()
        except UNAVAILABLE as away:
            logger.warning("the API keys can't be read just now", error=str(away))

    async def _note_use(self) -> None:
        due = {
            key_id: at
            for key_id, at in self._used.items()
            if key_id not in self._noted or at - self._noted[key_id] >= USE_IS_NOTED_EVERY
        }
        if due:
            async with self.db.begin() as conn:
                await store.note_use(conn, due)
            self._noted |= due
