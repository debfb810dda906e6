"""The silence: which labels, from when to when, and how it recurs. Pure; decides by event time.

A moment is in a silence from its beginning on, until before its end. What recurs holds in windows
of so many minutes, each beginning at the same time of day in its time zone: where clocks are put
forward over it, as much later as they are put; where they are put back, the first time.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from services.incidents.silences.matching import Matcher

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

LONGEST_WINDOW = timedelta(days=7)


class UnknownTimezone(ValueError):
    """No time zone of that name."""


@dataclass(frozen=True, slots=True)
class Recurrence:
    """Windows on these days of the week. `begins` is a time of day there; `lasts` is real time."""

    days: tuple[Day, ...]
    begins: time
    lasts: timedelta
    timezone: str


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence as it was made, and whether somebody ended it before its time."""

    id: str
    comment: str
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    recurrence: Recurrence | None
    created_by: str
    created_at: datetime
    ended_at: datetime | None = None
    ended_by: str | None = None

    @property
    def over_at(self) -> datetime:
        """When it is over, by plan or because somebody ended it."""
        return min(self.ends_at, self.ended_at or self.ends_at)


@lru_cache(maxsize=1_000)
def zone(name: str) -> ZoneInfo:
    """The time zone of that name. Raises UnknownTimezone."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise UnknownTimezone(
            f"there is no time zone {name[:60]!r}; write one of the IANA's, as Europe/Vienna"
        ) from None


def holds_until(silence: Silence, at: datetime) -> datetime | None:
    """The end of the silence's window around that moment; None when it doesn't hold then."""
    if not silence.starts_at <= at < silence.over_at:
        return None
    if silence.recurrence is None:
        return silence.over_at
    ends = [end for begin, end in _windows(silence.recurrence, at) if begin <= at < end]
    return min(max(ends), silence.over_at) if ends else None


def _windows(recurrence: Recurrence, at: datetime) -> Iterable[tuple[datetime, datetime]]:
    """The windows that could be open at that moment."""
    there = zone(recurrence.timezone)
    today = at.astimezone(there).date()
    for back in range(-1, recurrence.lasts // timedelta(days=1) + 2):
        day = today - timedelta(days=back)
        if DAYS[day.weekday()] in recurrence.days:
            begin = datetime.combine(day, recurrence.begins, there).astimezone(UTC)
            yield begin, begin + recurrence.lasts
