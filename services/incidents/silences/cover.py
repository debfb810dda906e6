"""Silences in memory, compiled: whether one covers an alert at a moment, and for how long. Pure.

Most silences ask for one value of one label. They are kept under it, so that a signal is held only
against those that its own labels lead to, and against those that ask for no such value.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from services.incidents.silences.domain import Silence, holds_until, zone
from services.incidents.silences.matching import Holds, compiled

Asked = tuple[str, str] | None
"""A label and the value that a silence asks of it; None where it asks for no one value."""


class Cover(NamedTuple):
    """By which silence a moment is covered, and from when on by none."""

    by: str
    until: datetime


@dataclass(frozen=True, slots=True)
class _Compiled:
    silence: Silence
    holds: Holds

    def end(self, labels: Mapping[str, str], at: datetime) -> datetime | None:
        """The end of its window around that moment, if it is one of such labels. Cheapest first."""
        silence = self.silence
        about = silence.starts_at <= at < silence.over_at and self.holds(labels)
        return holds_until(silence, at) if about else None


@dataclass(frozen=True, slots=True)
class _Shelf:
    """Silences in the order of their ends, so that those that are over cost nothing."""

    by_end: Sequence[_Compiled]
    ends: Sequence[datetime]

    def later_than(self, at: datetime) -> Sequence[_Compiled]:
        return self.by_end[bisect_right(self.ends, at) :]


@dataclass(frozen=True, slots=True)
class Silences:
    """All silences. They answer for a signal in microseconds."""

    _shelves: Mapping[Asked, _Shelf] = field(default_factory=dict[Asked, _Shelf])

    def cover(self, labels: Mapping[str, str], at: datetime, to: datetime) -> Cover | None:
        """Whether a silence of these labels holds `at` that moment, and for how long without a pause,
        looked at up to `to`. Silences that meet or overlap go on from each other."""
        first: str | None = None
        moment, to = at, max(at, to)
        later = self._later_than(labels, at)
        while first is None or moment <= to:
            ends = [(end, one.silence.id) for one in later if (end := one.end(labels, moment))]
            if not ends:
                break
            moment, by = max(ends)
            first = first or by
        return None if first is None else Cover(first, moment)

    def _later_than(self, labels: Mapping[str, str], at: datetime) -> list[_Compiled]:
        """Those that may hold for such labels then or later."""
        found: list[_Compiled] = []
        for asked in (None, *labels.items()):
            shelf = self._shelves.get(asked)
            if shelf is not None:
                found += shelf.later_than(at)
        return found

    def __bool__(self) -> bool:
        return bool(self._shelves)


NONE = Silences()


def compiled_silences(silences: Iterable[Silence]) -> Silences:
    """These, ready to answer. Raises BadExpression or UnknownTimezone."""
    shelves: defaultdict[Asked, list[_Compiled]] = defaultdict(list)
    for silence in sorted(silences, key=lambda one: one.over_at):
        if silence.recurrence is not None:
            zone(silence.recurrence.timezone)
        shelves[_asked(silence)].append(_Compiled(silence, compiled(silence.matchers)))
    return Silences(
        {
            asked: _Shelf(some, [one.silence.over_at for one in some])
            for asked, some in shelves.items()
        }
    )


def _asked(silence: Silence) -> Asked:
    """The first value that it asks for; the empty one stands for a label that isn't there, too."""
    values = ((m.label, m.value) for m in silence.matchers if m.op == "=" and m.value)
    return next(values, None)
