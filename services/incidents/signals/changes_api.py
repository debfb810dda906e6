"""HTTP of senders that tell of changes: GitHub's webhooks, PagerDuty's change events."""

from dataclasses import replace

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from services.incidents.changes import commands
from services.incidents.changes.domain import Change
from services.incidents.signals import intake
from services.incidents.signals.adapters import github, pagerduty_change
from services.incidents.signals.hot_route import HotRoute
from services.incidents.signals.senders_api import BUSY, Sender, body
from services.incidents.signals.signal import BadBody
from shared import auth
from shared.auth import principal_of
from shared.bus.bus import Delivered, Partition
from shared.context import Context
from shared.dead_letters import Unreadable, set_aside
from shared.envelope import Record, UnreadableEvent
from shared.http.fields import JsonObject, View

router = APIRouter(tags=["changes"], route_class=HotRoute)


KEPT = ("x-github-event", "x-github-delivery", "content-type")


class ChangeTaken(View):
    """What became of a delivery; no id where there was nothing to record."""

    change_id: str | None


@router.post(
    "/v2/change/enqueue",
    status_code=202,
    response_model=JsonObject,
    responses=BUSY,
    summary="PagerDuty's change events",
    openapi_extra=body(
        "A change event",
        {"routing_key": "<the integration's key>", "payload": {"summary": "Deployed 1.2.3"}},
    ),
)
async def enqueue_change(request: Request, ctx: Sender) -> Response:
    """Recorded as a change, to be seen beside the incidents that follow it."""
    sent = await request.body()
    try:
        change = pagerduty_change.parse_change(sent, ctx.now)
    except BadBody as error:
        intake.refused("bad_body")
        return JSONResponse(pagerduty_change.refused(error), 400)
    await _record(request, change, ctx)
    return JSONResponse(pagerduty_change.taken(), 202)


@router.post(
    "/ingest/github",
    status_code=202,
    response_model=ChangeTaken,
    summary="GitHub's webhook: deployments and releases",
    description="Tick `Deployment statuses` and `Releases`; whatever else comes is accepted, and says"
    " nothing. What can't be read is kept among the dead letters: GitHub never sends again. With"
    " the integration's signing secret as the webhook's secret, `?integration=<id>` names it, and no key"
    " is needed.",
    openapi_extra=body("A delivery", {"action": "released", "release": {"tag_name": "v1.2.3"}}),
)
async def post_github(request: Request, ctx: Sender) -> Response:
    sent = await request.body()
    try:
        change = github.parse_change(sent, ctx.now, request.headers)
    except BadBody as error:
        intake.refused("bad_body")
        await _set_aside(request, sent, error)
        return JSONResponse({"change_id": None}, 202)
    recorded = await _record(request, change, ctx) if change else None
    return JSONResponse({"change_id": recorded}, 202)


async def _set_aside(request: Request, sent: bytes, why: BadBody) -> None:
    """GitHub never sends again: what can't be read is kept whole, among the dead letters."""
    kept = {name: request.headers[name] for name in KEPT if name in request.headers}
    key = request.headers.get("x-github-delivery", "")
    record = Record("/ingest/github", key, kept, sent)
    letter = Unreadable(Delivered(Partition(record.topic, 0), 0, record), UnreadableEvent(str(why)))
    async with request.app.state.db.begin() as conn:
        await set_aside(conn, "github", [letter])


async def _record(request: Request, change: Change, ctx: Context) -> str:
    """Keep it; returns its id."""
    principal = principal_of(request.scope)
    told = as_sent_by(change, principal.sender if principal else None)
    async with request.app.state.db.begin() as conn:
        (outcome,) = await commands.record(conn, [told], ctx)
    return outcome.recorded.id


def as_sent_by(change: Change, sender: auth.Sender | None) -> Change:
    """The same as of this sender: its source, and its service where none is named."""
    if sender is None:
        return change
    return replace(change, source=sender.source, service=change.service or sender.service)
