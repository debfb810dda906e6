"""HTTP of candidates: reading them, and raising one by hand."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap.candidates import commands, queries
from services.roadmap.candidates.commands import ByHand
from services.roadmap.candidates.domain import CandidateState
from services.roadmap.candidates.queries import (
    CandidateDetail,
    CandidateScore,
    CandidateSort,
    CandidatesSummary,
    CandidateView,
)
from shared.context import Context
from shared.http import command
from shared.http.context import Db, IdempotencyKey, needs
from shared.http.fields import Body, Happened, Line, Name
from shared.http.pages import Cursor, Limit, Page

router = APIRouter(tags=["candidates"])

Reader = Annotated[Context, needs("roadmap:read")]
Writer = Annotated[Context, needs("roadmap:write")]
CandidateId = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]


class CandidateBody(Body):
    """A candidate that a person raises; with a theme, by its evidence, and else by none."""

    title: Line
    product: Name
    reason: Line
    theme_id: Name | None = None
    service: Name = "unassigned"
    at: Happened | None = None


@router.post(
    "/v1/candidates",
    status_code=201,
    response_model=CandidateDetail,
    summary="Raise a candidate by hand",
)
async def raise_candidate(
    request: Request, body: CandidateBody, ctx: Writer, key: IdempotencyKey = None
) -> Response:
    async def work(conn: AsyncConnection) -> CandidateDetail:
        wanted = ByHand(
            title=body.title,
            product=body.product,
            reason=body.reason,
            at=body.at or ctx.now,
            theme_id=body.theme_id,
            service=body.service,
        )
        raised = await commands.raise_by_hand(conn, wanted, ctx)
        return await queries.candidate(conn, raised.candidate_id)

    return await command.run(
        request, ctx, work, lambda shown: shown, body=body, key=key, status=201
    )


@router.get("/v1/candidates", summary="List candidates")
async def list_candidates(
    ctx: Reader,
    db: Db,
    state: Annotated[CandidateState | Literal["any"], Query()] = "open",
    product: Annotated[str | None, Query(max_length=200)] = None,
    q: Annotated[
        str | None, Query(min_length=1, max_length=200, description="in the title or the service")
    ] = None,
    sort: Annotated[
        CandidateSort, Query(description="highest score or raised last first")
    ] = "score",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[CandidateView]:
    every = queries.counts_on(state, product, q, sort)
    async with db.look() if every else db.read() as conn:
        return await queries.list_candidates(
            conn, state=state, product=product, q=q, sort=sort, limit=limit, cursor=cursor
        )


@router.get("/v1/candidates/summary", summary="Count candidates")
async def summarize_candidates(ctx: Reader, db: Db) -> CandidatesSummary:
    async with db.read() as conn:
        return await queries.summary(conn)


@router.get("/v1/candidates/{candidate_id}", summary="Read a candidate, and why it is one")
async def read_candidate(
    candidate_id: CandidateId, ctx: Reader, db: Db, response: Response
) -> CandidateDetail:
    async with db.read() as conn:
        found = await queries.candidate(conn, candidate_id)
    response.headers["ETag"] = f'"{found.version}"'
    return found


@router.get("/v1/candidates/{candidate_id}/history", summary="Read what moved a candidate's score")
async def read_candidate_history(
    candidate_id: CandidateId, ctx: Reader, db: Db, limit: Limit = 50, cursor: Cursor = None
) -> Page[CandidateScore]:
    async with db.read() as conn:
        return await queries.history(conn, candidate_id, limit=limit, cursor=cursor)
