"""HTTP of the score policy."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap.candidates.api import Reader, Writer
from services.roadmap.candidates.policy import replace_policy
from services.roadmap.scores import store as policies
from services.roadmap.scores.policy import (
    AttentionWeights,
    ConfidenceScale,
    ImpactScale,
    Method,
    Rates,
    ScorePolicy,
    Weight,
)
from shared.http import command
from shared.http.context import Db, IfMatch
from shared.http.fields import Body

router = APIRouter(tags=["score policy"])


class ScorePolicyBody(Body):
    """How candidates are scored, whole: what is left out takes its default."""

    method: Method | Literal["auto"] = "auto"
    attention: AttentionWeights = AttentionWeights()
    rates: Rates | None = None
    points_per_responder_hour: Weight = 60.0
    impact: ImpactScale = ImpactScale()
    confidence: ConfidenceScale = ConfidenceScale()


@router.get("/v1/score-policy", summary="Read how candidates are scored")
async def read_score_policy(ctx: Reader, db: Db, response: Response) -> ScorePolicy:
    async with db.read() as conn:
        policy = await policies.current(conn)
    response.headers["ETag"] = f'"{policy.version}"'
    return policy


@router.put(
    "/v1/score-policy",
    response_model=ScorePolicy,
    summary="Replace the score policy; every waiting candidate is scored again",
)
async def replace_score_policy(
    request: Request, body: ScorePolicyBody, ctx: Writer, if_match: IfMatch
) -> Response:
    wanted = ScorePolicy.model_validate(body.model_dump())

    async def work(conn: AsyncConnection) -> ScorePolicy:
        return await replace_policy(conn, wanted, ctx, expected=if_match)

    return await command.run(request, ctx, work, lambda policy: policy)
