"""HTTP of outcomes, and of the detectors' record."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from services.feedback.outcomes import queries
from services.feedback.outcomes.queries import (
    Calibration,
    OutcomeDetailView,
    OutcomesSummary,
    OutcomeView,
)
from shared.context import Context
from shared.contracts.feedback import Verdict
from shared.http.context import Db, needs
from shared.http.pages import Cursor, Limit, Page

router = APIRouter(tags=["outcomes"])

Reader = Annotated[Context, needs("feedback:read")]
OutcomeId = Annotated[str, Path(min_length=1, max_length=100, pattern=r"^[^\x00]+$")]
Filter = Annotated[str | None, Query(max_length=200)]


@router.get("/v1/outcomes", summary="List outcomes, of the newest deliveries first")
async def list_outcomes(
    ctx: Reader,
    db: Db,
    item_id: Filter = None,
    theme_id: Filter = None,
    verdict: Verdict | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[OutcomeView]:
    async with db.look() as conn:
        return await queries.list_outcomes(
            conn, item_id=item_id, theme_id=theme_id, verdict=verdict, limit=limit, cursor=cursor
        )


@router.get("/v1/outcomes/summary", summary="Count outcomes by verdict")
async def summarize_outcomes(ctx: Reader, db: Db) -> OutcomesSummary:
    async with db.read() as conn:
        return await queries.summary(conn)


@router.get("/v1/outcomes/{outcome_id}", summary="Read an outcome, and all that was said of it")
async def read_outcome(
    outcome_id: OutcomeId, ctx: Reader, db: Db, response: Response
) -> OutcomeDetailView:
    async with db.read() as conn:
        found = await queries.outcome(conn, outcome_id)
    response.headers["ETag"] = f'"{found.version}"'
    return found


@router.get("/v1/calibration", summary="Read what became of what each detector raised")
async def read_calibration(ctx: Reader, db: Db) -> Calibration:
    async with db.read() as conn:
        return await queries.calibration(conn)
