"""HTTP of changes: record one, list them, and those that came before an incident."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.changes import commands, queries
from services.incidents.changes.domain import Change, Kind, Recorded, State
from services.incidents.changes.queries import ChangeView, Filters
from shared.context import Context
from shared.http import command
from shared.http.context import Db, IdempotencyKey, needs
from shared.http.fields import Body, Happened, Line, Name, Planned
from shared.http.pages import Cursor, Limit, Page
from shared.ids import new_id

router = APIRouter(tags=["changes"])

Sender = Annotated[Context, needs("ingest")]
Reader = Annotated[Context, needs("incidents:read")]
Id = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
WebAddress = Annotated[
    str, StringConstraints(min_length=8, max_length=2_048, pattern=r"^https?://[^\s\x00]+$")
]
Details = Annotated[dict[Name, Line], Field(max_length=64)]


class ChangeBody(Body):
    """A change as a pipeline or a person tells it; only the title is needed."""

    title: Line
    kind: Kind = "deployment"
    service: Annotated[Name | None, Field(description="left out: it may concern every service")] = (
        None
    )
    at: Annotated[
        Happened | None, Field(description="when it came to this state; left out: now")
    ] = None
    state: State = "done"
    environment: Name | None = None
    revision: Annotated[Name | None, Field(description="a commit, a version")] = None
    url: WebAddress | None = None
    source: Name = "api"
    external_ref: Annotated[
        Name | None,
        Field(
            description="its id elsewhere; told again, it is the same change. Left out: a new one"
        ),
    ] = None
    details: Details = {}


@router.post(
    "/v1/changes",
    status_code=201,
    response_model=ChangeView,
    summary="Record a change",
    responses={200: {"model": ChangeView, "description": "It was told before"}},
)
async def record_change(
    request: Request, body: ChangeBody, ctx: Sender, key: IdempotencyKey = None
) -> Response:
    """A repeated (source, external_ref) is the same change, answered 200.

    Tell a deployment when it begins, and with the same reference when it is done or has failed.
    What was told of the latest moment holds, in whatever order it arrives.
    """
    told = Change(
        source=body.source,
        external_ref=body.external_ref or new_id("ref"),
        kind=body.kind,
        title=body.title,
        service=body.service,
        at=body.at or ctx.now,
        state=body.state,
        environment=body.environment,
        revision=body.revision,
        url=body.url,
        details=body.details,
    )
    new = True

    async def work(conn: AsyncConnection) -> Recorded:
        nonlocal new
        ((recorded, new),) = await commands.record(conn, [told], ctx)
        return recorded

    answer = await command.run(request, ctx, work, queries.shown, key=key, body=body, status=201)
    if not new:
        answer.status_code = 200
    return answer


@router.get("/v1/changes", summary="List changes, newest first")
async def list_changes(
    ctx: Reader,
    db: Db,
    service: Annotated[
        str | None, Query(max_length=200, description="by any name the catalog knows it by")
    ] = None,
    kind: Annotated[Kind | None, Query()] = None,
    since: Annotated[Planned | None, Query(description="begun then or later")] = None,
    until: Annotated[Planned | None, Query(description="begun earlier than that")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ChangeView]:
    filters = Filters(service=service, kind=kind, since=since, until=until)
    async with db.read() as conn:
        return await queries.list_changes(conn, filters, limit=limit, cursor=cursor)


@router.get("/v1/changes/{change_id}", summary="Read a change")
async def read_change(change_id: Id, ctx: Reader, db: Db) -> ChangeView:
    async with db.read() as conn:
        return await queries.change(conn, change_id)


@router.get("/v1/incidents/{incident_id}/changes", summary="What changed before an incident")
async def read_changes_before(
    incident_id: Id,
    ctx: Reader,
    db: Db,
    hours: Annotated[int, Query(ge=1, le=168, description="before it opened")] = 24,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ChangeView]:
    """Changes of the incident's service, and of no service in particular; the latest first."""
    async with db.read() as conn:
        return await queries.before_incident(
            conn, incident_id, hours=hours, limit=limit, cursor=cursor
        )
