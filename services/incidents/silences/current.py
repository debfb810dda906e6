"""The silences in memory, compiled, so that a signal costs no query."""

from collections.abc import Iterable

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.silences import store
from services.incidents.silences.cover import Silences, compiled_silences
from services.incidents.silences.domain import Silence
from shared.database import Database
from shared.remembered import Remembered

logger = structlog.get_logger(__name__)

Known = tuple[tuple[int, int], Silences]
"""The stand of the table, which differs after every change, and what it held then."""


class CurrentSilences:
    """Answers what is silenced."""

    def __init__(self, db: Database) -> None:
        self._remembered = Remembered("silences", db, read)

    async def load(self) -> Silences:
        """All silences, as they were two seconds ago or later.

        Where the database is away they stay as they were. Raises DatabaseUnavailable if they were
        never read.
        """
        return (await self._remembered.get())[1]

    def forget(self) -> None:
        """Ask the database again before the next answer: something changed."""
        self._remembered.forget()


async def read(conn: AsyncConnection, known: Known | None) -> Known:
    """What the database says now; what is known where nothing changed."""
    stand = await store.stand(conn)
    if known is not None and known[0] == stand:
        return known
    return stand, readable(await store.load_all(conn))


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
