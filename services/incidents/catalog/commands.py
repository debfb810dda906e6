"""Changes of the catalog, in the caller's transaction."""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.catalog import store
from services.incidents.catalog.domain import RegisterService, Service, registered
from shared.context import Context
from shared.contracts.incidents import ServiceChanged, ServiceRegistered
from shared.outbox import publish
from shared.refusals import VersionMismatch


async def register(
    conn: AsyncConnection, command: RegisterService, ctx: Context, *, expected: int | None = None
) -> Service:
    """Enter or replace an entry. Idempotent: an equal entry changes and publishes nothing.

    Raises VersionMismatch when `expected` is given and is not the stored version.
    """
    current = await store.load(conn, command.name)
    if expected is not None and (current is None or current.version != expected):
        raise VersionMismatch(
            f"Service {command.name!r} is not at version {expected}; read it again."
        )
    entry = registered(current, command)
    if entry is current:
        return entry
    await store.save(conn, entry, was=current.version if current else None)
    contract = ServiceChanged if current else ServiceRegistered
    said = contract(
        name=entry.name,
        product=entry.product,
        owner=entry.owner,
        tier=entry.tier,
        dependencies=list(entry.dependencies),
        aliases=list(entry.aliases),
    )
    await publish(conn, [ctx.event(said, subject=entry.name, version=entry.version, at=ctx.now)])
    return entry
