"""Reads of candidates, straight from SQL to the answer."""

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Row, Select, case, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap.candidates.domain import CandidateState
from services.roadmap.candidates.refusals import CandidateUnknown
from services.roadmap.candidates.store import candidate_log, candidate_scores, candidates
from services.roadmap.items.store import items
from services.roadmap.scores.score import Score
from shared.contracts.feedback import EvidenceNumbersData, ReasonData
from shared.contracts.roadmap import ItemState
from shared.http.fields import View
from shared.http.pages import Page, page_of

CandidateSort = Literal["score", "raised"]

MOST_DECISIONS = 200


class CandidateView(View):
    """A candidate, as a list shows it. `rank` is its place among the open ones; 1 is the first."""

    id: str
    theme_id: str | None
    title: str
    product: str
    service: str
    state: CandidateState
    rank: int | None
    score: float
    method: str
    unit: str
    score_text: str
    needs_estimate: bool
    reasons: list[ReasonData]
    evidence_total: int
    effort_person_months: float | None
    duration_weeks: float | None
    confirmed: bool
    quiet: bool
    raised_at: datetime
    previous_id: str | None
    item_id: str | None
    into_candidate_id: str | None
    until: datetime | None
    until_total: int | None
    decided_at: datetime | None
    decided_by: str | None
    decision: str | None
    version: int


class CandidatePast(View):
    """The candidate that the theme had before, and what was decided about it."""

    candidate_id: str
    state: CandidateState
    raised_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    decision: str | None
    item_id: str | None


class CandidateItem(View):
    """The item that the candidate became, or joined."""

    item_id: str
    title: str
    state: ItemState
    horizon: str
    quarter: str | None


class CandidateDecision(View):
    """One thing that happened to a candidate, other than a new score."""

    version: int
    kind: str
    at: datetime
    recorded_at: datetime
    actor: str
    data: dict[str, Any]


class CandidateDetail(CandidateView):
    """A candidate, whole. `quiet_since`: since when its detectors are down."""

    breakdown: Score
    evidence: EvidenceNumbersData | None
    quiet_since: datetime | None
    past: CandidatePast | None
    item: CandidateItem | None
    merged: list[str]
    """Candidates that this one stands for."""
    decisions: list[CandidateDecision]
    correlation_id: str


class CandidateScore(View):
    """A score that the candidate had, what moved it there, and the place it took."""

    version: int
    at: datetime
    value: float
    method: str
    unit: str
    parts: list[dict[str, Any]]
    cause: str
    rank: int | None


class CandidatesSummary(View):
    """What waits for a decision."""

    by_state: dict[str, int]
    quiet: int
    needs_estimate: int
    oldest_raised_at: datetime | None
    by_product: dict[str, int]
    """Open ones of the fifty products that have the most."""


async def list_candidates(
    conn: AsyncConnection,
    *,
    state: CandidateState | Literal["any"],
    product: str | None,
    q: str | None,
    sort: CandidateSort,
    limit: int,
    cursor: str | None,
) -> Page[CandidateView]:
    """Candidates, highest score first or raised last first."""
    query = _ranked()
    if state != "any":
        query = query.where(candidates.c.state == state)
    if product is not None:
        query = query.where(candidates.c.product == product)
    if q is not None:
        query = query.where(
            candidates.c.title.icontains(q, autoescape=True)
            | candidates.c.service.icontains(q, autoescape=True)
        )
    c = candidates.c
    keys = [c.block, c.score] if sort == "score" else [c.raised_at]
    order = [*keys, c.candidate_id]
    return await page_of(conn, query, order, limit=limit, cursor=cursor, view=_view)


async def candidate(conn: AsyncConnection, candidate_id: str) -> CandidateDetail:
    """One candidate with everything that explains it. Raises CandidateUnknown."""
    query = _ranked().where(candidates.c.candidate_id == candidate_id)
    row = (await conn.execute(query)).one_or_none()
    if row is None:
        raise _unknown(candidate_id)
    merged = (
        select(candidates.c.candidate_id)
        .where(candidates.c.into_candidate_id == candidate_id)
        .order_by(candidates.c.candidate_id)
    )
    return CandidateDetail(
        **_fields(row),
        breakdown=row.scored,
        evidence=row.evidence,
        quiet_since=row.quiet_since,
        past=await _past(conn, row.previous_id),
        item=await _item(conn, row.item_id),
        merged=list((await conn.execute(merged)).scalars()),
        decisions=await _decisions(conn, candidate_id),
        correlation_id=row.correlation_id,
    )


