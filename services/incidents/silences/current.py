"""The silences in memory, compiled, so that a signal costs no query.

The database is asked again after two seconds, by the first post that comes then, and at once after
a change in this process: a silence that was made or ended elsewhere holds here two seconds later.
"""

import asyncio
from collections.abc import Iterable

import structlog

from services.incidents.silences import store
from services.incidents.silences.cover import NONE, Silences, compiled_silences
from services.incidents.silences.domain import Silence
from shared.database import UNAVAILABLE, Database

logger = structlog.get_logger(__name__)

RELOAD_SECONDS = 2.0


class CurrentSilences:
    """Answers what is silenced."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._known = NONE
        self._stand: tuple[int, int] | None = None
        self._asked_at: float | None = None
        self._changed = False
        self._asking = asyncio.Lock()

    async def load(self) -> Silences:
        """All silences, as they were two seconds ago or later.

        Where the database is away they stay as they were. Raises DatabaseUnavailable if they were
        never read.
        """
        if self._is_old():
            async with self._asking:
                if self._is_old():  # whoever waited has it from the one before
                    await self._keep_up()
        return self._known

    def forget(self) -> None:
        """Ask the database again before the next answer: something changed."""
        self._changed = True

    def _is_old(self) -> bool:
        now = asyncio.get_running_loop().time()
        return self._changed or self._asked_at is None or now - self._asked_at >= RELOAD_SECONDS

    async def _keep_up(self) -> None:
        try:
            await self._reload()
        except UNAVAILABLE as away:
            if self._stand is None:
                raise
            self._asked_at = asyncio.get_running_loop().time()
            logger.warning("the silences can't be read just now", error=str(away))

    async def _reload(self) -> None:
        asked_at = asyncio.get_running_loop().time()
        self._changed = False
        async with self.db.read() as conn:
            stand = await store.stand(conn)
            found = await store.load_all(conn) if stand != self._stand else None
        if found is not None:
            self._known = readable(found)
        self._stand, self._asked_at = stand, asked_at


def readable(silences: Iterable[Silence]) -> Silences:
    """These compiled, without those that this version can't read; the others must still hold."""
    kept: list[Silence] = []
    for one in silences:
        try:
            compiled_silences([one])
        except ValueError as error:
            logger.error("a stored silence can't be read", silence=one.id, error=str(error))
        else:
            kept.append(one)
    return compiled_silences(kept)
