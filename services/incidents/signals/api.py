"""HTTP of signals: the addresses that senders post to, and what was stored of it.

Each address speaks its sender's language, down to the status on which that sender tries again.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from services.incidents.signals import intake, queries
from services.incidents.signals.adapters import alertmanager, native, prometheus
from services.incidents.signals.hot_route import HotRoute
from services.incidents.signals.queries import SignalView
from services.incidents.signals.recording import Post, Written
from services.incidents.signals.signal import BadBody, Signal, Status
from services.incidents.signals.writer import TooManySignalsWaiting
from shared.context import Context
from shared.http.context import Db, needs
from shared.http.fields import View
from shared.http.pages import Cursor, Limit, Page
from shared.http.problems import FieldProblem, described, problem, request_id_of
from shared.refusals import Overloaded

router = APIRouter(tags=["signals"])
hot = APIRouter(tags=["signals"], route_class=HotRoute)
"""What senders post to, all day long."""

Sender = Annotated[Context, needs("ingest")]
Reader = Annotated[Context, needs("incidents:read")]
SignalId = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
Parse = Callable[[bytes, datetime], list[Signal]]


class SignalTaken(View):
    """One signal of a post, in the order it was sent."""

    id: str
    incident_id: str
    status: Literal["new", "repeat"]


class SignalsTaken(View):
    """Every signal of the post is stored: on the disk, not in memory."""

    accepted: int
    signals: list[SignalTaken]


def _body(summary: str, example: object) -> dict[str, Any]:
    schema = {"description": summary, "type": ["object", "array"]}
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


ALERT = {"alertname": "HighErrorRate", "service": "payments", "severity": "critical"}
POSTED_ALERT = {"labels": ALERT, "startsAt": "2026-11-20T23:27:23.133Z"}
STATED_ALERT = {"title": "Payments fail", "service": "payments", "severity": "critical"}


async def _write(request: Request, parse: Parse, ctx: Context) -> list[Written]:
    """Parse the raw body and write it. Raises BadBody, or Overloaded as the writer does."""
    body = await request.body()
    try:
        signals = parse(body, ctx.now)
    except BadBody:
        intake.refused("bad_body")
        raise
    # failpoint: ingest.parsed
    return await intake.take_in(request.app.state.writer, Post(signals, ctx))


@hot.post(
    "/api/v2/alerts",
    response_class=Response,
    summary="Alerts, as Prometheus sends them to an Alertmanager",
    openapi_extra=_body("Alertmanager API v2: a list of alerts", [POSTED_ALERT]),
)
async def post_alerts(request: Request, ctx: Sender) -> Response:
    """Point Prometheus' `alerting.alertmanagers` here. Errors are JSON strings, as it expects."""
    try:
        await _write(request, prometheus.parse, ctx)
    except BadBody as error:
        return JSONResponse(str(error), 400)
    except Overloaded as error:
        return JSONResponse(str(error), 503, {"Retry-After": str(error.retry_after)})
    return Response(status_code=200)


@hot.post(
    "/ingest/alertmanager",
    status_code=202,
    response_model=SignalsTaken,
    summary="Alertmanager's webhook, version 4",
    openapi_extra=_body(
        "Alertmanager webhook v4",
        {"version": "4", "status": "firing", "alerts": [{"status": "firing", **POSTED_ALERT}]},
    ),
)
async def post_alertmanager(request: Request, ctx: Sender) -> Response:
    """A `webhook_configs` receiver. Answers 503 when overloaded: Alertmanager gives up on a 429."""
    try:
        written = await _write(request, alertmanager.parse, ctx)
    except BadBody as error:
        return _bad(request, error, 400)
    return _taken(written)


@hot.post(
    "/v1/signals",
    status_code=202,
    response_model=SignalsTaken,
    summary="Signals in our own format: one, or a list",
    responses={429: described(429)},
    openapi_extra=_body("One signal or a list of them; only `title` is needed", STATED_ALERT),
)
async def post_signals(request: Request, ctx: Sender) -> Response:
    """All of them are stored when this answers 202, or none. Sending again is safe."""
    try:
        written = await _write(request, native.parse, ctx)
    except BadBody as error:
        return _bad(request, error, 422)
    except TooManySignalsWaiting as error:
        headers = {"Retry-After": str(error.retry_after)}
        return problem(request_id_of(request), 429, error.slug, str(error), None, headers)
    return _taken(written)


@router.get("/v1/signals", summary="List signals, last arrived first")
async def list_signals(
    ctx: Reader,
    db: Db,
    incident_id: Annotated[str | None, Query(max_length=200)] = None,
    source: Annotated[str | None, Query(max_length=200)] = None,
    status: Annotated[Status | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[SignalView]:
    async with db.read() as conn:
        return await queries.list_signals(
            conn,
            incident_id=incident_id,
            source=source,
            status=status,
            limit=limit,
            cursor=cursor,
        )


@router.get("/v1/signals/{signal_id}", summary="Read a signal")
async def read_signal(signal_id: SignalId, ctx: Reader, db: Db) -> SignalView:
    async with db.read() as conn:
        return await queries.signal(conn, signal_id)


def _bad(request: Request, error: BadBody, status: int) -> Response:
    errors = [FieldProblem(field=one.field, message=one.message) for one in error.errors]
    return problem(request_id_of(request), status, error.slug, str(error), errors)


def _taken(written: list[Written]) -> Response:
    signals = [
        {"id": one.id, "incident_id": one.incident_id, "status": "repeat" if one.repeat else "new"}
        for one in written
    ]
    content = msgspec.json.encode({"accepted": len(signals), "signals": signals})
    return Response(content, 202, media_type="application/json")
