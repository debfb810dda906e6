"""HTTP of what is done to an incident: one address for each step of its life."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.incidents import commands, domain
from services.incidents.incidents.bodies import (
    IncidentAssignBody,
    IncidentCommentBody,
    IncidentImpactBody,
    IncidentServiceBody,
    IncidentSeverityBody,
    IncidentStepBody,
    IncidentTieBody,
)
from services.incidents.incidents.incident import Incident, Link
from services.incidents.incidents.views import IncidentView, shown
from shared.context import Context
from shared.http import command
from shared.http.context import IdempotencyKey, IfMatch, needs

router = APIRouter(prefix="/v1/incidents/{incident_id}", tags=["incidents"])

Writer = Annotated[Context, needs("incidents:write")]
IncidentId = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]

NOW = IncidentStepBody()

Asked = Callable[[datetime], domain.Command]
"""A command for the moment at which it happened."""


async def _step(
    request: Request,
    ctx: Context,
    incident_id: str,
    body: IncidentStepBody,
    asked: Asked,
    expected: int | None,
    key: str | None,
) -> Response:
    async def work(conn: AsyncConnection) -> Incident:
        at = body.at or await commands.moment_for(conn, incident_id, ctx)
        return await commands.handle(conn, incident_id, asked(at), ctx, expected=expected)

    return await command.run(request, ctx, work, shown, key=key, body=body)


@router.post("/acknowledge", response_model=IncidentView, summary="Acknowledge an incident")
async def acknowledge_incident(
    request: Request,
    incident_id: IncidentId,
    ctx: Writer,
    if_match: IfMatch,
    body: IncidentStepBody = NOW,
    key: IdempotencyKey = None,
) -> Response:
    """A person has seen it and is on it."""
    return await _step(
        request, ctx, incident_id, body, lambda at: domain.Acknowledge(at, ctx.actor), if_match, key
    )


@router.post("/mitigate", response_model=IncidentView, summary="Mitigate an incident")
async def mitigate_incident(
    request: Request,
    incident_id: IncidentId,
    ctx: Writer,
    if_match: IfMatch,
    body: IncidentStepBody = NOW,
    key: IdempotencyKey = None,
) -> Response:
    """Users feel it no more; the cause is still there."""
    return await _step(
        request, ctx, incident_id, body, lambda at: domain.Mitigate(at), if_match, key
    )


@router.post("/resolve", response_model=IncidentView, summary="Resolve an incident")
async def resolve_incident(
    request: Request,
    incident_id: IncidentId,
    ctx: Writer,
    if_match: IfMatch,
    body: IncidentStepBody = NOW,
    key: IdempotencyKey = None,
) -> Response:
    """It is over. What still fired in it counts as ended then."""
    return await _step(
        request, ctx, incident_id, body, lambda at: domain.Resolve(at), if_match, key
    )


@router.post("/close", response_model=IncidentView, summary="Close an incident")
async def close_incident(
    request: Request,
    incident_id: IncidentId,
    ctx: Writer,
    if_match: IfMatch,
    body: IncidentStepBody = NOW,
    key: IdempotencyKey = None,
) -> Response:
    """Nothing more is to be done; no signal reopens it."""
    return await _step(request, ctx, incident_id, body, lambda at: domain.Close(at), if_match, key)


@router.post("/reopen", response_model=IncidentView, summary="Reopen an incident")
async def reopen_incident(
    request: Request,
    incident_id: IncidentId,
    ctx: Writer,
    if_match: IfMatch,
    body: IncidentStepBody = NOW,
    key: IdempotencyKey = None,
) -> Response:
    """It was not over after all."""
    return await _step(request, ctx, incident_id, body, lambda at: domain.Reopen(at), if_match, key)


@router.post("/severity", response_model=IncidentView, summary="Change the severity")
async def change_severity(
    request: Request,
    incident_id: IncidentId,
    body: IncidentSeverityBody,
    ctx: Writer,
    if_match: IfMatch,
    key: IdempotencyKey = None,
) -> Response:
    return await _step(
        request,
        ctx,
        incident_id,
        body,
        lambda at: domain.ChangeSeverity(at, body.severity),
        if_match,
        key,
    )


@router.post(
    "/assign", response_model=IncidentView, summary="Assign an incident to somebody, or to nobody"
)
async def assign_incident(
    request: Request,
    incident_id: IncidentId,
    body: IncidentAssignBody,
    ctx: Writer,
    if_match: IfMatch,
    key: IdempotencyKey = None,
) -> Response:
    return await _step(
        request, ctx, incident_id, body, lambda at: domain.Assign(at, body.assignee), if_match, key
    )


@router.post("/impact", response_model=IncidentView, summary="Assess who was hit")
async def assess_impact(
    request: Request,
    incident_id: IncidentId,
    body: IncidentImpactBody,
    ctx: Writer,
    if_match: IfMatch,
    key: IdempotencyKey = None,
) -> Response:
    return await _step(
        request,
        ctx,
        incident_id,
        body,
        lambda at: domain.AssessImpact(
            at, body.customers_affected, body.revenue_at_risk, body.responder_hours
        ),
        if_match,
        key,
    )


@router.post("/links", response_model=IncidentView, summary="Tie an incident to a record elsewhere")
async def tie_incident(
    request: Request,
    incident_id: IncidentId,
    body: IncidentTieBody,
    ctx: Writer,
    if_match: IfMatch,
    key: IdempotencyKey = None,
) -> Response:
    return await _step(
        request,
        ctx,
        incident_id,
        body,
        lambda at: domain.TieTo(at, Link(body.kind, body.reference)),
        if_match,
        key,
    )


@router.post("/comments", response_model=IncidentView, summary="Comment on an incident")
async def comment_incident(
    request: Request,
    incident_id: IncidentId,
    body: IncidentCommentBody,
    ctx: Writer,
    if_match: IfMatch,
    key: IdempotencyKey = None,
) -> Response:
    """The text stays in this service; others hear only that somebody commented."""
    return await _step(
        request,
        ctx,
        incident_id,
        body,
        lambda at: domain.Comment(at, ctx.actor, body.text),
        if_match,
        key,
    )


@router.post("/assign-service", response_model=IncidentView, summary="Say which service it is of")
async def assign_incident_service(
    request: Request,
    incident_id: IncidentId,
    body: IncidentServiceBody,
    ctx: Writer,
    if_match: IfMatch,
    key: IdempotencyKey = None,
) -> Response:
    """The service, by its name or an alias, must be in the catalog; the product follows from it."""

    async def work(conn: AsyncConnection) -> Incident:
        at = body.at or await commands.moment_for(conn, incident_id, ctx)
        return await commands.assign_service(
            conn, incident_id, body.service, at, ctx, expected=if_match
        )

    return await command.run(request, ctx, work, shown, key=key, body=body)