async def history(
    conn: AsyncConnection, candidate_id: str, *, limit: int, cursor: str | None
) -> Page[CandidateScore]:
    """Its scores, newest first, each with its cause. Raises CandidateUnknown."""
    known = select(candidates.c.candidate_id).where(candidates.c.candidate_id == candidate_id)
    if (await conn.execute(known)).one_or_none() is None:
        raise _unknown(candidate_id)
    query = select(candidate_scores).where(candidate_scores.c.candidate_id == candidate_id)
    return await page_of(
        conn,
        query,
        [candidate_scores.c.version],
        limit=limit,
        cursor=cursor,
        view=CandidateScore.model_validate,
    )


async def summary(conn: AsyncConnection) -> CandidatesSummary:
    """Counts of what is there, and of what waits."""
    c = candidates.c
    states = await conn.execute(select(c.state, func.count()).group_by(c.state))
    open_now = select(
        func.count(c.quiet_since),
        func.sum(case((c.needs_estimate, 1), else_=0)),
        func.min(c.raised_at, type_=c.raised_at.type),
    ).where(c.state == "open")
    quiet, unestimated, oldest = (await conn.execute(open_now)).one()
    products = (
        select(c.product, func.count().label("n"))
        .where(c.state == "open")
        .group_by(c.product)
        .order_by(func.count().desc(), c.product)
        .limit(50)
    )
    return CandidatesSummary(
        by_state={row[0]: row[1] for row in states},
        quiet=quiet,
        needs_estimate=unestimated or 0,
        oldest_raised_at=oldest,
        by_product={row[0]: row[1] for row in await conn.execute(products)},
    )


def _ranked() -> Select[Any]:
    """Candidates with their rank: how many open ones are ahead, found in the index, plus one."""
    ahead, c = candidates.alias("ahead"), candidates.c
    place = (
        select(func.count() + 1)
        .where(
            ahead.c.state == "open",
            tuple_(ahead.c.block, ahead.c.score, ahead.c.candidate_id)
            > tuple_(c.block, c.score, c.candidate_id),
        )
        .correlate(candidates)
        .scalar_subquery()
    )
    return select(candidates, case((c.state == "open", place)).label("rank"))


def _view(row: Row[Any]) -> CandidateView:
    return CandidateView(**_fields(row))


def _fields(row: Row[Any]) -> dict[str, Any]:
    named = {name: getattr(row, name) for name in _SHOWN}
    return named | {
        "id": row.candidate_id,
        "method": row.scored["method"],
        "unit": row.scored["unit"],
        "score_text": row.scored["text"],
        "evidence_total": row.evidence["total"] if row.evidence else 0,
        "quiet": row.quiet_since is not None,
    }


_MADE_UP = {"id", "method", "unit", "score_text", "evidence_total", "quiet"}
_SHOWN = [name for name in CandidateView.model_fields if name not in _MADE_UP]


async def _past(conn: AsyncConnection, previous_id: str | None) -> CandidatePast | None:
    query = select(candidates).where(candidates.c.candidate_id == previous_id)
    row = (await conn.execute(query)).one_or_none() if previous_id else None
    return CandidatePast.model_validate(row) if row else None


async def _item(conn: AsyncConnection, item_id: str | None) -> CandidateItem | None:
    query = select(items).where(items.c.item_id == item_id)
    row = (await conn.execute(query)).one_or_none() if item_id else None
    return CandidateItem.model_validate(row) if row else None


async def _decisions(conn: AsyncConnection, candidate_id: str) -> list[CandidateDecision]:
    query = (
        select(candidate_log)
        .where(candidate_log.c.candidate_id == candidate_id, candidate_log.c.kind != "rescored")
        .order_by(candidate_log.c.version)
        .limit(MOST_DECISIONS)
    )
    return [CandidateDecision.model_validate(row) for row in await conn.execute(query)]


def _unknown(candidate_id: str) -> CandidateUnknown:
    return CandidateUnknown(
        f"There is no candidate {candidate_id!r}; list them with GET /v1/candidates."
    )
