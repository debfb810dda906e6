"""The power check at commitment: could anyone tell whether this item worked, and when? Pure."""

from dataclasses import dataclass
from math import sqrt

from scipy.special import ndtr, ndtri

CERTAINTY = 0.8
ALPHA = 0.025
"""One-sided, as the verdict's last look has it."""

_STEPS = 20


@dataclass(frozen=True, slots=True)
class Power:
    """When a reduction shows. `weeks` None: not within `weeks_max`.

    `chance_at_max` is the chance that it shows after `weeks_max`; `detectable` the smallest
    reduction (in steps of 5 %) that would show by then, None if no reduction would.
    """

    weeks: int | None
    chance_at_max: float
    detectable: float | None
    text: str


def power(
    count_before: int,
    days_before: float,
    reduction: float,
    phi: float = 1.0,
    weeks_max: int = 26,
    certainty: float = CERTAINTY,
) -> Power:
    """After how many weeks from delivery a reduction (0.5 is a halving) shows with `certainty`.

    The time before is what it is: however long one waits after, its noise stays, so that few
    incidents before leave a small reduction for ever in doubt; pass the longest time before that
    still describes the theme. A verdict watches as long as its policy's `window_days`: give it as
    many weeks as are said here.
    """
    reachable = range(1, weeks_max + 1)

    def shows(cut: float, weeks: int) -> float:
        return chance_to_show(count_before, days_before, cut, weeks * 7.0, phi)

    weeks = next((week for week in reachable if shows(reduction, week) >= certainty), None)
    steps = (step / _STEPS for step in range(1, _STEPS + 1))
    detectable = next((cut for cut in steps if shows(cut, weeks_max) >= certainty), None)
    at_max = shows(reduction, weeks_max)
    subject = f"At {count_before} incidents in {days_before:g} days, a reduction by {reduction:.0%}"
    if weeks is not None:
        after = "1 week" if weeks == 1 else f"{weeks} weeks"
        text = f"{subject} shows with {certainty:.0%} certainty after {after}."
    else:
        text = (
            f"{subject} shows with no more than {at_max:.0%} certainty within {weeks_max} weeks. "
            f"{_advice(detectable)}"
        )
    return Power(weeks, at_max, detectable, text)


def chance_to_show(
    count_before: int,
    days_before: float,
    reduction: float,
    days_after: float,
    phi: float = 1.0,
    alpha: float = ALPHA,
) -> float:
    """The chance that the score test of `rates.compare` finds this reduction, at one-sided `alpha`.

    The normal approximation, both counts varying: T = k_after·(1 - q) - k_before·q is what the
    test divides by its spread. A halving of 12, 28 days each, at alpha = 0.05 gives 0.41, the
    "40 %" of scipy's poisson_means_test with alternative="less"; the verdict asks for 0.025,
    where it is 0.29.
    """
    if count_before <= 0 or days_before <= 0 or days_after <= 0:
        return 0.0
    share = days_after / (days_before + days_after)
    after = count_before / days_before * days_after * (1 - reduction)
    fall = count_before * share - after * (1 - share)
    spread_if_nothing_happened = sqrt(phi * (count_before + after) * share * (1 - share))
    spread = sqrt(phi * (after * (1 - share) ** 2 + count_before * share**2))
    critical = -float(ndtri(alpha))
    return float(ndtr((fall - critical * spread_if_nothing_happened) / spread))


def _advice(detectable: float | None) -> str:
    if detectable is None:
        return "Not even its end would show: gather more evidence before judging by these numbers."
    return (
        f"A reduction by {detectable:.0%} would show by then; for less, agree on another "
        f"criterion or let more evidence gather first."
    )
