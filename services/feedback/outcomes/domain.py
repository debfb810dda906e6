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

TOLD: Mapping[str, int] = {"count_before": 0, "count_after": 0, "ratio_untreated": 1}
"""The numbers whose change is worth publishing, each with the decimals that count; the others follow
from these or only move with time."""


class OutcomeUnknown(NotFound):
    """No such outcome."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one delivery brought, as the last look at it found. `as_of` is when that was, by event
    time; `due_at` when to look again, None when only new evidence of the time watched could matter;
    `version` counts what was published."""

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
    another certainty of it, or other counts, also of the untreated. What is final is as of the end
    of the time watched, whenever one looks."""
    as_of = min(as_of, outcome.watch_until)
    until = None if verdict.final else min(as_of + LOOK_AGAIN, outcome.watch_until)
    said = (outcome.verdict, outcome.reason, outcome.final, _told(outcome.numbers))
    seen = (verdict.outcome, verdict.reason, verdict.final, _told(verdict.numbers))
    news = outcome.version == 0 or said != seen
    return replace(
        outcome,
        verdict=verdict.outcome,
        reason=verdict.reason,
        final=verdict.final,
        text=verdict.text,
        numbers=dict(verdict.numbers),
        as_of=as_of,
        due_at=until,
        version=outcome.version + (1 if news else 0),
    )


def _told(numbers: Mapping[str, float | None]) -> tuple[float | None, ...]:
    found = ((numbers.get(name), decimals) for name, decimals in TOLD.items())
    return tuple(None if value is None else round(value, decimals) for value, decimals in found)
