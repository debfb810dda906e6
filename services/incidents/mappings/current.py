"""The mappings in memory, compiled, so that a post by one costs no query."""

from collections.abc import Mapping

import structlog
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.mappings import store
from services.incidents.mappings.document import MappingDocument
from services.incidents.mappings.mapping import MappingUnknown, SenderMapping, mapping_of
from shared.database import Database
from shared.remembered import Remembered

logger = structlog.get_logger(__name__)

Known = Mapping[str, SenderMapping]


class Mappings:
    """Answers how a sender's bodies are to be read."""

    def __init__(self, db: Database) -> None:
        self._remembered = Remembered("mappings", db, read)

    async def load(self, name: str) -> SenderMapping:
        """The mapping of that name. Raises MappingUnknown, and DatabaseUnavailable if none was ever read."""
        known = (await self._remembered.get()).get(name)
        if known is None:
            raise MappingUnknown(name)
        return known

    def forget(self) -> None:
        """Ask the database again before the next answer: something changed."""
        self._remembered.forget()


async def read(conn: AsyncConnection, known: Known | None) -> Known:
    """What the database says now. Compiles only what changed."""
    versions = await store.versions(conn)
    kept = {name: one for name, one in (known or {}).items() if versions.get(name) == one.version}
    for one in await store.load_all(conn, versions.keys() - kept.keys()):
        try:
            document = MappingDocument.model_validate(one.document)
        except ValidationError as error:  # put by another version; the others must still hold
            logger.error("a stored mapping can't be read", mapping=one.name, error=str(error))
        else:
            kept[one.name] = mapping_of(one.name, one.version, document)
    return kept
