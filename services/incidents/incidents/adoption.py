"""Adoption: incidents of a service that nobody had claimed follow once the catalog knows it."""

from sqlalchemy import literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.catalog import store as catalog
from services.incidents.catalog.domain import UNASSIGNED
from services.incidents.catalog.store import service_names, services
from services.incidents.incidents import commands
from services.incidents.incidents.domain import AssignService
from services.incidents.incidents.store import MANY, incident_of, incidents
from shared.context import Context

_ADOPTABLE = (
    select(incidents)
    .join(service_names, service_names.c.claimed == incidents.c.claimed_service)
    .join(services, services.c.name == service_names.c.name)
    .where(
        # Written out, not bound: only so does SQLite use the partial index.
        incidents.c.product == literal_column(f"'{UNASSIGNED}'"),
        services.c.product != UNASSIGNED,
    )
)


async def waiting(conn: AsyncConnection) -> bool:
    """Is there any incident to adopt?"""
    return (await conn.execute(_ADOPTABLE.limit(1))).first() is not None


async def adopt(conn: AsyncConnection, ctx: Context) -> int:
    """Assign unclaimed incidents whose claimed name the catalog knows by now, at most 500.

    In the caller's transaction. Returns how many; call again for the rest. Idempotent.
    """
    found = [incident_of(row) for row in await conn.execute(_ADOPTABLE.limit(MANY))]
    entries = await catalog.resolve(conn, {one.claimed_service or "" for one in found})
    changes = [
        commands.after(
            commands.unchanged(incident, ctx),
            AssignService(
                max(ctx.now, incident.opened_at), entries[incident.claimed_service or ""]
            ),
        )
        for incident in found
    ]
    await commands.record(conn, [change for change in changes if change.entries])
    # failpoint: adoption.assigned
    return len(found)
