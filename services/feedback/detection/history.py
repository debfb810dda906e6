"""A theme's occurrences in the order they happened, and what a window of them holds. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import TypeVar

from scipy.special import betainc

from services.feedback.detection.policy import RecurrencePolicy

Sum = TypeVar("Sum", int, float)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One time that the theme hurt. `customers` None: nobody said how many it affected."""

    at: datetime
    severity: str
    impact_minutes: float = 0.0
    customers: int | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """What the window (at - window_days, at] holds."""

    at: datetime
    count: int
    distinct_days: int
    impact_minutes: float
    customers_suffice: bool


@dataclass(frozen=True, slots=True)
class History:
    """Occurrences by event time with their running sums: any window is a few binary searches.

    Entry i of a running sum holds the sum over the first i occurrences.
    """

    policy: RecurrencePolicy
    occurrences: Sequence[Occurrence]
    times: Sequence[datetime]
    impact: Sequence[float]
    days: Sequence[int]
    customers_known: Sequence[int]
    customers_enough: Sequence[int]

    def window(self, at: datetime) -> Window:
        """What the window that ends at `at` holds."""
        first, end = self._bounds(at)
        known = self.customers_known[end] - self.customers_known[first]
        enough = self.customers_enough[end] - self.customers_enough[first]
        return Window(
            at=at,
            count=end - first,
            # The first one's day counts even where it began before the window.
            distinct_days=self.days[end] - self.days[first + 1] + 1 if end > first else 0,
            impact_minutes=max(0.0, self.impact[end] - self.impact[first]),
            customers_suffice=enough > 0 or known == 0,
        )

    def most_customers(self, at: datetime) -> int | None:
        """The most customers that one occurrence of the window affected; None: nobody counted."""
        first, end = self._bounds(at)
        known = [one.customers for one in self.occurrences[first:end] if one.customers is not None]
        return max(known, default=None)

    def expected(self, at: datetime) -> float:
        """Occurrences that the window ending at `at` would hold by the theme's own baseline.

        The baseline lies before the window, so that what rises now can't raise its own bar. The
        silence before a theme's first occurrence belongs to it: measured from the first
        occurrence on, a theme that grows out of nothing would always look usual. The half is the
        usual correction for small counts.
        """
        policy = self.policy
        start = at - timedelta(days=policy.window_days)
        oldest = bisect_right(self.times, start - timedelta(days=policy.baseline_days))
        count = bisect_right(self.times, start) - oldest
        usual = policy.window_days * (count + 0.5) / policy.baseline_days
        return max(policy.baseline_floor, usual)

    def low_from(self, before: datetime) -> datetime:
        """When the window came to hold fewer than `off` of what happened before `before`."""
        newest = bisect_left(self.times, before)
        return self.times[newest - self.policy.off] + timedelta(days=self.policy.window_days)

    def _bounds(self, at: datetime) -> tuple[int, int]:
        start = at - timedelta(days=self.policy.window_days)
        return bisect_right(self.times, start), bisect_right(self.times, at)


def history(
    occurrences: Iterable[Occurrence], policy: RecurrencePolicy, as_of: datetime
) -> History:
    """What had happened by `as_of`, by event time whatever the order of arrival."""
    happened = [one for one in occurrences if one.at <= as_of]
    return _followed(no_history(policy), 0, happened)


def no_history(policy: RecurrencePolicy) -> History:
    """Nothing has happened."""
    return History(policy, [], [], [0.0], [0], [0], [0])


def history_on(known: History, since: datetime, occurrences: Iterable[Occurrence]) -> History:
    """The history of these occurrences, whose part before `since` is that of `known`."""
    later = [one for one in occurrences if one.at >= since]
    return _followed(known, bisect_left(known.times, since), later)


def first_difference(one: Sequence[Occurrence], other: Sequence[Occurrence]) -> datetime | None:
    """The first time of anything that is not in both at the same place; before it they agree."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        low = high
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return min((occurrence.at for some in (one, other) for occurrence in some[low:]), default=None)


def _followed(before: History, count: int, occurrences: Iterable[Occurrence]) -> History:
    """The first `count` of a history, and these, none of which is earlier. Each sum goes on where it
    stood, so that it is the same to the last bit as if it had been made at once."""
    later = sorted(
        occurrences, key=lambda one: (one.at, one.impact_minutes, one.customers or 0, one.severity)
    )
    dates = [one.at.date() for one in later]
    last = before.times[count - 1].date() if count else None
    new_days = [day != day_before for day, day_before in zip(dates, [last, *dates], strict=False)]
    customers = [one.customers for one in later]
    enough = before.policy.min_customers
    return History(
        policy=before.policy,
        occurrences=[*before.occurrences[:count], *later],
        times=[*before.times[:count], *(one.at for one in later)],
        impact=_running(before.impact[: count + 1], (one.impact_minutes for one in later)),
        days=_running(before.days[: count + 1], new_days),
        customers_known=_running(
            before.customers_known[: count + 1], (number is not None for number in customers)
        ),
        customers_enough=_running(
            before.customers_enough[: count + 1],
            (number is not None and number >= enough for number in customers),
        ),
    )


def surprise(count: int, expected: float, dispersion: float) -> float:
    """P(X >= count) for X negative binomial with this mean and size `dispersion`.

    Its upper tail is the regularised incomplete beta function I_x(count, size) at
    x = mean / (size + mean).
    """
    if count <= 0:
        return 1.0
    return float(betainc(count, dispersion, expected / (dispersion + expected)))


def _running(before: Sequence[Sum], more: Iterable[Sum]) -> list[Sum]:
    """The running sum with more added to it."""
    *done, stand = before
    return [*done, *accumulate(more, initial=stand)]
