"""HTTP of the trace."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request

from services.gateway.peers import Peers
from services.gateway.trace.road import Road, follow
from services.gateway.trace.stations import stations
from shared.context import Context
from shared.http.context import needs
from shared.http.fields import View
from shared.refusals import NotFound

router = APIRouter(tags=["trace"])

Reader = Annotated[Context, needs("incidents:read")]
AnyId = Annotated[
    str,
    Path(min_length=1, max_length=100, pattern=r"^[^\x00]+$", description="sig_…, inc_…, thm_…, …"),
]
Part = dict[str, Any] | None
Parts = list[dict[str, Any]] | None


class TraceUnknown(NotFound):
    """Nothing has this id."""


class TraceStation(View):
    """One thing that happened on the road. `at` is event time; null where it could not be asked."""

    station: Literal["signal", "incident", "theme", "candidate", "item", "outcome"]
    at: datetime | None
    recorded_at: datetime | None
    id: str | None
    text: str


class TraceView(View):
    """One incident's whole road. Each part is the owning service's own answer; null: not there yet.

    Lists are oldest first; those named in `more` go on, and their newest 200 are shown. What is named
    in `unavailable` could not be asked, or this key may not read it.
    """

    stations: list[TraceStation]
    signals: Parts
    incident: Part
    timeline: Parts
    theme: Part
    evidence: Parts
    escalations: Parts
    feedback: Part
    candidate: Part
    scores: Parts
    item: Part
    history: Parts
    outcome: Part
    more: list[str]
    unavailable: dict[str, str]


@router.get("/v1/trace/{id}", summary="Follow one incident from its signals to the outcome")
async def read_trace(request: Request, id: AnyId, ctx: Reader) -> TraceView:
    """From the id of a signal, an incident, a theme, feedback, a candidate or an item. Of a theme with
    many incidents the newest is followed."""
    peers: Peers = request.app.state.peers
    async with peers.asked_by(request) as client:
        road = await follow(client, id)
    if road is None:
        raise TraceUnknown(
            "Nothing has this id; send that of a signal, incident, theme, feedback, candidate or item."
        )
    return _view(road)


def _view(road: Road) -> TraceView:
    shown = {name: road.parts.get(name) for name in TraceView.model_fields}
    return TraceView.model_validate(
        {
            **shown,
            "stations": [TraceStation.model_validate(one) for one in stations(road)],
            "more": sorted(road.more),
            "unavailable": road.unavailable,
        }
    )
