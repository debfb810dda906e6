"""HTTP of incidents: open, import, list, timeline. `steps_api.py` has what is done to one."""

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Path, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.catalog import store as catalog
from services.incidents.incidents import commands, export, importing, queries
from services.incidents.incidents.bodies import (
    ImportedIncidentBody,
    IncidentBody,
    IncidentHistoryBody,
    IncidentImportBody,
    IncidentLinkBody,
)
from services.incidents.incidents.domain import OpenIncident
from services.incidents.incidents.importing import HistoryEntry, Imported, ImportIncident
from services.incidents.incidents.incident import Incident, Link, State
from services.incidents.incidents.queries import Filters
from services.incidents.incidents.views import (
    IncidentEntryView,
    IncidentView,
    ListedIncidentView,
    shown,
)
from shared.context import Context
from shared.contracts.incidents import IncidentOpened, IncidentReopened, IncidentResolved, Severity
from shared.http import command
from shared.http.context import Db, IdempotencyKey, needs
from shared.http.fields import Planned, View
from shared.http.pages import Cursor, Limit, Page
from shared.ids import new_id

router = APIRouter(tags=["incidents"])

Reader = Annotated[Context, needs("incidents:read")]
Writer = Annotated[Context, needs("incidents:write")]
IncidentId = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
Named = Annotated[str | None, Query(max_length=200)]


class ImportedIncidentView(View):
    """What became of one item of an import; `skipped` entries changed nothing here."""

    external_ref: str
    incident_id: str
    status: Literal["created", "updated", "unchanged"]
    skipped: int


class IncidentImportView(View):
    """What an import did. Every item was taken in."""

    items: list[ImportedIncidentView]
    opened: int
    resolved: int
    reopened: int


@router.post(
    "/v1/incidents",
    status_code=201,
    response_model=IncidentView,
    summary="Open an incident",
    responses={200: {"model": IncidentView, "description": "It was opened before"}},
)
async def open_incident(
    request: Request, body: IncidentBody, ctx: Writer, key: IdempotencyKey = None
) -> Response:
    """A repeated (source, external_ref) is the same incident: answered 200, and nothing changes."""
    opened = True

    async def work(conn: AsyncConnection) -> Incident:
        nonlocal opened
        claimed = [body.service] if body.service else []
        entry = (await catalog.resolve(conn, claimed)).get(body.service or "")
        wanted = OpenIncident(
            id=new_id("inc"),
            source=body.source,
            title=body.title,
            severity=body.severity,
            opened_at=body.opened_at or ctx.now,
            claimed_service=body.service,
            entry=entry,
            description=body.description,
            customers_affected=body.customers_affected,
            labels=body.labels,
            links=_links(body.links),
            external_ref=body.external_ref,
        )
        incident, opened = await commands.open_incident(conn, wanted, ctx)
        return incident

    answer = await command.run(request, ctx, work, shown, key=key, body=body, status=201)
    if not opened:
        answer.status_code = 200
    return answer


@router.post(
    "/v1/incidents/import",
    response_model=IncidentImportView,
    summary="Import incidents with their histories",
)
async def import_incidents(request: Request, body: IncidentImportBody, ctx: Writer) -> Response:
    """At most 500 at a time, all or none. Import again whenever the other tool knows more."""
    wanted = [_to_import(one) for one in body.incidents]
    return await command.run(
        request, ctx, lambda conn: importing.import_incidents(conn, wanted, ctx), _imported
    )


