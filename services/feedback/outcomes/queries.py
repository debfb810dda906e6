"""Reads of outcomes and of how well the detectors did, straight from SQL to the answer."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.detection.store import escalations
from services.feedback.items.store import WITHDRAWN, candidates
from services.feedback.outcomes.domain import OutcomeUnknown
from services.feedback.outcomes.store import outcome_themes, outcome_versions, outcomes
from services.feedback.themes.store import themes
from shared.contracts.feedback import Verdict
from shared.http.fields import View
from shared.http.pages import Page, page_of, values_of


class VerdictView(View):
    """What is known of a delivery by now."""

    outcome_id: str
    verdict: Verdict
    final: bool
    text: str


class OutcomeView(View):
    """Whether a delivered item worked: expected against observed, as of the last look at it, by event
    time. `final`: the time to watch is over, though late evidence may still correct it."""

    id: str
    item_id: str
    title: str
    product: str
    theme_ids: list[str]
    delivered_at: datetime
    watch_until: datetime
    release: str | None
    expected_reduction: float
    verdict: Verdict
    reason: str
    final: bool
    text: str
    numbers: dict[str, float | None]
    as_of: datetime | None
    version: int


class OutcomeVersionView(View):
    """What was said of the outcome at one time."""

    version: int
    verdict: Verdict
    reason: str
    final: bool
    text: str
    numbers: dict[str, float | None]
    as_of: datetime


class OutcomeDetailView(OutcomeView):
    """An outcome and all that was ever said of it, newest first."""

    history: list[OutcomeVersionView]


class OutcomesSummary(View):
    """How many outcomes there are of each verdict."""

    outcomes: int
    final: int
    by_verdict: dict[str, int]


class DetectorRecord(View):
    """What became of what a detector raised: themes, the candidates decided on, and verified items."""

    detector: str
    themes_raised: int
    candidates: int
    accepted: int
    declined: int
    delivered: int
    verified: int
    regressed: int


class Calibration(View):
    """The record of every detector, to tune its policy by."""

    detectors: list[DetectorRecord]


def view(row: Row[Any]) -> OutcomeView:
    return OutcomeView.model_validate(values_of(row))


async def outcome(conn: AsyncConnection, outcome_id: str) -> OutcomeDetailView:
    """The outcome with its history. Raises OutcomeUnknown."""
    row = (await conn.execute(select(outcomes).where(outcomes.c.id == outcome_id))).one_or_none()
    if row is None:
        raise OutcomeUnknown(f"There is no outcome {outcome_id!r}; find one with GET /v1/outcomes.")
    query = select(outcome_versions).where(outcome_versions.c.outcome_id == outcome_id)
    ordered = query.order_by(outcome_versions.c.version.desc()).limit(200)
    history = [OutcomeVersionView.model_validate(one) for one in await conn.execute(ordered)]
    return OutcomeDetailView(**view(row).model_dump(), history=history)


async def list_outcomes(
    conn: AsyncConnection,
    *,
    item_id: str | None,
    theme_id: str | None,
    verdict: str | None,
    limit: int,
    cursor: str | None,
) -> Page[OutcomeView]:
    """Outcomes by their delivery, newest first. A theme is found by any id it ever had."""
    query = select(outcomes)
    if item_id is not None:
        query = query.where(outcomes.c.item_id == item_id)
    if verdict is not None:
        query = query.where(outcomes.c.verdict == verdict)
    if theme_id is not None:
        merged = select(themes.c.id).where(themes.c.merged_into == theme_id)
        concerned = select(outcome_themes.c.outcome_id).where(
            or_(outcome_themes.c.theme_id == theme_id, outcome_themes.c.theme_id.in_(merged))
        )
        query = query.where(outcomes.c.id.in_(concerned))
    sort = [outcomes.c.delivered_at, outcomes.c.id]
    return await page_of(conn, query, sort, limit=limit, cursor=cursor, view=view)


async def summary(conn: AsyncConnection) -> OutcomesSummary:
    """Outcomes by verdict."""
    query = select(outcomes.c.verdict, outcomes.c.final, func.count())
    found = (await conn.execute(query.group_by(outcomes.c.verdict, outcomes.c.final))).all()
    by_verdict: dict[str, int] = {}
    for verdict, _, count in found:
        by_verdict[verdict] = by_verdict.get(verdict, 0) + count
    return OutcomesSummary(
        outcomes=sum(by_verdict.values()),
        final=sum(count for _, final, count in found if final),
        by_verdict=by_verdict,
    )


async def verdicts(conn: AsyncConnection, item_ids: Iterable[str]) -> dict[str, VerdictView]:
    """The newest verdict on each of these items (at most 200), by item id."""
    wanted = sorted(item_ids)
    if not wanted:
        return {}
    query = select(outcomes).where(outcomes.c.item_id.in_(wanted))
    return {
        row.item_id: VerdictView(
            outcome_id=row.id, verdict=row.verdict, final=row.final, text=row.text
        )
        for row in await conn.execute(query.order_by(outcomes.c.delivered_at, outcomes.c.id))
    }


async def calibration(conn: AsyncConnection) -> Calibration:
    """What became of what each detector raised."""
    themes_raised = func.count(escalations.c.theme_id.distinct()).label("themes")
    rose = select(escalations.c.detector, themes_raised).group_by(escalations.c.detector)
    raised = {row.detector: row.themes for row in await conn.execute(rose)}
    counts = {name: dict.fromkeys(_COUNTED, 0) for name in raised}
    verdict_of = {
        row.item_id: row.verdict
        for row in await conn.execute(
            select(outcomes.c.item_id, outcomes.c.verdict).order_by(outcomes.c.delivered_at)
        )
    }
    found = select(candidates.c.detectors, candidates.c.state, candidates.c.item_id, func.count())
    found = found.where(candidates.c.state != WITHDRAWN)
    for detectors, state, item_id, count in await conn.execute(
        found.group_by(candidates.c.detectors, candidates.c.state, candidates.c.item_id)
    ):
        verdict = verdict_of.get(item_id)
        marks = {
            "candidates": True,
            "accepted": item_id is not None,
            "declined": state == "declined",
        }
        marks |= {"delivered": verdict is not None, "verified": verdict == "verified"}
        marks |= {"regressed": verdict == "regressed"}
        for detector in detectors.split():
            tally = counts.setdefault(detector, dict.fromkeys(_COUNTED, 0))
            for name, holds in marks.items():
                tally[name] += count if holds else 0
    records = [
        DetectorRecord(detector=name, themes_raised=raised.get(name, 0), **tally)
        for name, tally in sorted(counts.items())
    ]
    return Calibration(detectors=records)


_COUNTED: tuple[str, ...] = (
    "candidates",
    "accepted",
    "declined",
    "delivered",
    "verified",
    "regressed",
)
