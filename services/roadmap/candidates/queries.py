"""Reads of candidates, straight from SQL to the answer."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Row, Select, bindparam, case, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap.candidates.domain import CandidateState
from services.roadmap.candidates.refusals import CandidateUnknown
from services.roadmap.candidates.store import candidate_log, candidate_scores, candidates
from services.roadmap.items.store import items
from services.roadmap.scores.score import Score
from shared.contracts.feedback import EvidenceNumbersData, ReasonData
from shared.contracts.roadmap import ItemState
from shared.http.fields import View
from shared.http.pages import InvalidCursor, Page, page_of, values_of

CandidateSort = Literal["score", "raised"]

MOST_DECISIONS = 200

PASSED = "."
"""Ends the number that a cursor begins with; no other part of a cursor has it."""

MOST_DIGITS = 15

BEYOND_BLOCKS = 2**31 - 1
"""Comes before every block."""


class CandidateView(View):
    """A candidate, as a list shows it. `rank` is its place among the open ones; 1 is the first. A list
    by score that leaves none of these out counts on from its first page, whatever changes meanwhile."""

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


def counts_on(
    state: CandidateState | Literal["any"], product: str | None, q: str | None, sort: CandidateSort
) -> bool:
    """Does this list show every open candidate, by score? Then it is read with one statement."""
    return sort == "score" and state in ("open", "any") and product is None and q is None


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
    """Candidates, highest score first or raised last first. Raises InvalidCursor.

    A list of all by score numbers its rows as it goes, and its cursor says how far it got: nobody
    counts what other pages have shown. Every other list leaves some out, and counts them.
    """
    c = candidates.c
    every = counts_on(state, product, q, sort)
    passed, after = _passed(cursor) if every else (0, cursor)
    query = select(candidates)
    if state != "any":
        query = query.where(candidates.c.state == state)
    if product is not None:
        query = query.where(candidates.c.product == product)
    if q is not None:
        query = query.where(
            candidates.c.title.icontains(q, autoescape=True)
            | candidates.c.service.icontains(q, autoescape=True)
        )
    keys = [c.block, c.score] if sort == "score" else [c.raised_at]
    found = await page_of(
        conn, query, [*keys, c.candidate_id], limit=limit, cursor=after, view=lambda row: row
    )
    shown = [row.candidate_id for row in found.items if row.state == "open"]
    places = _numbered(shown, passed) if every else await _places(conn, shown)
    following = found.next
    if every and following is not None:
        following = f"{passed + len(shown)}{PASSED}{following}"
    items = [
        CandidateView.model_validate(_fields(row, places.get(row.candidate_id)))
        for row in found.items
    ]
    return Page(items=items, next=following)


async def candidate(conn: AsyncConnection, candidate_id: str) -> CandidateDetail:
    """One candidate with everything that explains it. Raises CandidateUnknown."""
    query = select(candidates).where(candidates.c.candidate_id == candidate_id)
    row = (await conn.execute(query)).one_or_none()
    if row is None:
        raise _unknown(candidate_id)
    merged = (
        select(candidates.c.candidate_id)
        .where(candidates.c.into_candidate_id == candidate_id)
        .order_by(candidates.c.candidate_id)
    )
    places = await _places(conn, [candidate_id] if row.state == "open" else [])
    more = {
        "breakdown": row.scored,
        "past": await _past(conn, row.previous_id),
        "item": await _item(conn, row.item_id),
        "merged": list((await conn.execute(merged)).scalars()),
        "decisions": await _decisions(conn, candidate_id),
    }
    return CandidateDetail.model_validate(_fields(row, places.get(candidate_id)) | more)


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


def _passed(cursor: str | None) -> tuple[int, str | None]:
    """How many open ones the pages before have shown, and where they ended."""
    if cursor is None:
        return 0, None
    number, _, after = cursor.partition(PASSED)
    if not (number.isascii() and number.isdigit() and len(number) <= MOST_DIGITS):
        raise InvalidCursor()
    return int(number), after


def _numbered(candidate_ids: Iterable[str], passed: int) -> dict[str, int]:
    """The places of these, which follow each other and so many others."""
    return {one: place for place, one in enumerate(candidate_ids, passed + 1)}


async def _places(conn: AsyncConnection, candidate_ids: Sequence[str]) -> dict[str, int]:
    """The places of these open candidates, any of them: counts what lies before each, once."""
    if not candidate_ids:
        return {}
    rows = await conn.execute(_STEPS, {"ids": candidate_ids})
    place, places = 0, {}
    for row in rows:
        place += row.step
        places[row.own_id] = place
    return places


def _steps() -> Select[Any, int]:
    """Open candidates `ids` by rank, each with how many places it is behind the one before."""
    c, ahead = candidates.c, candidates.alias("ahead")
    order = [c.block.desc(), c.score.desc(), c.candidate_id.desc()]
    mine = (c.block, c.score, c.candidate_id)
    ends = (BEYOND_BLOCKS, 0.0, "")
    before = [func.lag(mine[n], 1, ends[n]).over(order_by=order) for n in range(3)]
    names = ("block", "score", "id")
    asked = (
        select(
            *[column.label(f"own_{name}") for column, name in zip(mine, names, strict=True)],
            *[column.label(f"last_{name}") for column, name in zip(before, names, strict=True)],
        )
        .where(c.candidate_id.in_(bindparam("ids", expanding=True)))
        .subquery("asked")
    )

    def bound(which: str) -> Any:
        # SQLite walks all columns of the index only if what they meet is no column's own value
        of = asked.c
        return tuple_(of[f"{which}_block"] + 0, of[f"{which}_score"] + 0.0, of[f"{which}_id"] + "")

    key = tuple_(ahead.c.block, ahead.c.score, ahead.c.candidate_id)
    step = (
        select(func.count())
        .select_from(ahead)
        .where(ahead.c.state == "open", key >= bound("own"), key < bound("last"))
        .scalar_subquery()
    )
    return select(asked.c.own_id, step.label("step")).order_by(
        asked.c.own_block.desc(), asked.c.own_score.desc(), asked.c.own_id.desc()
    )


_STEPS = _steps()


def _fields(row: Row[Any], rank: int | None) -> dict[str, Any]:
    values = values_of(row)
    scored, evidence = values["scored"], values["evidence"]
    return values | {
        "id": values["candidate_id"],
        "rank": rank,
        "method": scored["method"],
        "unit": scored["unit"],
        "score_text": scored["text"],
        "evidence_total": evidence["total"] if evidence else 0,
        "quiet": values["quiet_since"] is not None,
    }


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
