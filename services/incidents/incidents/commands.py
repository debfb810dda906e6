"""Changes of incidents, in the caller's transaction."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.catalog import store as catalog
from services.incidents.incidents import domain, episodes, search, store
from services.incidents.incidents.domain import Command, OpenIncident
from services.incidents.incidents.incident import Entry, Incident, begin, evolve
from services.incidents.incidents.refusals import (
    AlertHasOpenIncident,
    IncidentUnknown,
    ServiceNotInCatalog,
)
from services.incidents.incidents.store import Change
from shared.context import Context
from shared.outbox import publish
from shared.refusals import VersionMismatch


async def record(conn: AsyncConnection, changes: Sequence[Change]) -> None:
    """Save incidents, make them findable and publish what happened to each, in order."""
    await store.save(conn, changes)
    await search.index(conn, changes)
    await publish(
        conn,
        [
            change.ctx.about(change.incident.id).event(
                entry.event, subject=change.incident.id, version=version, at=entry.event.at
            )
            for change in changes
            for version, entry in enumerate(change.entries, start=change.first_version)
        ],
    )


def opening(command: OpenIncident, ctx: Context) -> Change:
    """The change that opens an incident; nothing is written yet."""
    entry = domain.opened(command)
    return Change(begin(entry), None, [entry], ctx)


def after(change: Change, command: Command) -> Change:
    """The change with what `command` makes of it added; nothing is written yet. May refuse."""
    entries = domain.decide(change.incident, command)
    return Change(
        folded(change.incident, entries), change.was, [*change.entries, *entries], change.ctx
    )


def unchanged(incident: Incident, ctx: Context) -> Change:
    """The start of a change of a loaded incident."""
    return Change(incident, incident.version, [], ctx)


def folded(incident: Incident, entries: Sequence[Entry]) -> Incident:
    """The incident after these entries."""
    for entry in entries:
        incident = evolve(incident, entry)
    return incident


async def open_incident(
    conn: AsyncConnection, command: OpenIncident, ctx: Context
) -> tuple[Incident, bool]:
    """Open an incident; or give the one that this (source, external_ref) opened before, and False.

    The service is looked up in the catalog by the name that the caller claims.
    """
    if command.external_ref is not None:
        known = select(store.incidents).where(
            store.incidents.c.source == command.source,
            store.incidents.c.external_ref == command.external_ref,
        )
        if (row := (await conn.execute(known)).one_or_none()) is not None:
            return store.incident_of(row), False
    change = opening(command, ctx)
    await record(conn, [change])
    return change.incident, True


async def handle(
    conn: AsyncConnection,
    incident_id: str,
    command: Command,
    ctx: Context,
    *,
    expected: int | None = None,
) -> Incident:
    """Ask something of an incident; what is so already changes and publishes nothing.

    Raises IncidentUnknown, VersionMismatch when `expected` is not the stored version, or the
    refusal of the rules.
    """
    incident = (await store.load(conn, [incident_id])).get(incident_id)
    if incident is None:
        raise IncidentUnknown(
            f"There is no incident {incident_id!r}; GET /v1/incidents lists them."
        )
    if expected is not None and incident.version != expected:
        raise VersionMismatch(
            f"Incident {incident_id} is at version {incident.version}, not {expected}; read it again."
        )
    change = after(unchanged(incident, ctx), command)
    if isinstance(command, domain.Reopen):
        await _no_other_open(conn, incident)
    if change.entries:
        await record(conn, [change])
    if isinstance(command, domain.Resolve) and incident.fingerprint is not None:
        await episodes.end_all(conn, incident_id, command.at)
    return change.incident


async def moment_for(conn: AsyncConnection, incident_id: str, ctx: Context) -> datetime:
    """When a step happens of which nobody says when: now.

    But not before what it follows, should a sender's clock run ahead of ours.
    """
    incident = (await store.load(conn, [incident_id])).get(incident_id)
    if incident is None:
        return ctx.now
    known = (incident.opened_at, incident.resolved_at, incident.reopened_at)
    return max(ctx.now, *(moment for moment in known if moment is not None))


async def assign_service(
    conn: AsyncConnection,
    incident_id: str,
    claimed: str,
    at: datetime,
    ctx: Context,
    *,
    expected: int | None = None,
) -> Incident:
    """Say which catalog entry the incident is of, by its name or an alias. May refuse."""
    entry = (await catalog.resolve(conn, [claimed])).get(claimed)
    if entry is None:
        raise ServiceNotInCatalog(
            f"The catalog has no service {claimed!r}; register it with"
            " PUT /v1/catalog/services/{name}, then assign it."
        )
    command = domain.AssignService(at, entry)
    return await handle(conn, incident_id, command, ctx, expected=expected)


async def _no_other_open(conn: AsyncConnection, incident: Incident) -> None:
    if incident.fingerprint is None:
        return
    other = await store.open_of_alert(conn, incident.source, incident.fingerprint)
    if other is not None and other != incident.id:
        raise AlertHasOpenIncident(
            f"The alert behind {incident.id} has a newer incident open, {other}; work on that one."
        )
