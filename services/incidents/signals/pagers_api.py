"""HTTP of the paging services, for whatever speaks to them: PagerDuty's Events API v2 and Opsgenie's."""

import uuid
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from services.incidents.signals.adapters import opsgenie, pagerduty
from services.incidents.signals.hot_route import HotRoute
from services.incidents.signals.senders_api import BUSY, Sender, body
from services.incidents.signals.signal import BadBody, Said
from services.incidents.signals.taking import Format, Sent, Taken, take
from shared.http.fields import JsonObject
from shared.http.problems import request_id_of
from shared.refusals import Invalid

router = APIRouter(tags=["signals"], route_class=HotRoute)
by_alias = APIRouter(tags=["signals"])
"""Its addresses have a parameter."""

Alias = Annotated[str, Path(min_length=1, max_length=512, pattern=r"^[^\x00]+$")]
Known = Annotated[
    str,
    Query(alias="identifierType", max_length=20, description="only `alias` is known here"),
]


class IdentifierUnknown(Invalid):
    """Opsgenie's own ids don't exist here."""


def _event(sent: Sent) -> Sequence[Said]:
    return pagerduty.parse(sent.body, sent.received_at, uuid.uuid4().hex)


def _enqueued(taken: Taken) -> Response:
    return JSONResponse(pagerduty.taken(taken.said[0]), 202)


def _invalid_event(_request: Request, error: BadBody) -> Response:
    return JSONResponse(pagerduty.refused(error), 400)


PAGERDUTY = Format(_event, _enqueued, _invalid_event, busy=429, by_alert=True)

EVENT = {
    "routing_key": "<the integration's key>",
    "event_action": "trigger",
    "dedup_key": "payments",
    "payload": {"summary": "Payments fail", "source": "node-1", "severity": "critical"},
}


@router.post(
    "/v2/enqueue",
    status_code=202,
    response_model=JsonObject,
    responses=BUSY,
    summary="PagerDuty's Events API v2",
    openapi_extra=body("An event: trigger, acknowledge or resolve", EVENT),
)
async def enqueue(request: Request, ctx: Sender) -> Response:
    """`routing_key` is the key of an integration; nothing else is looked at to know the caller."""
    return await take(request, ctx, PAGERDUTY)


def _opsgenie(read: Callable[[Sent], Sequence[Said]]) -> Format:
    began = monotonic()

    def answer(taken: Taken) -> Response:
        request_id = request_id_of(taken.request) or ""
        return JSONResponse(opsgenie.taken(monotonic() - began, request_id), 202)

    def refuse(request: Request, error: BadBody) -> Response:
        return JSONResponse(opsgenie.refused(error, request_id_of(request) or ""), 400)

    return Format(read, answer, refuse, busy=429, by_alert=True)


@router.post(
    "/v2/alerts",
    status_code=202,
    response_model=JsonObject,
    responses=BUSY,
    summary="Opsgenie: create an alert",
    openapi_extra=body("An alert; only `message` is needed", {"message": "Payments fail"}),
)
async def create_alert(request: Request, ctx: Sender) -> Response:
    """The integration's key goes into `Authorization: GenieKey <key>`."""

    def read(sent: Sent) -> Sequence[Said]:
        return opsgenie.parse(sent.body, sent.received_at, uuid.uuid4().hex)

    return await take(request, ctx, _opsgenie(read))


@by_alias.post(
    "/v2/alerts/{alias}/close",
    status_code=202,
    response_model=JsonObject,
    responses=BUSY,
    summary="Opsgenie: close an alert",
    openapi_extra=body("Who, and a note; may be empty", {"user": "Ada", "note": "Fixed"}),
)
async def close_alert(
    request: Request, alias: Alias, ctx: Sender, identifier_type: Known = "id"
) -> Response:
    """The alert is named by its alias: `?identifierType=alias`."""

    def read(sent: Sent) -> Sequence[Said]:
        return opsgenie.parse_close(alias, sent.body, sent.received_at)

    _only_aliases(identifier_type)
    return await take(request, ctx, _opsgenie(read))


@by_alias.post(
    "/v2/alerts/{alias}/acknowledge",
    status_code=202,
    response_model=JsonObject,
    responses=BUSY,
    summary="Opsgenie: acknowledge an alert",
    openapi_extra=body("Who, and a note; may be empty", {"user": "Ada"}),
)
async def acknowledge_alert(
    request: Request, alias: Alias, ctx: Sender, identifier_type: Known = "id"
) -> Response:
    """The alert is named by its alias: `?identifierType=alias`."""

    def read(sent: Sent) -> Sequence[Said]:
        return opsgenie.parse_acknowledge(alias, sent.body, sent.received_at)

    _only_aliases(identifier_type)
    return await take(request, ctx, _opsgenie(read))


def _only_aliases(identifier_type: str) -> None:
    if identifier_type != "alias":
        raise IdentifierUnknown(
            "Alerts are known by their alias here; add `?identifierType=alias` and name that."
        )
