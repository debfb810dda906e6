"""The recurrence detector: when a theme's occurrences make it rise, and when it falls quiet.

A pure fold over event time: in which order the occurrences arrived, and how often somebody asked
in between, changes nothing. The time to judge at arrives as `as_of`.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from services.feedback.detection.conditions import (
    Frozen,
    numbers,
    reason_not_to_rise,
    reasons_to_rise,
    unmet,
)
from services.feedback.detection.history import (
    History,
    Occurrence,
    first_difference,
    history_on,
    no_history,
)
from services.feedback.detection.policy import InvalidPolicy, RecurrencePolicy
from services.feedback.detection.reason import Reason

__all__ = ["Assessment", "InvalidPolicy", "Occurrence", "RecurrencePolicy", "Rise", "assess"]

Ending = Literal["quiet", "dismissed"]


@dataclass(frozen=True, slots=True)
class Rise:
    """One time that the theme stood up. `fell_at` None: it still does."""

    rose_at: datetime
    fell_at: datetime | None
    reasons: tuple[Reason, ...]
    fell_because: Ending | None = None


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the detector says at `as_of`.

    `reasons`: those of the rise while escalated; while quiet the one condition that stands in
    the way (its name is a `conditions.Refusal`).
    `numbers`: the window that ends at `as_of` beside the thresholds, whatever the state.
    """

    state: Literal["quiet", "escalated"]
    rises: tuple[Rise, ...]
    reasons: tuple[Reason, ...]
    numbers: Mapping[str, float]

    @property
    def current(self) -> Rise | None:
        """The rise that still stands, if any."""
        return self.rises[-1] if self.state == "escalated" else None


@dataclass(frozen=True, slots=True)
class _Standing:
    """Where the fold stands between two moments."""

    rises: tuple[Rise, ...] = ()
    low_since: datetime | None = None
    cooling_until: datetime | None = None
    frozen: Frozen | None = None

    @property
    def escalated(self) -> bool:
        return bool(self.rises) and self.rises[-1].fell_at is None


# state      what happens                                            next       leaves behind
# quiet      an occurrence with which every condition holds          escalated  a rise, its reasons
# quiet      a cooldown ends while every condition holds             escalated  a rise, its reasons
# quiet      a dismissal                                             quiet      a frozen baseline
# escalated  fewer than `off` in the window for `quiet_days` on end  quiet      a cooldown
# escalated  a dismissal                                             quiet      a frozen baseline
#
# A rise spends the frozen baseline: whoever dismissed the theme is to decide anew.
def assess(
    occurrences: Iterable[Occurrence],
    policy: RecurrencePolicy,
    as_of: datetime,
    dismissed_at: datetime | None = None,
    *,
    since: datetime | None = None,
    held: Rise | None = None,
) -> Assessment:
    """Whether the theme stands up at `as_of`, each time that it did before, and why.

    Only what happened by `as_of` counts, and only what lies in the window keeps a theme up, so
    that no straggler holds an old group open. `dismissed_at` is the last time that a person
    declined the theme's candidate. It ends the rise and freezes the baseline, so that a slow ramp
    can't raise its own bar; the theme rises again when its evidence has grown by the policy's
    factor. Where the oldest occurrences are not at hand, `since` says from when on the others are
    enough for every window and baseline, and `held` is the rise that held then: what lies before
    counts, and decides nothing.
    """
    fold = fold_of(occurrences, policy, as_of, dismissed_at, since=since, held=held)
    return assess_fold(fold, as_of)


@dataclass(frozen=True, slots=True)
class Fold:
    """Occurrences as they were given and as they happened, and where the fold stood after each moment.

    What it says of a moment follows from what happened up to it alone. So whoever has a fold of the
    same ledger at hand folds on from the first moment at which the two ledgers differ.
    """

    given: Sequence[Occurrence]
    since: datetime | None
    start: _Standing
    dismissed_at: datetime | None
    past: History
    moments: Sequence[datetime]
    after: Sequence[_Standing]


def fold_of(
    occurrences: Iterable[Occurrence],
    policy: RecurrencePolicy,
    as_of: datetime,
    dismissed_at: datetime | None = None,
    *,
    since: datetime | None = None,
    held: Rise | None = None,
    known: Fold | None = None,
) -> Fold:
    """The fold over what happened by `as_of`; the rest as for `assess`. `known`, of whatever ledger,
    saves work where the two agree, and changes nothing."""
    given = [one for one in occurrences if one.at <= as_of]
    start = _Standing(rises=(held,) if held else ())
    if dismissed_at is not None and not (since or dismissed_at) <= dismissed_at <= as_of:
        dismissed_at = None
    if known is None or (known.past.policy, known.since) != (policy, since):
        known = _nothing(policy, since, start)
    differ_at = first_difference(known.given, given)
    if differ_at is None:
        past, moments = known.past, known.moments
    else:
        past = history_on(known.past, differ_at, given)
        later = set(past.times[bisect_left(past.times, differ_at) :])
        same = known.moments[: bisect_left(known.moments, differ_at)]
        moments = [*same, *sorted(at for at in later if since is None or at > since)]
    after: list[_Standing] = []
    if (known.start, known.dismissed_at) == (start, dismissed_at):
        agreed = len(moments) if differ_at is None else bisect_left(moments, differ_at)
        after += known.after[:agreed]
    _walk(after, moments, start, dismissed_at, past)
    return Fold(given, since, start, dismissed_at, past, moments, after)


