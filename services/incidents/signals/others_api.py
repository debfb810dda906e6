"""HTTP of monitoring tools with a webhook of their own: Grafana, Sentry, Datadog, CloudEvents; and
of any other, by a mapping."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from services.incidents.signals.adapters import cloudevents, datadog, generic, grafana, sentry
from services.incidents.signals.hot_route import HotRoute
from services.incidents.signals.senders_api import ALERT, BUSY, Sender, SignalsTaken, body
from services.incidents.signals.signal import Said
from services.incidents.signals.taking import Format, Sent, take

router = APIRouter(tags=["signals"], route_class=HotRoute)
by_mapping = APIRouter(tags=["signals"])
"""Its address has a parameter."""

SIGNED = " Where the integration has signing secrets, `?integration=<id>` names it, and no key is needed."
MappingName = Annotated[str, Path(max_length=56, pattern=r"^[a-z0-9][a-z0-9_.-]*$")]


def _grafana(sent: Sent) -> Sequence[Said]:
    return grafana.parse(sent.body, sent.received_at)


def _sentry(sent: Sent) -> Sequence[Said]:
    return sentry.parse(sent.body, sent.received_at, sent.headers)


def _datadog(sent: Sent) -> Sequence[Said]:
    return datadog.parse(sent.body, sent.received_at)


def _cloudevents(sent: Sent) -> Sequence[Said]:
    return cloudevents.parse(sent.body, sent.received_at, sent.headers)


GRAFANA = Format(_grafana, busy=429)
SENTRY = Format(_sentry, busy=429)
DATADOG = Format(_datadog)
CLOUDEVENTS = Format(_cloudevents, busy=429)

GRAFANA_ALERTS = {"version": "1", "alerts": [{"status": "firing", "labels": ALERT}]}


@router.post(
    "/ingest/grafana",
    status_code=202,
    response_model=SignalsTaken,
    responses=BUSY,
    summary="Grafana's webhook contact point",
    description="Unified alerting, and the shape of legacy alerts." + SIGNED,
    openapi_extra=body("Grafana webhook", GRAFANA_ALERTS),
)
async def post_grafana(request: Request, ctx: Sender) -> Response:
    return await take(request, ctx, GRAFANA)


@router.put(
    "/ingest/grafana",
    status_code=202,
    response_model=SignalsTaken,
    responses=BUSY,
    summary="Grafana's webhook contact point, where it is set to PUT",
    openapi_extra=body("Grafana webhook", GRAFANA_ALERTS),
)
async def put_grafana(request: Request, ctx: Sender) -> Response:
    return await take(request, ctx, GRAFANA)


@router.post(
    "/ingest/sentry",
    status_code=202,
    response_model=SignalsTaken,
    responses=BUSY,
    summary="Sentry's webhook: issue alerts, metric alerts, issues",
    description="What is about something else is accepted, and says nothing." + SIGNED,
    openapi_extra=body("Sentry webhook", {"action": "triggered", "data": {"event": {}}}),
)
async def post_sentry(request: Request, ctx: Sender) -> Response:
    return await take(request, ctx, SENTRY)


@router.post(
    "/ingest/datadog",
    status_code=202,
    response_model=SignalsTaken,
    summary="Datadog's webhook",
    description=f"With this payload in its integration:\n\n```json\n{datadog.TEMPLATE}\n```\n",
    openapi_extra=body("The template, filled in", {"alert_cycle_key": "1", "title": "Disk full"}),
)
async def post_datadog(request: Request, ctx: Sender) -> Response:
    return await take(request, ctx, DATADOG)


@router.post(
    "/ingest/cloudevents",
    status_code=202,
    response_model=SignalsTaken,
    responses=BUSY,
    summary="CloudEvents 1.0: structured, binary or a batch",
    openapi_extra=body(
        "A CloudEvent, or a batch of them",
        {
            "specversion": "1.0",
            "id": "1",
            "source": "/shop",
            "type": "com.example.payments.failed",
            "data": {"title": "Payments fail", "severity": "critical"},
        },
    ),
)
async def post_cloudevents(request: Request, ctx: Sender) -> Response:
    """`data` may say what our own format does; what it leaves out is made of the event itself."""
    return await take(request, ctx, CLOUDEVENTS)


@by_mapping.post(
    "/ingest/generic/{mapping_name}",
    status_code=202,
    response_model=SignalsTaken,
    responses=BUSY,
    summary="Any sender's JSON, read by a mapping",
    openapi_extra=body("Whatever the sender posts", {"check": "shop", "state": "down"}),
)
async def post_generic(request: Request, mapping_name: MappingName, ctx: Sender) -> Response:
    """`PUT /v1/mappings/{name}` says how to read it; `POST /v1/mappings/try` tries that out."""
    mapping = await request.app.state.mappings.load(mapping_name)

    def read(sent: Sent) -> Sequence[Said]:
        return generic.parse(sent.body, sent.received_at, mapping)

    return await take(request, ctx, Format(read, busy=429))
