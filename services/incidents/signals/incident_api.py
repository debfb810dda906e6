"""HTTP of incidents together with their signals: one incident whole, its signals, all in numbers."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from services.incidents.incidents import queries as incidents
from services.incidents.incidents.views import IncidentDetailView, IncidentSummaryView
from services.incidents.signals import queries
from services.incidents.signals.queries import SignalView
from shared.context import Context
from shared.http.context import Db, needs
from shared.http.pages import Cursor, Limit, Page

router = APIRouter(tags=["incidents"])

Reader = Annotated[Context, needs("incidents:read")]
IncidentId = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]


@router.get("/v1/incidents/summary", summary="Incidents and signals in numbers")
async def read_summary(
    ctx: Reader, db: Db, source: Annotated[str | None, Query(max_length=200)] = None
) -> IncidentSummaryView:
    """Of everything, or of what one source said."""
    async with db.read() as conn:
        counted = await queries.count_all(conn, source)
        return await incidents.summary(conn, counted.signals, counted.repeats, source)


@router.get("/v1/incidents/{incident_id}", summary="Read an incident")
async def read_incident(
    incident_id: IncidentId, ctx: Reader, db: Db, response: Response
) -> IncidentDetailView:
    """With its theme and the roadmap item that deals with it, once other services have said so."""
    async with db.read() as conn:
        incident = incidents.listed(await incidents.row_of(conn, incident_id))
        counted = await queries.count_of(conn, incident_id)
        # What is silenced, or a part of another, is evidence of no theme, though it may have been.
        hidden = incident.silenced_by or incident.parent_id
        theme_id = None if hidden else await incidents.theme_of(conn, incident_id)
        detail = IncidentDetailView(
            **dict(incident),
            episodes=await incidents.episodes_of(conn, incident_id),
            signals=counted.signals,
            repeats=counted.repeats,
            truncated=counted.truncated,
            theme_id=theme_id,
            item=await incidents.item_of(conn, theme_id) if theme_id else None,
        )
    response.headers["ETag"] = f'"{detail.version}"'
    return detail


@router.get("/v1/incidents/{incident_id}/signals", summary="The signals of an incident")
async def read_signals(
    incident_id: IncidentId, ctx: Reader, db: Db, limit: Limit = 50, cursor: Cursor = None
) -> Page[SignalView]:
    async with db.read() as conn:
        await incidents.row_of(conn, incident_id)
        return await queries.list_signals(conn, incident_id=incident_id, limit=limit, cursor=cursor)
