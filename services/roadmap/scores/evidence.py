"""From evidence as feedback publishes it to a score: the one door from contracts into the rules."""

import math
from datetime import datetime
from typing import get_args

from services.roadmap.scores.numbers import LARGEST, EvidenceNumbers, Severity
from services.roadmap.scores.policy import ScorePolicy
from services.roadmap.scores.score import Score, rank_key, score
from shared.contracts.feedback import EvidenceNumbersData


def score_of(
    evidence: EvidenceNumbersData | None,
    policy: ScorePolicy,
    *,
    at: datetime,
    effort_person_months: float | None = None,
    duration_weeks: float | None = None,
    confirmed: bool = False,
) -> Score:
    """The score of this evidence; of none, as of `at`, when there is none."""
    numbers = numbers_of(evidence or EvidenceNumbersData(as_of=at, total=0))
    return score(numbers, policy, effort_person_months, duration_weeks, confirmed)


def block_of(scored: Score, policy: ScorePolicy) -> int:
    """1 for a score by the policy's own method, 0 for one that fell back: these rank after."""
    fell_back, _ = rank_key(scored, policy)
    return 0 if fell_back else 1


def numbers_of(data: EvidenceNumbersData) -> EvidenceNumbers:
    """The published numbers as the scores take them.

    What no theme can have is brought within bounds: an odd number must not hold up all the others.
    """
    return EvidenceNumbers(
        as_of=data.as_of,
        total=_count(data.total),
        open=_count(data.open),
        opened_28d=_count(data.opened_28d),
        top_severity_28d=_count(data.top_severity_28d),
        opened_14d=_count(data.opened_14d),
        earlier_count=_count(data.earlier_count),
        earlier_days=_measure(data.earlier_days),
        linked=_count(data.linked),
        impact_minutes_total=_measure(data.impact_minutes_total),
        impact_minutes_per_week=_measure(data.impact_minutes_per_week),
        responder_hours_per_week=_measure(data.responder_hours_per_week),
        customers_max=None if data.customers_max is None else _count(data.customers_max),
        customers_90d=None if data.customers_90d is None else _count(data.customers_90d),
        feedback_count=_count(data.feedback_count),
        votes=_count(data.votes),
        severity_max=_severity(data.severity_max),
    )


def _count(number: int) -> int:
    return min(max(number, 0), int(LARGEST))


def _measure(number: float) -> float:
    return min(max(number, 0.0), LARGEST) if math.isfinite(number) else 0.0


def _severity(name: str | None) -> Severity | None:
    return next((known for known in get_args(Severity) if known == name), None)
