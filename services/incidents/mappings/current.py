"""The mappings in memory, compiled, so that a post by one costs no query.

The database is asked again after two seconds, by the first post that comes then, and at once after
a change in this process: a mapping that was put elsewhere holds here two seconds later.
"""

import asyncio

import structlog
from pydantic import ValidationError

from services.incidents.mappings import store
from services.incidents.mappings.document import MappingDocument
from services.incidents.mappings.mapping import MappingUnknown, SenderMapping, mapping_of
from shared.database import UNAVAILABLE, Database

logger = structlog.get_logger(__name__)

RELOAD_SECONDS = 2.0


class Mappings:
    """Answers how a sender's bodies are to be read."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._known: dict[str, SenderMapping] = {}
        self._asked_at: float | None = None
        self._changed = False
        self._asking = asyncio.Lock()

    async def load(self, name: str) -> SenderMapping:
        """The mapping of that name. Raises MappingUnknown.

        Where the database is away the mappings stay as they were. Raises DatabaseUnavailable if
        they were never read.
        """
        if self._is_old():
            async with self._asking:
                if self._is_old():  # whoever waited has it from the one before
                    await self._keep_up()
        known = self._known.get(name)
        if known is None:
            raise MappingUnknown(name)
        return known

    async def reload(self) -> None:
        """Take over what the database says now. Compiles only what changed."""
        asked_at = asyncio.get_running_loop().time()
        self._changed = False
        async with self.db.read() as conn:
            versions = await store.versions(conn)
            kept = {
                name: one for name, one in self._known.items() if versions.get(name) == one.version
            }
            changed = await store.load_all(conn, versions.keys() - kept.keys())
        for one in changed:
            try:
                document = MappingDocument.model_validate(one.document)
            except ValidationError as error:  # put by another version; the others must still hold
                logger.error("a stored mapping can't be read", mapping=one.name, error=str(error))
            else:
                kept[one.name] = mapping_of(one.name, one.version, document)
        self._known = kept
        self._asked_at = asked_at

    def forget(self) -> None:
        """Ask the database again before the next answer: something changed."""
        self._changed = True

    def _is_old(self) -> bool:
        now = asyncio.get_running_loop().time()
        return self._changed or self._asked_at is None or now - self._asked_at >= RELOAD_SECONDS

    async def _keep_up(self) -> None:
        try:
            await self.reload()
        except UNAVAILABLE as away:
            if self._asked_at is None:
                raise
            self._asked_at = asyncio.get_running_loop().time()
            logger.warning("the mappings can't be read just now", error=str(away))
