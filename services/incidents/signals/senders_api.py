"""HTTP of what senders post to, all day long. Each address speaks its sender's language."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response

from services.incidents.signals.adapters import alertmanager, native, prometheus
from services.incidents.signals.hot_route import HotRoute
from services.incidents.signals.signal import Said
from services.incidents.signals.taking import Format, Sent, Taken, problem_422, take
from shared.context import Context
from shared.http.context import needs
from shared.http.fields import View
from shared.http.problems import described

router = APIRouter(tags=["signals"], route_class=HotRoute)

Sender = Annotated[Context, needs("ingest")]


class SignalTaken(View):
    """One signal of a post, in the order it was sent."""

    id: str
    incident_id: str
    status: Literal["new", "repeat"]


class SignalsTaken(View):
    """Every signal of the post is stored: on the disk, not in memory."""

    accepted: int
    signals: list[SignalTaken]


def body(summary: str, example: object) -> dict[str, Any]:
    """How the OpenAPI document describes a body that an adapter reads."""
    schema = {"description": summary, "type": ["object", "array"]}
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


BUSY: dict[int | str, dict[str, Any]] = {429: described(429)}
"""Documents that an address answers so when there is no room."""

ALERT = {"alertname": "HighErrorRate", "service": "payments", "severity": "critical"}
POSTED_ALERT = {"labels": ALERT, "startsAt": "2026-11-20T23:27:23.133Z"}
STATED_ALERT = {"title": "Payments fail", "service": "payments", "severity": "critical"}


def _posted(sent: Sent) -> Sequence[Said]:
    return prometheus.parse(sent.body, sent.received_at)


def _webhook(sent: Sent) -> Sequence[Said]:
    return alertmanager.parse(sent.body, sent.received_at)


def _stated(sent: Sent) -> Sequence[Said]:
    return native.parse(sent.body, sent.received_at)


_NOTHING = Response(status_code=200)


def _nothing(_taken: Taken) -> Response:
    return _NOTHING


PROMETHEUS = Format(_posted, _nothing)
ALERTMANAGER = Format(_webhook)
NATIVE = Format(_stated, refuse=problem_422, busy=429)


@router.post(
    "/api/v2/alerts",
    response_class=Response,
    summary="Alerts, as Prometheus sends them to an Alertmanager",
    openapi_extra=body("Alertmanager API v2: a list of alerts", [POSTED_ALERT]),
)
async def post_alerts(request: Request, ctx: Sender) -> Response:
    """Point Prometheus' `alerting.alertmanagers` here. Errors are JSON strings, as it expects."""
    return await take(request, ctx, PROMETHEUS)


@router.post(
    "/ingest/alertmanager",
    status_code=202,
    response_model=SignalsTaken,
    summary="Alertmanager's webhook, version 4",
    openapi_extra=body(
        "Alertmanager webhook v4",
        {"version": "4", "status": "firing", "alerts": [{"status": "firing", **POSTED_ALERT}]},
    ),
)
async def post_alertmanager(request: Request, ctx: Sender) -> Response:
    """A `webhook_configs` receiver. Answers 503 when overloaded: Alertmanager gives up on a 429."""
    return await take(request, ctx, ALERTMANAGER)


@router.post(
    "/v1/signals",
    status_code=202,
    response_model=SignalsTaken,
    summary="Signals in our own format: one, or a list",
    responses=BUSY,
    openapi_extra=body("One signal or a list of them; only `title` is needed", STATED_ALERT),
)
async def post_signals(request: Request, ctx: Sender) -> Response:
    """All of them are stored when this answers 202, or none. Sending again is safe."""
    return await take(request, ctx, NATIVE)
