"""Cuts a log into slices of event time, so that it is brought in as it happened.

An incident sent whole would bring its end along: of one that was closed in December, every other
incident of March would then be judged as of December. So an incident is sent in as many items as
there are slices in which something happened to it; each continues the one before.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from services.replay.incidents import ReplayedIncident

MOST_ENTRIES = 2_000
ENOUGH_ENTRIES = 100
LONGEST = timedelta(days=7)
"""Shorter than the windows in which anything is counted."""


@dataclass(frozen=True, slots=True)
class Item:
    """An incident with what happened to it in one slice; `opens`: its opening is part of that."""

    incident: ReplayedIncident
    opens: bool


Happening = tuple[datetime, int, int]
"""When, to which incident, at which place of its history; -1 is its opening."""


def slices_of(incidents: Sequence[ReplayedIncident]) -> Iterator[list[Item]]:
    """The incidents of each slice, with what happened to them in it; slices are in order of time.

    A slice ends with the day, once enough happened in it, and after a week at the latest.
    """
    first: datetime | None = None
    held: list[Happening] = []
    for happening in sorted(_happenings(incidents)):
        at = happening[0]
        if first is not None and _ends(len(held), first, held[-1][0], at):
            yield _items(incidents, held)
            held, first = [], None
        first = first or at
        held.append(happening)
    if held:
        yield _items(incidents, held)


def _happenings(incidents: Sequence[ReplayedIncident]) -> Iterator[Happening]:
    for number, incident in enumerate(incidents):
        yield incident.opened_at, number, -1
        for place, entry in enumerate(incident.history):
            yield entry.at, number, place


def _ends(count: int, first: datetime, last: datetime, at: datetime) -> bool:
    """Does a slice with so many entries, from `first` to `last`, end before what happened `at`?

    Never between two entries of one moment: the import tells entries apart by their kind and moment.
    """
    if at == last:
        return False
    another_day = at.date() != first.date()
    return (
        count >= MOST_ENTRIES or at - first > LONGEST or (another_day and count >= ENOUGH_ENTRIES)
    )


def _items(incidents: Sequence[ReplayedIncident], held: Iterable[Happening]) -> list[Item]:
    places: dict[int, list[int]] = {}
    for _, number, place in held:
        places.setdefault(number, []).append(place)
    return [Item(_part(incidents[number], some), -1 in some) for number, some in places.items()]


def _part(incident: ReplayedIncident, places: Iterable[int]) -> ReplayedIncident:
    history = tuple(incident.history[place] for place in places if place >= 0)
    return msgspec.structs.replace(incident, history=history)
