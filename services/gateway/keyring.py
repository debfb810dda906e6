"""The keys in memory, so that authentication costs microseconds and no query.

The database is read again every two seconds, and at once after a change in this process: a revoked
key fails within five seconds wherever it was revoked. Expiry is looked at on each request.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from secrets import token_bytes

import structlog

from services.gateway.access import store
from services.gateway.access.domain import ApiKey, opens, parse
from services.gateway.integrations import store as integrations
from services.gateway.integrations.domain import SENDS, Integration
from services.gateway.integrations.sealing import SealBroken, unseal
from shared.auth import Principal
from shared.clock import Clock
from shared.database import UNAVAILABLE, Database

logger = structlog.get_logger(__name__)

RELOAD_SECONDS = 2.0
USE_IS_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Signing:
    """An integration whose posts must be signed, and the secrets that count."""

    principal: Principal
    secrets: tuple[bytes, ...]


_Held = tuple[ApiKey, Principal]


class Keyring:
    """Answers whom a key's text stands for, and whose signature counts."""

    def __init__(self, db: Database, pepper: bytes, clock: Clock) -> None:
        self.db = db
        self.pepper = pepper
        self.clock = clock
        self._keys: dict[str, _Held] = {}
        self._shown: dict[bytes, _Held] = {}
        self._salt = token_bytes(32)
        self._signing: dict[str, Signing] = {}
        self._used: dict[str, datetime] = {}
        self._noted: dict[str, datetime] = {}

    async def reload(self) -> None:
        """Take over what the database says now."""
        async with self.db.read() as conn:
            keys = await store.load_unrevoked(conn)
            senders = {one.id: one for one in await integrations.load_active(conn)}
        self._keys = {key.prefix: (key, _principal(key, senders)) for key in keys}
        self._shown = {}
        self._signing = {one.id: self._signed(one) for one in senders.values() if one.secrets}

    def principal(self, text: str) -> Principal | None:
        """Whom this key stands for, or None when it opens nothing."""
        if not text.isascii():
            return None
        # What has opened since the last reload is known by a hash that only this process can make:
        # a third of the work, no text is kept, and the time it takes tells nothing about a key.
        shown = blake2b(text.encode(), key=self._salt).digest()
        held = self._shown.get(shown) or self._found(text)
        now = self.clock()
        if held is None or not held[0].active(now):
            return None
        self._shown[shown] = held
        key, principal = held
        self._used[key.id] = now
        return principal

    def _found(self, text: str) -> _Held | None:
        presented = parse(text)
        held = self._keys.get(presented.prefix) if presented else None
        if presented is None or held is None or not opens(self.pepper, held[0], presented.secret):
            return None
        return held

    def signing(self, integration_id: str) -> Signing | None:
        """How this integration signs, or None when it need not."""
        return self._signing.get(integration_id)

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

    def _signed(self, one: Integration) -> Signing:
        """A secret that can't be read opens nothing; with none left, nothing does."""
        secrets: list[bytes] = []
        for sealed in one.secrets:
            try:
                secrets.append(unseal(self.pepper, sealed).encode())
            except SealBroken as broken:
                logger.error("give it anew", integration=one.id, error=str(broken))
        return Signing(Principal(one.id, one.name, SENDS, one.sender()), tuple(secrets))


def _principal(key: ApiKey, senders: dict[str, Integration]) -> Principal:
    """A key of an integration that has ended is revoked with it; until that is read, it sends nothing."""
    if key.integration_id is None:
        return Principal(key.id, key.name, key.scopes)
    one = senders.get(key.integration_id)
    if one is None:
        return Principal(key.id, key.name, frozenset())
    return Principal(key.id, one.name, key.scopes, one.sender())
