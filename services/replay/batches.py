"""Cuts incidents into the bodies of import requests. Pure, and the same for the same file and mapping."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from services.replay.incidents import Entry, ReplayedIncident

MOST_INCIDENTS = 200
"""In one request. The API takes 500; smaller ones hold its writer for a shorter time."""

MOST_BYTES = 400_000
"""The gateway takes 512 KiB."""

MOST_ENTRIES = 500
"""In one item of an import."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One request: its place among all, how many incidents it brings, its body."""

    number: int
    incidents: int
    body: bytes


def batches_of(incidents: Iterable[ReplayedIncident]) -> Iterator[Batch]:
    """The requests that bring these incidents in, in the same order; each incident is in one."""
    number, count, size = 0, 0, 0
    items: list[bytes] = []
    for incident in incidents:
        own = [msgspec.json.encode(piece) for piece in pieces_of(incident)]
        length = sum(map(len, own)) + len(own)
        full = len(items) + len(own) > MOST_INCIDENTS or size + length > MOST_BYTES
        if items and full:
            yield Batch(number, count, _body(items))
            number, count, size, items = number + 1, 0, 0, []
        items += own
        count, size = count + 1, size + length
    if items:
        yield Batch(number, count, _body(items))


def _body(items: Iterable[bytes]) -> bytes:
    return b'{"incidents":[' + b",".join(items) + b"]}"


def pieces_of(incident: ReplayedIncident) -> Iterator[ReplayedIncident]:
    """The incident in items with histories that the import takes: the later ones continue the first.

    Cut only between two moments: the import tells entries apart by their kind and moment.
    """
    history = incident.history
    while len(history) > MOST_ENTRIES:
        cut = _cut(history)
        yield msgspec.structs.replace(incident, history=history[:cut])
        history = history[cut:]
    yield msgspec.structs.replace(incident, history=history)


def _cut(history: tuple[Entry, ...]) -> int:
    for place in range(MOST_ENTRIES, 0, -1):
        if history[place].at != history[place - 1].at:
            return place
    return MOST_ENTRIES
