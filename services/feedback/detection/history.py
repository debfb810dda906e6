"""A theme's occurrences in the order they happened, and what a window of them holds. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate

from scipy.special import betainc

from services.feedback.detection.policy import RecurrencePolicy


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
    ordered = sorted(
        (one for one in occurrences if one.at <= as_of),
        key=lambda one: (one.at, one.impact_minutes, one.customers or 0, one.severity),
    )
    dates = [one.at.date() for one in ordered]
    new_days = [day != before for day, before in zip(dates, [None, *dates], strict=False)]
    customers = [one.customers for one in ordered]
    return History(
        policy=policy,
        occurrences=ordered,
        times=[one.at for one in ordered],
        impact=list(accumulate((one.impact_minutes for one in ordered), initial=0.0)),
        days=_running(new_days),
        customers_known=_running(number is not None for number in customers),
        customers_enough=_running(
            number is not None and number >= policy.min_customers for number in customers
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


def _running(flags: Iterable[bool]) -> list[int]:
    return list(accumulate(map(int, flags), initial=0))
