"""Reads of changes, straight from SQL to the answer.

Senders name services as they like. A change keeps the name it came with, and the catalog is asked
when changes are looked for, so that what it learns later counts for changes of before.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.catalog.store import service_names
from services.incidents.changes.domain import Kind, Recorded, State
from services.incidents.changes.store import changes
from services.incidents.incidents import queries as incidents
from shared.http.fields import View
from shared.http.pages import Page, page_of, values_of
from shared.refusals import NotFound


class ChangeUnknown(NotFound):
    """No change of that id."""


class ChangeView(View):
    """A change. `at` is when it began, `stated_at` when it came to be as it is shown."""

    id: str
    source: str
    external_ref: str
    kind: Kind
    title: str
    service: str | None
    """As its sender names it."""
    at: datetime
    stated_at: datetime
    state: State
    environment: str | None
    revision: str | None
    url: str | None
    details: dict[str, str]
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Filters:
    """Which changes to list; what is None filters nothing."""

    service: str | None = None
    kind: Kind | None = None
    since: datetime | None = None
    until: datetime | None = None


def view(row: Row[Any]) -> ChangeView:
    return ChangeView.model_validate(values_of(row))


def shown(recorded: Recorded) -> ChangeView:
    """The answer to a command that left the change so."""
    told = recorded.told
    return ChangeView(
        id=recorded.id,
        source=told.source,
        external_ref=told.external_ref,
        kind=told.kind,
        title=told.title,
        service=told.service,
        at=recorded.at,
        stated_at=told.at,
        state=told.state,
        environment=told.environment,
        revision=told.revision,
        url=told.url,
        details=dict(told.details),
        recorded_at=recorded.recorded_at,
    )


async def change(conn: AsyncConnection, change_id: str) -> ChangeView:
    """The change of that id. Raises ChangeUnknown."""
    row = (await conn.execute(select(changes).where(changes.c.id == change_id))).one_or_none()
    if row is None:
        raise ChangeUnknown(f"There is no change {change_id!r}; GET /v1/changes lists them.")
    return view(row)


async def list_changes(
    conn: AsyncConnection, filters: Filters, *, limit: int, cursor: str | None
) -> Page[ChangeView]:
    """Changes, last begun first. `since` is included, `until` is not."""
    query = select(changes)
    if filters.service is not None:
        query = query.where(changes.c.service.in_(await _names(conn, filters.service)))
    if filters.kind is not None:
        query = query.where(changes.c.kind == filters.kind)
    if filters.since is not None:
        query = query.where(changes.c.at >= filters.since)
    if filters.until is not None:
        query = query.where(changes.c.at < filters.until)
    return await page_of(
        conn, query, [changes.c.at, changes.c.id], limit=limit, cursor=cursor, view=view
    )


async def before_incident(
    conn: AsyncConnection, incident_id: str, *, hours: int, limit: int, cursor: str | None
) -> Page[ChangeView]:
    """What began in these hours before the incident opened, last first. Raises IncidentUnknown.

    Of the incident's service by any of its names, or of no service: that may concern each.
    """
    incident = await incidents.row_of(conn, incident_id)
    names = await _names(conn, incident.service)
    query = select(changes).where(
        changes.c.at >= incident.opened_at - timedelta(hours=hours),
        changes.c.at <= incident.opened_at,
        changes.c.service.in_(names) | changes.c.service.is_(None),
    )
    return await page_of(
        conn, query, [changes.c.at, changes.c.id], limit=limit, cursor=cursor, view=view
    )


async def _names(conn: AsyncConnection, claimed: str) -> list[str]:
    """Every name of the service that the catalog knows by this one; only this one otherwise."""
    entry = select(service_names.c.name).where(service_names.c.claimed == claimed)
    query = select(service_names.c.claimed).where(service_names.c.name == entry.scalar_subquery())
    return sorted({claimed, *(await conn.execute(query)).scalars()})
