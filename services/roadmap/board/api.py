"""HTTP of what is read across the nouns."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from services.roadmap.board import queries
from services.roadmap.board.queries import ObjectiveDetail, RoadmapBoard
from services.roadmap.objectives.api import ObjectiveId, Reader
from shared.http.context import Db

router = APIRouter(tags=["roadmap"])


@router.get("/v1/roadmap", summary="See the roadmap by horizon and by quarter")
async def read_roadmap(
    ctx: Reader, db: Db, product: Annotated[str | None, Query(max_length=200)] = None
) -> RoadmapBoard:
    async with db.read() as conn:
        return await queries.board(conn, product=product)


@router.get("/v1/objectives/{objective_id}", summary="Read an objective and what serves it")
async def read_objective(
    objective_id: ObjectiveId, ctx: Reader, db: Db, response: Response
) -> ObjectiveDetail:
    async with db.read() as conn:
        found = await queries.objective(conn, objective_id)
    response.headers["ETag"] = f'"{found.version}"'
    return found
