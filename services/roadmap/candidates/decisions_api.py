"""HTTP of what people decide about candidates."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Request, Response
from pydantic import Field, model_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap.candidates import commands, queries
from services.roadmap.candidates.api import CandidateId, Writer
from services.roadmap.candidates.commands import Acceptance
from services.roadmap.candidates.domain import Candidate
from services.roadmap.candidates.queries import CandidateDetail
from services.roadmap.items.fields import Duration, Effort, Quarter
from shared.context import Context
from shared.contracts.roadmap import Horizon
from shared.http import command
from shared.http.context import IdempotencyKey, IfMatch
from shared.http.fields import Body, Happened, Line, Name, Planned

router = APIRouter(tags=["candidates"])

Act = Callable[[AsyncConnection], Awaitable[Candidate]]


class CandidateAcceptance(Body):
    """Into the item `item_id`, or into a new one with what else is given; its horizon is next when
    left out. `at`: when it was decided; now when left out.
    """

    item_id: Name | None = None
    title: Line | None = None
    horizon: Horizon | None = None
    quarter: Quarter | None = None
    objective_id: Name | None = None
    at: Happened | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        new = (self.title, self.horizon, self.quarter, self.objective_id)
        if self.item_id is not None and any(field is not None for field in new):
            raise ValueError("an item that exists keeps its plan: send `item_id` alone")
        return self


class CandidateRejection(Body):
    """Why not."""

    reason: Line
    at: Happened | None = None


class CandidateSnooze(Body):
    """Until a time, or until the theme has so many rows of evidence, whichever comes first."""

    until: Planned | None = None
    until_total: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    at: Happened | None = None


class CandidateMerge(Body):
    """The candidate that shall stand for this one."""

    into: Name
    at: Happened | None = None


class CandidateEstimate(Body):
    """What it takes; what is left out is unknown. It replaces the estimate there was."""

    effort_person_months: Effort | None = None
    duration_weeks: Duration | None = None


@router.post(
    "/v1/candidates/{candidate_id}/accept",
    response_model=CandidateDetail,
    summary="Accept a candidate, into a new item or into one that exists",
)
async def accept_candidate(
    request: Request,
    candidate_id: CandidateId,
    ctx: Writer,
    if_match: IfMatch,
    body: CandidateAcceptance | None = None,
    key: IdempotencyKey = None,
) -> Response:
    said = body or CandidateAcceptance()
    wanted = Acceptance(
        at=said.at or ctx.now,
        join=said.item_id,
        title=said.title,
        horizon=said.horizon or "next",
        quarter=said.quarter,
        objective_id=said.objective_id,
    )

    def act(conn: AsyncConnection) -> Awaitable[Candidate]:
        return commands.accept(conn, candidate_id, wanted, ctx, expected=if_match)

    return await _answer(request, ctx, act, body, key)


@router.post(
    "/v1/candidates/{candidate_id}/decline",
    response_model=CandidateDetail,
    summary="Decline a candidate",
)
async def decline_candidate(
    request: Request,
    candidate_id: CandidateId,
    body: CandidateRejection,
    ctx: Writer,
    if_match: IfMatch,
    key: IdempotencyKey = None,
) -> Response:
    at = body.at or ctx.now

    def act(conn: AsyncConnection) -> Awaitable[Candidate]:
        return commands.decline(conn, candidate_id, body.reason, at, ctx, expected=if_match)

    return await _answer(request, ctx, act, body, key)


@router.post(
    "/v1/candidates/{candidate_id}/snooze",
    response_model=CandidateDetail,
    summary="Decide about a candidate later",
)
async def snooze_candidate(
    request: Request,
    candidate_id: CandidateId,
    body: CandidateSnooze,
    ctx: Writer,
    if_match: IfMatch,
    key: IdempotencyKey = None,
) -> Response:
    at: datetime = body.at or ctx.now

    def act(conn: AsyncConnection) -> Awaitable[Candidate]:
        return commands.snooze(
            conn,
            candidate_id,
            at,
            ctx,
            until=body.until,
            until_total=body.until_total,
            expected=if_match,
        )

    return await _answer(request, ctx, act, body, key)


@router.post(
    "/v1/candidates/{candidate_id}/merge",
    response_model=CandidateDetail,
    summary="Let another candidate stand for this one",
)
async def merge_candidate(
    request: Request,
    candidate_id: CandidateId,
    body: CandidateMerge,
    ctx: Writer,
    if_match: IfMatch,
    key: IdempotencyKey = None,
) -> Response:
    at = body.at or ctx.now

    def act(conn: AsyncConnection) -> Awaitable[Candidate]:
        return commands.merge(conn, candidate_id, body.into, at, ctx, expected=if_match)

    return await _answer(request, ctx, act, body, key)


@router.post(
    "/v1/candidates/{candidate_id}/estimate",
    response_model=CandidateDetail,
    summary="State what a candidate takes; it is scored again",
)
async def estimate_candidate(
    request: Request,
    candidate_id: CandidateId,
    body: CandidateEstimate,
    ctx: Writer,
    if_match: IfMatch,
    key: IdempotencyKey = None,
) -> Response:
    def act(conn: AsyncConnection) -> Awaitable[Candidate]:
        return commands.estimate(
            conn,
            candidate_id,
            body.effort_person_months,
            body.duration_weeks,
            ctx,
            expected=if_match,
        )

    return await _answer(request, ctx, act, body, key)


@router.post(
    "/v1/candidates/{candidate_id}/confirm",
    response_model=CandidateDetail,
    summary="Confirm that a candidate is one pain, and real; it is scored again",
)
async def confirm_candidate(
    request: Request,
    candidate_id: CandidateId,
    ctx: Writer,
    if_match: IfMatch,
    key: IdempotencyKey = None,
) -> Response:
    def act(conn: AsyncConnection) -> Awaitable[Candidate]:
        return commands.confirm(conn, candidate_id, ctx, expected=if_match)

    return await _answer(request, ctx, act, None, key)


async def _answer(
    request: Request, ctx: Context, act: Act, body: Body | None, key: str | None
) -> Response:
    """Decide, and answer with the candidate as it is then."""

    async def work(conn: AsyncConnection) -> CandidateDetail:
        return await queries.candidate(conn, (await act(conn)).candidate_id)

    return await command.run(request, ctx, work, lambda shown: shown, body=body, key=key)
