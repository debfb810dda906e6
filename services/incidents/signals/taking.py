"""Takes in a post, whatever its format: read it, say whose it is, write it, answer in its words.

A format is data here; what it means is in its adapter, and its address in `senders_api`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from fastapi import Request, Response
from starlette.requests import ClientDisconnect

from services.incidents.signals import acknowledging, intake
from services.incidents.signals.continuing import Post
from services.incidents.signals.recording import Written
from services.incidents.signals.signal import Acknowledgement, BadBody, Said, Signal
from services.incidents.signals.writer import SignalStoreUnavailable
from shared.auth import Sender, principal_of
from shared.context import Context
from shared.http.dialects import refusal
from shared.http.problems import FieldProblem, request_id_of
from shared.refusals import Overloaded


@dataclass(frozen=True, slots=True)
class Sent:
    """What came: the raw body, and headers by lower-case names."""

    body: bytes
    headers: Mapping[str, str]
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Taken:
    """What was read of a post, and what became of its signals; for the answer."""

    said: Sequence[Said]
    written: Sequence[Written]
    request: Request


def _ids(taken: Taken) -> Response:
    signals = [
        {"id": one.id, "incident_id": one.incident_id, "status": "repeat" if one.repeat else "new"}
        for one in taken.written
    ]
    content = msgspec.json.encode({"accepted": len(signals), "signals": signals})
    return Response(content, 202, media_type="application/json")


def problem_400(request: Request, error: BadBody) -> Response:
    return _problem(request, error, 400)


def problem_422(request: Request, error: BadBody) -> Response:
    return _problem(request, error, 422)


def _problem(request: Request, error: BadBody, status: int) -> Response:
    errors = [FieldProblem(field=one.field, message=one.message) for one in error.errors]
    said = request.url.path, request_id_of(request), status
    return refusal(*said, error.slug, str(error), errors)


@dataclass(frozen=True, slots=True)
class Format:
    """How one sender speaks. `read` raises BadBody; the rest is what it understands as an answer."""

    read: Callable[[Sent], Sequence[Said]]
    answer: Callable[[Taken], Response] = _ids
    refuse: Callable[[Request, BadBody], Response] = problem_400
    busy: int = 503
    """The status on which it tries again: 503, or 429 where it knows that."""
    by_alert: bool = False
    """It knows alerts and no occurrences of them: see `continuing.Post`."""


async def take(request: Request, ctx: Context, form: Format) -> Response:
    """Everything of the post is stored once this has answered with a 2xx, or nothing of it."""
    sent = Sent(await whole_body(request), request.headers, ctx.now)
    try:
        said = form.read(sent)
    except BadBody as error:
        intake.refused("bad_body")
        return form.refuse(request, error)
    principal = principal_of(request.scope)
    sender = principal.sender if principal else None
    if sender is not None:
        said = [as_sent_by(one, sender) for one in said]
    # failpoint: ingest.parsed
    signals = [one for one in said if isinstance(one, Signal)]
    state = request.app.state
    post = Post(signals, ctx, form.by_alert)
    try:
        written = await intake.take_in(state.writer, post, sender, state.limits)
    except Overloaded as error:
        return _busy(request, error, form.busy)
    if len(signals) < len(said):
        acknowledged = [one for one in said if isinstance(one, Acknowledgement)]
        await acknowledging.acknowledge(state.db, acknowledged, ctx)
    return form.answer(Taken(said, written, request))


async def whole_body(request: Request) -> bytes:
    """The body; the front door hands it on as one message, which is had with less ado."""
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    first: bytes = message.get("body", b"")
    return first + await request.body() if message.get("more_body", False) else first


def as_sent_by(said: Said, sender: Sender) -> Said:
    """The same as of this sender: its source, and its service where none is named."""
    if isinstance(said, Acknowledgement):
        return msgspec.structs.replace(said, source=sender.source)
    return msgspec.structs.replace(
        said, source=sender.source, service=said.service or sender.service
    )


def _busy(request: Request, error: Overloaded, status: int) -> Response:
    status = 503 if isinstance(error, SignalStoreUnavailable) else status
    headers = {"Retry-After": str(error.retry_after)}
    said = request.url.path, request_id_of(request), status
    return refusal(*said, error.slug, str(error), None, headers)
