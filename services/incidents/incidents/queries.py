"""Reads of incidents, straight from SQL to the answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Row, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.incidents import search
from services.incidents.incidents.episodes import episodes
from services.incidents.incidents.incident import OPEN_STATES, State
from services.incidents.incidents.refusals import IncidentUnknown
from services.incidents.incidents.store import incidents, timeline
from services.incidents.incidents.themes import incident_themes, items, theme_items
from services.incidents.incidents.views import (
    IncidentEntryView,
    IncidentItemView,
    IncidentSummaryView,
    IncidentView,
    ListedIncidentView,
)
from shared.contracts.incidents import Severity
from shared.http.pages import Page, page_of, values_of


@dataclass(frozen=True, slots=True)
class Filters:
    """Which incidents to list; what is None filters nothing."""

    states: Sequence[State] = ()
    severities: Sequence[Severity] = ()
    service: str | None = None
    product: str | None = None
    assignee: str | None = None
    source: str | None = None
    opened_after: datetime | None = None
    opened_before: datetime | None = None
    words: str | None = None
    silenced: bool | None = None
    parent: str | None = None
    top: bool | None = None
    """Those that are part of no other, or those that are."""


_children = incidents.alias("children")
_CHILDREN = (
    select(func.count())
    .where(_children.c.parent_id == incidents.c.id)
    .correlate(incidents)
    .scalar_subquery()
    .label("children")
)


def view(row: Row[Any]) -> IncidentView:
    return IncidentView.model_validate(values_of(row))


def listed(row: Row[Any]) -> ListedIncidentView:
    return ListedIncidentView.model_validate(row)


async def row_of(conn: AsyncConnection, incident_id: str) -> Row[Any]:
    """The incident's row. Raises IncidentUnknown."""
    query = select(incidents, _CHILDREN).where(incidents.c.id == incident_id)
    row = (await conn.execute(query)).one_or_none()
    if row is None:
        raise IncidentUnknown(
            f"There is no incident {incident_id!r}; GET /v1/incidents lists them."
        )
    return row


async def list_incidents(
    conn: AsyncConnection,
    filters: Filters,
    *,
    sort: Literal["opened", "updated"],
    limit: int,
    cursor: str | None,
) -> Page[ListedIncidentView]:
    """Incidents, newest first by when they were opened or when they last changed."""
    moment = incidents.c.opened_at if sort == "opened" else incidents.c.updated_at
    return await page_of(
        conn,
        _filtered(conn, filters),
        [moment, incidents.c.id],
        limit=limit,
        cursor=cursor,
        view=listed,
    )


def _filtered(conn: AsyncConnection, filters: Filters) -> Select[Any]:
    query = select(incidents, _CHILDREN)
    if filters.states:
        query = query.where(incidents.c.state.in_(filters.states))
    if filters.severities:
        query = query.where(incidents.c.severity.in_(filters.severities))
    for name in ("service", "product", "assignee", "source"):
        wanted = getattr(filters, name)
        if wanted is not None:
            query = query.where(incidents.c[name] == wanted)
    if filters.opened_after is not None:
        query = query.where(incidents.c.opened_at >= filters.opened_after)
    if filters.opened_before is not None:
        query = query.where(incidents.c.opened_at < filters.opened_before)
    if filters.silenced is not None:
        silenced = incidents.c.silenced_by.is_not(None)
        query = query.where(silenced if filters.silenced else ~silenced)
    if filters.parent is not None:
        query = query.where(incidents.c.parent_id == filters.parent)
    if filters.top is not None:
        by_itself = incidents.c.parent_id.is_(None)
        query = query.where(by_itself if filters.top else ~by_itself)
    if filters.words is not None:
        query = query.where(search.matching(conn.dialect, filters.words))
    return query


async def theme_of(conn: AsyncConnection, incident_id: str) -> str | None:
    """The theme that the incident is evidence of, as far as was heard."""
    query = select(incident_themes.c.theme_id).where(incident_themes.c.incident_id == incident_id)
    return (await conn.execute(query)).scalar_one_or_none()


async def item_of(conn: AsyncConnection, theme_id: str) -> IncidentItemView | None:
    """The newest roadmap item for the theme that wasn't cancelled."""
    query = (
        select(items)
        .join(theme_items, theme_items.c.item_id == items.c.item_id)
        .where(theme_items.c.theme_id == theme_id, items.c.state != "cancelled")
        .order_by(items.c.item_id.desc())
        .limit(1)
    )
    row = (await conn.execute(query)).one_or_none()
    return IncidentItemView.model_validate(row) if row else None


async def episodes_of(conn: AsyncConnection, incident_id: str) -> int:
    """How many episodes the incident has."""
    query = select(func.count()).where(episodes.c.incident_id == incident_id)
    return (await conn.execute(query)).scalar_one()


async def entries(
    conn: AsyncConnection, incident_id: str, *, limit: int, cursor: str | None
) -> Page[IncidentEntryView]:
    """The incident's timeline in the order in which it was recorded. Raises IncidentUnknown."""
    await row_of(conn, incident_id)
    query = select(timeline).where(timeline.c.incident_id == incident_id)
    return await page_of(
        conn,
        query,
        [timeline.c.version],
        limit=limit,
        cursor=cursor,
        view=_entry,
        descending=False,
    )


def _entry(row: Row[Any]) -> IncidentEntryView:
    kept: dict[str, Any] = row.data.get("kept", {})
    told = {name: value for name, value in row.data.items() if name != "kept"}
    return IncidentEntryView(
        version=row.version,
        kind=row.kind,
        at=row.at,
        recorded_at=row.recorded_at,
        actor=row.actor,
        data={**told, **kept},
    )


async def summary(
    conn: AsyncConnection, signals: int, repeats: int, source: str | None = None
) -> IncidentSummaryView:
    """The incidents in numbers, of one source or of all, beside those of the signals."""
    query = select(
        incidents.c.severity,
        incidents.c.state.in_(OPEN_STATES).label("is_open"),
        func.count().label("count"),
        func.sum(incidents.c.resolutions).label("resolutions"),
        func.sum(incidents.c.reopenings).label("reopenings"),
        func.count(incidents.c.silenced_by).label("silenced"),
        func.count(incidents.c.parent_id).label("correlated"),
        func.count().filter(incidents.c.resolutions > 0).label("resolved"),
        func.count().filter(incidents.c.reopenings > 0).label("reopened"),
    ).group_by(incidents.c.severity, "is_open")
    if source is not None:
        query = query.where(incidents.c.source == source)
    rows = (await conn.execute(query)).all()
    by_severity: dict[Severity, int] = {"critical": 0, "high": 0, "medium": 0, "low": 0}
    open_by_severity = dict(by_severity)
    for row in rows:
        by_severity[row.severity] += row[2]
        if row.is_open:
            open_by_severity[row.severity] += row[2]
    total, still_open = sum(by_severity.values()), sum(open_by_severity.values())
    return IncidentSummaryView(
        signals=signals,
        repeats=repeats,
        incidents=total,
        open=still_open,
        opened=total,
        resolved=sum(row.resolved for row in rows),
        reopened=sum(row.reopened for row in rows),
        resolutions=sum(row.resolutions for row in rows),
        reopenings=sum(row.reopenings for row in rows),
        silenced=sum(row.silenced for row in rows),
        correlated=sum(row.correlated for row in rows),
        by_severity=by_severity,
        open_by_severity=open_by_severity,
    )
