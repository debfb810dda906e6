"""The verdict on a delivered item: did its theme's incidents become fewer, and because of it?

Says "not enough evidence" whenever that is the truth. Knows no clock and asks nobody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import Literal

from services.feedback.outcomes.policy import OutcomePolicy
from services.feedback.outcomes.rates import NO_DRIFT, Rate
from services.feedback.outcomes.trial import (
    Case,
    Trial,
    later_half,
    risen_sibling,
    span_after,
    span_before,
    try_out,
    untreated_collapsed,
)

__all__ = ["Outcome", "OutcomePolicy", "Verdict", "judge"]

Outcome = Literal[
    "verified", "insufficient_evidence", "no_change", "regressed", "displaced", "exposure_lost"
]

ALREADY_FALLING = 0.1
"""One-sided p: the fall must show, this faintly at least, against the later half of the time
before. What had calmed down before the release owes nothing to it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What can be said of an item at one time, why, and the numbers behind it.

    `final`: the time after is over, so that waiting changes nothing. `numbers` lacks what is
    unbounded (the ratio when nothing happened before). Its `ratio` and interval are relative
    to `ratio_untreated`; `observed_reduction` is 1 - `ratio`.
    """

    outcome: Outcome
    reason: str
    text: str
    final: bool
    numbers: Mapping[str, float] = field(default_factory=dict[str, float])


# outcome                reason                       when, in this order
# exposure_lost          signals_silent               the sender or its rule is known to be silent
# insufficient_evidence  too_early                    fewer than min_days_after since the delivery
# exposure_lost          untreated_collapsed          rarer, but all else has all but stopped too
# regressed              more_than_before             more, also against the drift of the untreated
# insufficient_evidence  too_few_before               fewer than min_count_before to compare with
# displaced              sibling_rose                 fewer, but a sibling took over what it lost
# insufficient_evidence  fell_before_delivery         fewer, but not fewer than just before it
# verified               as_expected                  fewer, and the expected reduction is possible
# verified               less_than_expected           fewer, yet surely short of what was expected
# insufficient_evidence  still_watching               nothing of these, and time is left
# no_change              expected_reduction_ruled_out the interval excludes what was expected
# insufficient_evidence  interval_too_wide            anything is possible still
def judge(
    treated: Sequence[datetime],
    untreated: Sequence[datetime],
    delivered_at: datetime,
    as_of: datetime,
    policy: OutcomePolicy,
    expected_reduction: float,
    siblings: Mapping[str, Sequence[datetime]] | None = None,
    signals_alive: bool | None = None,
) -> Verdict:
    """Judge the item that was delivered at `delivered_at` by what had happened by `as_of`.

    `treated`: when the item's theme hurt. Leave out what came after from places that still ran the
    old release. `untreated`: the other themes of the product, without `siblings`, the themes that
    its pain may have moved to. `expected_reduction`: the share that should go away, above 0 and at
    most 1. `signals_alive`: whether the theme's alert rule and sender are known to work; None if
    unknown. May be asked as often as one likes: early looks need stronger evidence.
    """
    if not 0 < expected_reduction <= 1:
        raise ValueError(
            f"State the expected reduction above 0 and at most 1; it is {expected_reduction}."
        )
    case = Case(
        policy=policy,
        treated=treated,
        untreated=untreated,
        siblings=siblings or {},
        before=span_before(treated, delivered_at, policy),
        after=span_after(delivered_at, as_of, policy),
        expected_reduction=expected_reduction,
        signals_alive=signals_alive,
    )
    if case.after.days == 0:
        text = "The time to watch has not begun; ask again later."
        return Verdict("insufficient_evidence", "too_early", text, final=False)
    trial = try_out(case, treated, case.before)
    outcome, reason, why = _find(case, trial)
    return Verdict(
        outcome=outcome,
        reason=reason,
        text=f"{why} {_in_words(trial)}",
        final=case.share_watched == 1,
        numbers=_numbers(case, trial),
    )


def _find(case: Case, trial: Trial) -> tuple[Outcome, str, str]:
    policy, result = case.policy, trial.result
    needed = policy.p_needed(case.share_watched)
    if case.signals_alive is False:
        why = "The alert rule or its sender is silent: bring it back, then judge."
        return "exposure_lost", "signals_silent", why
    if case.after.days < policy.min_days_after:
        why = f"Less than {policy.min_days_after} days have passed; ask again later."
        return "insufficient_evidence", "too_early", why
    if trial.rate_fell and untreated_collapsed(case):
        why = (
            "The untreated themes of the product have all but stopped as well: see that traffic "
            "and alerting are there, then judge."
        )
        return "exposure_lost", "untreated_collapsed", why
    if trial.p_more <= needed and not trial.rate_fell:
        return "regressed", "more_than_before", "It happens more often than before the delivery."
    if trial.before.count < policy.min_count_before:
        why = f"Fewer than {policy.min_count_before} before the delivery: too few to compare with."
        return "insufficient_evidence", "too_few_before", why
    if result.p_fewer <= needed:
        return _find_cause(case, trial)
    if case.share_watched < 1:
        why = f"Nothing is sure yet after {case.after.days:.0f} of {policy.window_days} days."
        return "insufficient_evidence", "still_watching", why
    if result.low > 1 - case.expected_reduction:
        why = f"A reduction by {case.expected_reduction:.0%}, as expected, can be ruled out."
        return "no_change", "expected_reduction_ruled_out", why
    why = "The counts allow both no effect and the expected one."
    return "insufficient_evidence", "interval_too_wide", why


def _find_cause(case: Case, trial: Trial) -> tuple[Outcome, str, str]:
    """Surely fewer than the drift alone would have left; was it the item?"""
    risen = risen_sibling(case, trial)
    if risen is not None:
        name, other = risen
        why = (
            f"It fell as its sibling {name!r} rose, from {_pace(other.before)} to "
            f"{_pace(other.after)}: look at both as one."
        )
        return "displaced", "sibling_rose", why
    lately = try_out(case, case.treated, later_half(case.before))
    if lately.result.p_fewer > ALREADY_FALLING:
        why = "It had calmed down before the delivery, and since then hardly fell."
        return "insufficient_evidence", "fell_before_delivery", why
    if trial.result.low > 1 - case.expected_reduction:
        why = (
            f"Fewer came than without the item, but surely not the "
            f"{case.expected_reduction:.0%} fewer that were expected."
        )
        return "verified", "less_than_expected", why
    why = f"Fewer came than without the item; {case.expected_reduction:.0%} fewer were expected."
    return "verified", "as_expected", why


def _in_words(trial: Trial) -> str:
    counts = f"From {_pace(trial.before)} to {_pace(trial.after)}"
    if trial.before.count == 0:
        return f"{counts}."
    result = trial.result
    beside = ""
    if trial.drift is not NO_DRIFT:
        beside = f", beside {trial.drift.ratio:.2f} for the untreated themes"
    return (
        f"{counts}: {result.ratio:.2f} times the rate "
        f"(95% interval {result.low:.2f} to {result.high:.2f}){beside}."
    )


def _pace(rate: Rate) -> str:
    days = round(rate.days)
    return f"{rate.count} in {days} {'day' if days == 1 else 'days'}"


def _numbers(case: Case, trial: Trial) -> dict[str, float]:
    result = trial.result
    found = {
        "count_before": trial.before.count,
        "days_before": trial.before.days,
        "per_week_before": trial.before.per_week,
        "count_after": trial.after.count,
        "days_after": trial.after.days,
        "per_week_after": trial.after.per_week,
        "expected_reduction": case.expected_reduction,
        "observed_reduction": 1 - result.ratio,
        "ratio": result.ratio,
        "ratio_low": result.low,
        "ratio_high": result.high,
        "ratio_untreated": trial.drift.ratio,
        "z": result.z,
        "p_fewer": result.p_fewer,
        "p_more": trial.p_more,
        "p_needed": case.policy.p_needed(case.share_watched),
        "phi": trial.spread.phi,
        "share_watched": case.share_watched,
    }
    return {name: float(value) for name, value in found.items() if isfinite(value)}
