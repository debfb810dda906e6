"""One delivered item as a before/after trial: the spans, the rates in them, and what stood beside.

Gathers what a verdict weighs; decides nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.feedback.outcomes.policy import OutcomePolicy
from services.feedback.outcomes.rates import (
    NO_DRIFT,
    Comparison,
    Dispersion,
    Drift,
    Rate,
    Span,
    compare,
    dispersion,
    drift,
)


@dataclass(frozen=True, slots=True)
class Case:
    """All that a verdict looks at. The times need no order; they are only counted."""

    policy: OutcomePolicy
    treated: Sequence[datetime]
    untreated: Sequence[datetime]
    siblings: Mapping[str, Sequence[datetime]]
    before: Span
    after: Span
    expected_reduction: float
    signals_alive: bool | None

    @property
    def share_watched(self) -> float:
        """How much of the time after is over, up to 1."""
        return min(1.0, self.after.days / self.policy.window_days)


@dataclass(frozen=True, slots=True)
class Trial:
    """One theme, before against after.

    `p_more` knows the clusters after the delivery as well: a theme that was nearly quiet before
    showed none, and its next bad week is not yet a regression.
    """

    before: Rate
    after: Rate
    spread: Dispersion
    drift: Drift
    result: Comparison
    p_more: float

    @property
    def expected_after(self) -> float:
        """How many would have come after, had only the drift happened."""
        return self.before.count / self.before.days * self.after.days * self.drift.ratio

    @property
    def rate_fell(self) -> bool:
        """Whether it happens less often than before, whatever the untreated did."""
        return self.after.per_week < self.before.per_week


def span_before(treated: Sequence[datetime], delivered_at: datetime, policy: OutcomePolicy) -> Span:
    """Back to the window's length, or to the theme's first occurrence where that came later.

    The span is open at its start, so that the occurrence which set it is not counted: counting
    from an event on, event included, would overstate the rate.
    """
    longest = delivered_at - timedelta(days=policy.window_days)
    shortest = delivered_at - timedelta(days=policy.min_days_before)
    first = min((at for at in treated if at <= delivered_at), default=longest)
    return Span(min(max(first, longest), shortest), delivered_at)


def span_after(delivered_at: datetime, as_of: datetime, policy: OutcomePolicy) -> Span:
    """From the end of the settling on, for the window's length or as far as time has come."""
    start = delivered_at + timedelta(days=policy.settle_days)
    return Span(start, min(as_of, start + timedelta(days=policy.window_days)))


def try_out(case: Case, times: Sequence[datetime], before: Span) -> Trial:
    """Compare how often these times fall into `before` and into the case's time after."""
    there = Rate(before.count(times), before.days)
    here = Rate(case.after.count(times), case.after.days)
    meanwhile, spread = _drift(case), dispersion(times, case.before)
    widest = max(spread, dispersion(times, case.after), key=lambda known: known.phi)
    return Trial(
        before=there,
        after=here,
        spread=spread,
        drift=meanwhile,
        result=compare(there, here, spread, meanwhile),
        p_more=compare(there, here, widest, meanwhile).p_more,
    )


def later_half(span: Span) -> Span:
    """The half of the span that lies nearer to its end."""
    return Span(span.start + (span.end - span.start) / 2, span.end)


def untreated_collapsed(case: Case) -> bool:
    """Whether next to nothing is left of what nobody treated, though it may have gone silent."""
    there, here = _untreated(case)
    if case.signals_alive or there.count < case.policy.min_untreated:
        return False
    return here.per_week <= case.policy.collapse_ratio * there.per_week


def risen_sibling(case: Case, trial: Trial) -> tuple[str, Trial] | None:
    """Of the siblings that surely rose, by a good part of what the treated theme lost, the one that
    gained most.

    Bonferroni: each of m siblings is tested at 5 % ÷ m, or one of many would always have risen.
    """
    lost = trial.expected_after - trial.after.count
    risen: dict[str, tuple[float, Trial]] = {}
    for name, times in sorted(case.siblings.items()):
        other = try_out(case, times, case.before)
        gained = other.after.count - other.expected_after
        surely = other.p_more <= 0.05 / len(case.siblings)
        if surely and gained >= case.policy.displaced_share * lost:
            risen[name] = gained, other
    if not risen:
        return None
    most = max(risen, key=lambda name: risen[name][0])
    return most, risen[most][1]


def _drift(case: Case) -> Drift:
    there, here = _untreated(case)
    if there.count < case.policy.min_untreated:
        return NO_DRIFT
    return drift(there, here, dispersion(case.untreated, case.before))


def _untreated(case: Case) -> tuple[Rate, Rate]:
    return (
        Rate(case.before.count(case.untreated), case.before.days),
        Rate(case.after.count(case.untreated), case.after.days),
    )
