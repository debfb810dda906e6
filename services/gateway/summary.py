"""HTTP of the summary: the counts of every service in one answer."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Request

from services.gateway.peers import Peers, ask
from shared.context import Context
from shared.http.context import needs
from shared.http.fields import View

router = APIRouter(tags=["summary"])

Reader = Annotated[Context, needs("incidents:read")]
Counts = dict[str, Any] | None


class SummaryView(View):
    """How much there is of everything. A service that could not be asked is null, and says why.

    `signals`, `incidents`, `themes`, `candidates`, `items` and `outcomes` are totals; `details` holds
    each service's own summary.
    """

    signals: int | None
    incidents: int | None
    themes: int | None
    escalated: int | None
    candidates: int | None
    items: int | None
    outcomes: int | None
    details: dict[str, Counts]
    unavailable: dict[str, str]


NOUNS = ("incidents", "themes", "candidates", "items", "outcomes")


@router.get("/v1/summary", summary="Count everything")
async def read_summary(request: Request, ctx: Reader) -> SummaryView:
    peers: Peers = request.app.state.peers
    async with peers.asked_by(request) as client:
        answers = await asyncio.gather(*(ask(client, f"/v1/{noun}/summary") for noun in NOUNS))
    details: dict[str, Counts] = {n: a.body for n, a in zip(NOUNS, answers, strict=True)}
    why = {n: a.problem for n, a in zip(NOUNS, answers, strict=True) if a.problem}

    def counted(noun: str, key: str) -> int | None:
        of_noun = details[noun]
        value = of_noun.get(key) if of_noun else None
        return sum(value.values()) if isinstance(value, dict) else value

    return SummaryView(
        signals=counted("incidents", "signals"),
        incidents=counted("incidents", "incidents"),
        themes=counted("themes", "themes"),
        escalated=counted("themes", "escalated"),
        candidates=counted("candidates", "by_state"),
        items=counted("items", "by_state"),
        outcomes=counted("outcomes", "outcomes"),
        details=details,
        unavailable=why,
    )
