"""Changes of mappings, in the caller's transaction."""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.mappings import store
from services.incidents.mappings.document import MappingDocument
from services.incidents.mappings.store import StoredMapping
from shared.context import Context
from shared.refusals import VersionMismatch


async def put(
    conn: AsyncConnection,
    name: str,
    document: MappingDocument,
    ctx: Context,
    *,
    expected: int | None = None,
) -> StoredMapping:
    """Enter or replace a mapping. Idempotent: an equal document changes nothing.

    Raises VersionMismatch when `expected` is given and is not the stored version.
    """
    current = await store.load(conn, name)
    if expected is not None and (current is None or current.version != expected):
        raise VersionMismatch(f"Mapping {name!r} is not at version {expected}; read it again.")
    stated = document.model_dump(mode="json", exclude_defaults=True)
    if current is not None and current.document == stated:
        return current
    version = current.version + 1 if current else 1
    changed = StoredMapping(name, stated, version, ctx.actor, ctx.now)
    await store.save(conn, changed, was=current.version if current else None)
    return changed
