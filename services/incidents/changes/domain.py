"""A change as its sender tells it, and what the next telling of the same change does to it.

    told again            its own fields           at            stated_at
    of a later moment     as told now              the earlier   that moment
    of the same moment    as told now, unless it   stays         stays
                          says less (an end is
                          known, this has none)
    of an earlier moment  stay                     that moment   stays

So tellings may arrive in any order, and twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

Kind = Literal["deployment", "release", "config", "other"]
State = Literal["in_progress", "done", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One telling of a change: that, `at` this moment, it was in this state."""

    source: str
    """Who vouches for the reference: `github`, or a caller's name."""
    external_ref: str
    """The change's identity within its source; the same at every telling."""
    kind: Kind
    title: str
    service: str | None
    """As the sender names it; the catalog may know it by another name, or not at all."""
    at: datetime
    state: State = "done"
    environment: str | None = None
    revision: str | None = None
    """What is now there: a commit, a version."""
    url: str | None = None
    details: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Recorded:
    """A change as it is kept. `told` is the telling that holds; its `at` is the latest moment."""

    id: str
    told: Change
    at: datetime
    """When it began: the earliest moment that was told of it."""
    recorded_at: datetime
    """When we first heard of it."""


def begun(identifier: str, told: Change, recorded_at: datetime) -> Recorded:
    """A change that is told for the first time."""
    return Recorded(identifier, told, told.at, recorded_at)


def retold(known: Recorded, told: Change) -> Recorded:
    """The change after another telling of it; the very same object when that changes nothing."""
    holds = told if _weight(told) >= _weight(known.told) else known.told
    after = replace(known, told=holds, at=min(known.at, told.at))
    return known if after == known else after


def _weight(told: Change) -> tuple[datetime, bool]:
    """What a telling says counts by its moment; within one moment an end outweighs a beginning."""
    return told.at, told.state != "in_progress"
