"""Somebody is on it, as an alert's sender says: the alert's open incident is acknowledged."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import select

from services.incidents.incidents import commands
from services.incidents.incidents.domain import Acknowledge
from services.incidents.incidents.store import incident_of, incidents
from services.incidents.signals.signal import Acknowledgement
from shared.context import Context
from shared.database import Database


async def acknowledge(db: Database, said: Sequence[Acknowledgement], ctx: Context) -> None:
    """Do so in one transaction. Where none is open nothing happens; told again, neither."""
    async with db.begin() as conn:
        for one in said:
            query = select(incidents).where(
                incidents.c.source == one.source,
                incidents.c.fingerprint == one.fingerprint,
                incidents.c.state == "open",
            )
            for incident in map(incident_of, (await conn.execute(query)).all()):
                at = max(one.at, incident.reopened_at or incident.opened_at)
                by = replace(ctx, actor=one.by)
                await commands.handle(conn, incident.id, Acknowledge(at, one.by), by)
