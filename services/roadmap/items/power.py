"""The power check: for how long must one watch until an expected reduction would show?

The test is the exact conditional one of Przyborowski and Wilenski (Homogeneity of results in
testing samples from Poisson series, Biometrika 31, 1940): given n incidents in all, those after
delivery are Binomial(n, share of the time that lies after) when nothing changed. The level is
one-sided 2.5 %, that of an outcome's last look. Its power is the mean over n, which is Poisson, of
the chance that the true, lower share leads to so few. Incidents that come in bursts count for
less: every count is divided by the dispersion φ, weekly variance over mean, as in a quasi-Poisson
model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom, poisson

SIGNIFICANCE = 0.025
CERTAINTY = 0.8
LONGEST_WEEKS = 26
MOST_INCIDENTS = 1_000_000
"""A count beyond this is tested as if it were this many: a week settles either."""


@dataclass(frozen=True, slots=True)
class Power:
    """`weeks` is None when no watch of half a year would do; `text` says it to a person."""

    weeks: int | None
    text: str


def power(count_before: int, days_before: float, reduction: float, phi: float) -> Power:
    """After how many weeks a `reduction` in (0, 1] of `count_before` incidents in `days_before`
    days shows with 80 % certainty. `phi` below 1 is taken as 1.
    """
    counted = (
        f"at {count_before:,} incident{'' if count_before == 1 else 's'} in {days_before:g} days"
    )
    change = "a halving" if reduction == 0.5 else f"a reduction by {reduction:.0%}"
    effective = min(count_before, MOST_INCIDENTS) / max(phi, 1.0)
    if effective <= 0:
        return Power(None, f"{counted}, no reduction can ever show: there is nothing to reduce")
    if chance(effective, days_before, reduction, LONGEST_WEEKS) < CERTAINTY:
        return Power(
            None,
            f"{counted}, {change} does not show with 80 % certainty even after "
            f"{LONGEST_WEEKS} weeks: expect the verdict 'insufficient evidence'",
        )
    weeks = _first_that_shows(effective, days_before, reduction)
    return Power(
        weeks,
        f"{counted}, {change} shows with 80 % certainty after {weeks} "
        f"week{'' if weeks == 1 else 's'}",
    )


def _first_that_shows(effective: float, days: float, reduction: float) -> int:
    """By bisection: power grows with the watch, but for steps too small to matter here."""
    too_short, enough = 0, LONGEST_WEEKS
    while enough - too_short > 1:
        middle = (too_short + enough) // 2
        if chance(effective, days, reduction, middle) >= CERTAINTY:
            enough = middle
        else:
            too_short = middle
    return enough


def chance(effective: float, days_before: float, reduction: float, weeks: int) -> float:
    """The test's power after `weeks` of watching, for an `effective` count before."""
    days_after = 7.0 * weeks
    after = effective / days_before * days_after * (1.0 - reduction)
    mean = effective + after
    n = np.arange(int(poisson.ppf(1e-6, mean)), int(poisson.ppf(1 - 1e-6, mean)) + 1)
    share_if_unchanged = days_after / (days_after + days_before)
    few = binom.ppf(SIGNIFICANCE, n, share_if_unchanged)
    few = np.where(binom.cdf(few, n, share_if_unchanged) <= SIGNIFICANCE, few, few - 1)
    return float(np.sum(poisson.pmf(n, mean) * binom.cdf(few, n, after / mean)))


def dispersion(weekly: Sequence[int]) -> float:
    """φ of these weekly counts: variance over mean, at least 1; 1 when they are too few to tell."""
    if len(weekly) < 4 or sum(weekly) == 0:
        return 1.0
    return max(1.0, float(np.var(weekly, ddof=1) / np.mean(weekly)))