def _nothing(policy: RecurrencePolicy, since: datetime | None, start: _Standing) -> Fold:
    return Fold([], since, start, None, no_history(policy), [], [])


def _walk(
    after: list[_Standing],
    moments: Sequence[datetime],
    start: _Standing,
    dismissed_at: datetime | None,
    past: History,
) -> None:
    """Fold on from where `after` ends."""
    standing = after[-1] if after else start
    last = moments[len(after) - 1] if after else None
    for at in moments[len(after) :]:
        if (
            dismissed_at is not None
            and at > dismissed_at
            and (last is None or last <= dismissed_at)
        ):
            standing = _dismissed(standing, dismissed_at, past)
        standing, last = _occurred(standing, at, past), at
        after.append(standing)


def assess_fold(fold: Fold, as_of: datetime) -> Assessment:
    """What the fold comes to at `as_of`, up to which it was made, or later where nothing happens."""
    standing = fold.after[-1] if fold.after else fold.start
    last = fold.moments[-1] if fold.moments else None
    dismissed_at = fold.dismissed_at
    if dismissed_at is not None and (last is None or last <= dismissed_at):
        standing = _dismissed(standing, dismissed_at, fold.past)
    return _assessment(_passed(standing, as_of, fold.past), as_of, fold.past)


def _occurred(before: _Standing, at: datetime, past: History) -> _Standing:
    standing = _passed(before, at, past)
    window = past.window(at)
    if not standing.escalated:
        return _risen(standing, at, past)
    if standing.low_since is not None and window.count >= past.policy.off:
        return replace(standing, low_since=None)
    return standing


def _passed(before: _Standing, to: datetime, past: History) -> _Standing:
    """All that comes about by itself until `to`, before any occurrence at `to` itself."""
    standing = _cooled(_fallen(before, to, past), to, past)
    return standing if standing is before else _passed(standing, to, past)


def _fallen(standing: _Standing, to: datetime, past: History) -> _Standing:
    if not standing.escalated or standing.rises[-1].rose_at >= to:
        return standing
    low_since = standing.low_since or past.low_from(to)
    falls_at = low_since + timedelta(days=past.policy.quiet_days)
    if falls_at <= to:
        cooling_until = falls_at + timedelta(days=past.policy.cooldown_days)
        return replace(_ended(standing, falls_at, "quiet"), cooling_until=cooling_until)
    if low_since < to and standing.low_since is None:
        return replace(standing, low_since=low_since)
    return standing


def _cooled(standing: _Standing, to: datetime, past: History) -> _Standing:
    """A burst inside the cooldown rises at its end: it need not wait for yet another occurrence."""
    ends = standing.cooling_until
    if ends is None or ends > to:
        return standing
    return _risen(replace(standing, cooling_until=None), ends, past)


def _risen(standing: _Standing, at: datetime, past: History) -> _Standing:
    window = past.window(at)
    if unmet(window, past, standing.frozen, standing.cooling_until) is not None:
        return standing
    rise = Rise(at, None, reasons_to_rise(window, past, standing.frozen))
    return _Standing(rises=(*standing.rises, rise))


def _dismissed(before: _Standing, at: datetime, past: History) -> _Standing:
    standing = _passed(before, at, past)
    window = past.window(at)
    ended = _ended(standing, at, "dismissed") if standing.escalated else standing
    frozen = Frozen(at, window.count, window.impact_minutes, past.expected(at))
    # The growth that is asked for guards against flapping; a cooldown would hide an outbreak.
    return replace(ended, frozen=frozen, cooling_until=None)


def _ended(standing: _Standing, at: datetime, because: Ending) -> _Standing:
    *earlier, last = standing.rises
    return _Standing(rises=(*earlier, replace(last, fell_at=at, fell_because=because)))


def _assessment(standing: _Standing, as_of: datetime, past: History) -> Assessment:
    window = past.window(as_of)
    frozen, cooling_until = standing.frozen, standing.cooling_until
    if standing.escalated:
        found = standing.rises[-1].reasons
    else:
        refusal = unmet(window, past, frozen, cooling_until) or "awaiting_occurrence"
        found = (reason_not_to_rise(refusal, window, past, frozen, cooling_until),)
    return Assessment(
        state="escalated" if standing.escalated else "quiet",
        rises=standing.rises,
        reasons=found,
        numbers=numbers(window, past, frozen),
    )
