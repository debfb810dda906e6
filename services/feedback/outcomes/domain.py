"""An outcome: what is measured of one delivery, and when it is worth saying anew. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from services.feedback.outcomes.policy import OutcomePolicy
from services.feedback.outcomes.verdict import Verdict
from shared.refusals import NotFound

LOOK_AGAIN = timedelta(hours=24)
"""How much event time passes between two looks while nothing comes in."""

USUAL_REDUCTION = 0.5
"""What is expected of an item whose success criterion makes no sense."""

COUNTS = ("count_before", "count_after")
"""The numbers whose change is worth publishing; the others only move with time."""


class OutcomeUnknown(NotFound):
    """No such outcome."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one delivery brought. `as_of` is when the verdict that stands was reached, by event time;
    `due_at` when to look again, None when only new evidence of the time watched could matter."""

    id: str
    item_id: str
    title: str
    product: str
    theme_ids: tuple[str, ...]
    delivered_at: datetime
    watch_from: datetime
    watch_until: datetime
    release: str | None
    expected_reduction: float
    verdict: str = "insufficient_evidence"
    reason: str = "too_early"
    final: bool = False
    text: str = ""
    numbers: Mapping[str, float | None] = field(default_factory=dict[str, float | None])
    as_of: datetime | None = None
    due_at: datetime | None = None
    version: int = 0


def reduction_of(stated: float) -> float:
    """The success criterion as a share above 0 and at most 1."""
    return stated if 0 < stated <= 1 else USUAL_REDUCTION


def watched(delivered_at: datetime, policy: OutcomePolicy) -> tuple[datetime, datetime]:
    """The time whose evidence bears on a delivery, before and after."""
    window = timedelta(days=policy.window_days)
    return delivered_at - window, delivered_at + timedelta(days=policy.settle_days) + window


def assessed(outcome: Outcome, verdict: Verdict, as_of: datetime) -> Outcome:
    """The outcome after a look at it; one version on if that is worth saying: another verdict,
    another certainty of it, or other counts."""
    until = None if verdict.final else min(as_of + LOOK_AGAIN, outcome.watch_until)
    looked = replace(outcome, due_at=until)
    said = (outcome.verdict, outcome.reason, outcome.final, _counts(outcome.numbers))
    seen = (verdict.outcome, verdict.reason, verdict.final, _counts(verdict.numbers))
    if outcome.version > 0 and said == seen:
        return looked
    return replace(
        looked,
        verdict=verdict.outcome,
        reason=verdict.reason,
        final=verdict.final,
        text=verdict.text,
        numbers=dict(verdict.numbers),
        as_of=as_of,
        version=outcome.version + 1,
    )


def _counts(numbers: Mapping[str, float | None]) -> tuple[float | None, ...]:
    return tuple(numbers.get(name) for name in COUNTS)
