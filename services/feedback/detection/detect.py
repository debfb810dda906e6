"""Puts a theme's ledger before every detector: what stands up, since when, and until when at most.

Pure. The answer follows from the ledger, the policies and `as_of` alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from services.feedback.detection import demand
from services.feedback.detection.demand import DemandPolicy, Voice, assess_demand
from services.feedback.detection.reason import Reason
from services.feedback.detection.recurrence import (
    Assessment,
    Fold,
    Occurrence,
    RecurrencePolicy,
    Rise,
    assess_fold,
    fold_of,
)

RECURRENCE = "recurrence"

FORESEE = timedelta(days=20_000)
"""Longer than any window a policy can have: by then everything has fallen again."""


@dataclass(frozen=True, slots=True)
class Policies:
    """What holds for one product."""

    recurrence: RecurrencePolicy
    demand: DemandPolicy


@dataclass(frozen=True, slots=True)
class Material:
    """A ledger as the detectors see it. `begins_at`: older occurrences there were are not at hand."""

    occurrences: Sequence[Occurrence]
    voices: Sequence[Voice]
    begins_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """Where recurrence begins to decide when the oldest occurrences are not at hand, and the rise
    that held then. What it decided before stays as it was."""

    since: datetime | None = None
    held: Rise | None = None


def start_of(material: Material, policies: Policies, known: Sequence[Rise]) -> Start:
    """Where to begin, given the rises of recurrence known so far: late enough that a baseline and a
    window are at hand, or a steady theme would look as if it began with its oldest row. What came
    so thickly that they are not is still judged by its last window: it may rise too easily then."""
    if material.begins_at is None or not material.occurrences:
        return Start()
    window = timedelta(days=policies.recurrence.window_days)
    baseline = timedelta(days=policies.recurrence.baseline_days)
    newest = max(one.at for one in material.occurrences)
    since = max(material.begins_at, min(material.begins_at + window + baseline, newest - window))
    held = [r for r in known if r.rose_at <= since and (r.fell_at is None or r.fell_at > since)]
    return Start(since, replace(held[-1], fell_at=None, fell_because=None) if held else None)


@dataclass(frozen=True, slots=True)
class Detected:
    """What stands at a time: every rise so far by detector, those that still hold, and `review_at`,
    when one of them will rise or fall by itself if nothing comes in."""

    rises: tuple[tuple[str, Rise], ...]
    review_at: datetime | None
    fold: Fold | None = field(default=None, compare=False, repr=False)
    """Of recurrence: what the next look at the same ledger may begin with."""

    @property
    def standing(self) -> dict[str, Rise]:
        """The rises that hold, by detector."""
        return {detector: rise for detector, rise in self.rises if rise.fell_at is None}

    @property
    def newest(self) -> dict[str, Rise]:
        """The last rise of each detector, whether it holds or not."""
        return dict(self.rises)

    @property
    def state(self) -> Literal["quiet", "escalated"]:
        return "escalated" if self.standing else "quiet"

    @property
    def rose_at(self) -> datetime | None:
        """When the first of those that hold rose."""
        return min((rise.rose_at for rise in self.standing.values()), default=None)

    @property
    def fell_at(self) -> datetime | None:
        """When the last one fell; None when one holds, or none ever rose."""
        return (
            None
            if self.standing
            else max((rise.fell_at for _, rise in self.rises if rise.fell_at), default=None)
        )

    def reasons(self) -> tuple[Reason, ...]:
        """The reasons of all that holds, else of what fell last, as of when it rose."""
        shown = list(self.standing.values())
        shown = shown or [rise for rise in self.newest.values() if rise.fell_at == self.fell_at]
        return tuple(reason for rise in shown for reason in rise.reasons)


def detect(
    material: Material,
    policies: Policies,
    as_of: datetime,
    dismissed_at: datetime | None,
    start: Start = Start(),
    known: Fold | None = None,
) -> Detected:
    """Every rise up to `as_of`, and what will come about by itself after it. `known`, the fold of an
    earlier look, saves work and changes nothing.

    Each detector is asked once, for the far future: what it says up to `as_of` holds now, and the
    first change after it is when to look again.
    """
    dismissed = dismissed_at if dismissed_at is not None and dismissed_at <= as_of else None
    rises: list[tuple[str, Rise]] = []
    changes: list[datetime] = []
    fold: Fold | None = None
    found: list[tuple[str, Assessment]] = []
    if len(material.occurrences) >= policies.recurrence.on:
        fold = _fold(material, policies, as_of, dismissed, start, known)
        found.append((RECURRENCE, assess_fold(fold, as_of + FORESEE)))
    if material.voices:
        found.append((demand.DETECTOR, _demand(material, policies, as_of, dismissed, FORESEE)))
    for detector, assessment in found:
        for rise in assessment.rises:
            times = [at for at in (rise.rose_at, rise.fell_at) if at is not None]
            changes += [at for at in times if at > as_of]
            if rise.rose_at <= as_of:
                rises.append((detector, _as_seen_at(rise, as_of)))
    rises.sort(key=lambda pair: (pair[1].rose_at, pair[0]))
    return Detected(tuple(rises), min(changes, default=None), fold)


def _as_seen_at(rise: Rise, as_of: datetime) -> Rise:
    if rise.fell_at is not None and rise.fell_at > as_of:
        return replace(rise, fell_at=None, fell_because=None)
    return rise


def explain(
    material: Material,
    policies: Policies,
    as_of: datetime,
    dismissed_at: datetime | None,
    start: Start = Start(),
    known: Fold | None = None,
) -> dict[str, Assessment]:
    """What each detector says at `as_of`: why it rose or what stands in the way, and its numbers."""
    fold = _fold(material, policies, as_of, dismissed_at, start, known)
    return {
        RECURRENCE: assess_fold(fold, as_of),
        demand.DETECTOR: _demand(material, policies, as_of, dismissed_at, timedelta()),
    }


def _fold(
    material: Material,
    policies: Policies,
    as_of: datetime,
    dismissed_at: datetime | None,
    start: Start,
    known: Fold | None,
) -> Fold:
    return fold_of(
        material.occurrences,
        policies.recurrence,
        as_of,
        dismissed_at,
        since=start.since,
        held=start.held,
        known=known,
    )


def _demand(
    material: Material,
    policies: Policies,
    as_of: datetime,
    dismissed_at: datetime | None,
    ahead: timedelta,
) -> Assessment:
    """What demand says so long after `as_of`, should nobody speak until then."""
    voices = [one for one in material.voices if one.at <= as_of]
    return assess_demand(voices, policies.demand, as_of + ahead, dismissed_at)
