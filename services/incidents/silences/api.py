"""HTTP of silences: make, read and end them, and see what they would have silenced."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from services.incidents.incidents.views import IncidentView
from services.incidents.incidents.views import shown as shown_incident
from services.incidents.signals.silence_preview import MOST_SHOWN, look_back
from services.incidents.silences import commands, queries
from services.incidents.silences.bodies import SilenceBody, SilencePreviewBody
from services.incidents.silences.current import CurrentSilences
from services.incidents.silences.queries import SilenceView, State
from shared.context import Context
from shared.http import command
from shared.http.context import Db, IdempotencyKey, needs
from shared.http.fields import View
from shared.http.pages import Cursor, Limit, Page

router = APIRouter(tags=["silences"])

Reader = Annotated[Context, needs("incidents:read")]
Writer = Annotated[Context, needs("incidents:write")]
SilenceId = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]

LOOK_BACK = timedelta(days=7)


class SilencePreviewView(View):
    """What the silence would have silenced of the incidents opened between `since` and `until`."""

    since: datetime
    until: datetime
    as_if_since: datetime | None
    """Set when it begins in the future: it was looked at as though it had begun then."""
    complete: bool
    """False when there were too many incidents to look at all of them: the newest were."""
    incidents: int
    """All of which it would have silenced."""
    signals: int
    """Stored signals of alerts that began while it would have held."""
    newest: list[IncidentView]
    """Of those incidents, a hundred at most."""


@router.post("/v1/silences", status_code=201, response_model=SilenceView, summary="Make a silence")
async def make_silence(
    request: Request, body: SilenceBody, ctx: Writer, key: IdempotencyKey = None
) -> Response:
    """What begins in it, by when it began, opens incidents that count for nothing and are marked so.

    They are heard as soon as it fires where no silence holds. What was heard of before stays as it is.
    """
    silence = body.silence(body.comment, body.starts_at or ctx.now, ctx)
    answer = await command.run(
        request,
        ctx,
        lambda conn: commands.make(conn, silence, ctx),
        lambda made: queries.shown(made, ctx.now),
        key=key,
        body=body,
        status=201,
    )
    _forget(request)
    return answer


@router.get("/v1/silences", summary="List silences, last made first")
async def list_silences(
    ctx: Reader,
    db: Db,
    state: Annotated[State | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[SilenceView]:
    async with db.read() as conn:
        return await queries.list_silences(conn, state, ctx.now, limit=limit, cursor=cursor)


@router.post("/v1/silences/preview", summary="See what a silence would have silenced")
async def preview_silence(body: SilencePreviewBody, ctx: Reader, db: Db) -> SilencePreviewView:
    """Nothing is made. One that begins in the future is looked at as though it had held all along."""
    since = body.since or ctx.now - LOOK_BACK
    starts_at = body.starts_at or ctx.now
    silence = body.silence("", starts_at, ctx)
    seen = await look_back(db, silence, since, ctx.now)
    return SilencePreviewView(
        since=since,
        until=ctx.now,
        as_if_since=since if starts_at >= ctx.now else None,
        complete=seen.complete,
        incidents=seen.incidents,
        signals=seen.signals,
        newest=[shown_incident(one) for one in seen.newest[:MOST_SHOWN]],
    )


@router.get("/v1/silences/{silence_id}", summary="Read a silence")
async def read_silence(silence_id: SilenceId, ctx: Reader, db: Db) -> SilenceView:
    async with db.read() as conn:
        return await queries.silence(conn, silence_id, ctx.now)


@router.post(
    "/v1/silences/{silence_id}/end", response_model=SilenceView, summary="End a silence now"
)
async def end_silence(request: Request, silence_id: SilenceId, ctx: Writer) -> Response:
    """What still fires in it is heard within seconds, as of now."""
    answer = await command.run(
        request,
        ctx,
        lambda conn: commands.end(conn, silence_id, ctx),
        lambda ended: queries.shown(ended, ctx.now),
    )
    _forget(request)
    return answer


def _forget(request: Request) -> None:
    silences: CurrentSilences = request.app.state.silences
    silences.forget()