@router.get(
    "/v1/incidents",
    response_model=Page[ListedIncidentView],
    summary="List incidents, newest first",
    responses={200: {"content": {"text/csv": {}}}},
)
async def list_incidents(
    ctx: Reader,
    db: Db,
    state: Annotated[list[State] | None, Query(max_length=5)] = None,
    severity: Annotated[list[Severity] | None, Query(max_length=4)] = None,
    service: Named = None,
    product: Named = None,
    assignee: Named = None,
    source: Named = None,
    opened_after: Annotated[Planned | None, Query(description="then or later")] = None,
    opened_before: Annotated[Planned | None, Query(description="earlier than that")] = None,
    q: Annotated[
        str | None,
        Query(max_length=500, description="words in title, description, labels, comments"),
    ] = None,
    silenced: Annotated[
        Literal["true", "false", "any"], Query(description="only those, none of those, or all")
    ] = "any",
    parent: Annotated[
        str | None, Query(max_length=200, description="only what is a part of this incident")
    ] = None,
    top: Annotated[
        Literal["true", "false", "any"],
        Query(description="only what is part of no other incident, only what is, or all"),
    ] = "any",
    sort: Annotated[
        Literal["opened", "updated"], Query(description="newest by opening, or by last change")
    ] = "opened",
    limit: Limit = 50,
    cursor: Cursor = None,
    format: Annotated[Literal["json", "csv"] | None, Query()] = None,
    accept: Annotated[str, Header(max_length=500)] = "",
) -> Page[ListedIncidentView] | Response:
    """As CSV with `format=csv` or `Accept: text/csv`; the header `X-Next-Cursor` leads on."""
    filters = Filters(
        states=state or (),
        severities=severity or (),
        service=service,
        product=product,
        assignee=assignee,
        source=source,
        opened_after=opened_after,
        opened_before=opened_before,
        words=q,
        silenced=None if silenced == "any" else silenced == "true",
        parent=parent,
        top=None if top == "any" else top == "true",
    )
    async with db.look() as conn:
        page = await queries.list_incidents(conn, filters, sort=sort, limit=limit, cursor=cursor)
    if format == "csv" or (format is None and accept.startswith("text/csv")):
        headers = {"X-Next-Cursor": page.next} if page.next else None
        return Response(export.to_csv(page.items), 200, headers, media_type="text/csv")
    return page


@router.get("/v1/incidents/{incident_id}/timeline", summary="What happened to an incident")
async def read_timeline(
    incident_id: IncidentId, ctx: Reader, db: Db, limit: Limit = 50, cursor: Cursor = None
) -> Page[IncidentEntryView]:
    """In the order in which we heard of it; `at` says when each thing happened."""
    async with db.read() as conn:
        return await queries.entries(conn, incident_id, limit=limit, cursor=cursor)


def _links(links: list[IncidentLinkBody]) -> tuple[Link, ...]:
    return tuple(dict.fromkeys(Link(link.kind, link.reference) for link in links))


def _to_import(body: ImportedIncidentBody) -> ImportIncident:
    opening = OpenIncident(
        id=new_id("inc"),
        source=body.source,
        title=body.title,
        severity=body.severity,
        opened_at=body.opened_at,
        claimed_service=body.service,
        alert_name=body.alert_name,
        description=body.description,
        customers_affected=body.customers_affected,
        labels=body.labels,
        links=_links(body.links),
        external_ref=body.external_ref,
    )
    return ImportIncident(opening, [_to_history(entry) for entry in body.history])


def _to_history(body: IncidentHistoryBody) -> HistoryEntry:
    return HistoryEntry(
        kind=body.kind,
        at=body.at,
        by=body.by,
        severity=body.severity,
        assignee=body.assignee,
        service=body.service,
        link=Link(body.link.kind, body.link.reference) if body.link else None,
        text=body.text,
        customers_affected=body.customers_affected,
        revenue_at_risk=body.revenue_at_risk,
        responder_hours=body.responder_hours,
    )


def _imported(results: list[Imported]) -> IncidentImportView:
    changes = {one.incident_id: one.change for one in results}.values()
    events = [type(entry.event) for change in changes for entry in change.entries]
    return IncidentImportView(
        items=[ImportedIncidentView.model_validate(one) for one in results],
        opened=events.count(IncidentOpened),
        resolved=events.count(IncidentResolved),
        reopened=events.count(IncidentReopened),
    )
