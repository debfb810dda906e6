"""Judges a run: what its clients saw against what is stored, promise by promise.

Pure. `check` is for a system at rest (see `settle`), `check_moving` for any moment.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from tests.faults.history import Entry, fates
from tests.faults.promises import (
    acknowledged,
    conservation,
    evidence,
    projections,
    rest,
    versions,
)
from tests.faults.stored import Stored
from tests.faults.violation import Violation


@dataclass(frozen=True)
class Report:
    """`lost` and `doubled` count signals of those `acknowledged`; a run is good without violations."""

    violations: tuple[Violation, ...]
    acknowledged: int
    lost: int
    doubled: int

    @property
    def good(self) -> bool:
        return not self.violations

    def to_json(self, most: int = 20) -> dict[str, Any]:
        """For a runner's output; names at most so many violations."""
        return {
            "acknowledged": self.acknowledged,
            "lost": self.lost,
            "doubled": self.doubled,
            "violations": len(self.violations),
            "examples": [f"{v.promise} {v.about}: {v.what}" for v in self.violations[:most]],
        }

    def __str__(self) -> str:
        lines = [f"{v.promise} {v.about}: {v.what}" for v in self.violations]
        counts = f"{self.acknowledged} acknowledged, {self.lost} lost, {self.doubled} doubled"
        return "\n".join([counts, *lines])


def check(
    history: Sequence[Entry], stored: Stored, *, poison: Collection[str] = (), log: bool = True
) -> Report:
    """All seven promises, at rest. `poison`: the keys of the unreadable records that were sent.

    `log=False` where the bus could not be read, or no longer has all that was ever sent: then what
    needs it is left out (S4's versions on the bus, S6's lag and dead letters, S7's offsets).
    """
    of = fates(history)
    found = [
        *acknowledged.stored_once(of, stored),
        *acknowledged.pains_are_themes(of, stored),
        *acknowledged.readable(history),
        *evidence.ledger(stored),
        *evidence.candidates(stored),
        *versions.logged(stored),
        *projections.folds(stored),
        *projections.signals(stored),
        *projections.evidence(stored),
        *projections.themes(stored),
        *projections.candidates(stored),
        *conservation.claimed_once(stored),
        *conservation.scraped(history),
    ]
    if log:
        found += versions.published(stored, at_rest=True)
        found += conservation.committed(stored)
        found += rest.nothing_waits(stored)
        found += rest.dead_letters(stored, poison)
    return _report(found, history, stored)


def check_moving(history: Sequence[Entry], stored: Stored, *, log: bool = True) -> Report:
    """What holds at every moment, also in the middle of everything."""
    found = [
        *acknowledged.readable(history),
        *versions.logged(stored),
        *projections.signals(stored),
        *conservation.claimed_once(stored),
        *conservation.scraped(history),
    ]
    if log:
        found += versions.published(stored, at_rest=False)
        found += conservation.committed(stored)
    return _report(found, history, stored)


def _report(found: Sequence[Violation], history: Sequence[Entry], stored: Stored) -> Report:
    trails = acknowledged.trails(stored)
    of = fates(history)
    pairs = [(fate, trails.get(sent.id, acknowledged.NOTHING)) for sent, fate in of.items()]
    return Report(
        violations=tuple(dict.fromkeys(found)),
        acknowledged=sum(fate.acknowledged for fate, _ in pairs),
        lost=sum(acknowledged.is_lost(fate, trail) for fate, trail in pairs),
        doubled=sum(acknowledged.is_doubled(fate, trail) for fate, trail in pairs),
    )
