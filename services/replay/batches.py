"""Puts incidents into the bodies of import requests. Pure, and the same for the same file and mapping."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from services.replay.incidents import Entry, ReplayedIncident

MOST_ITEMS = 200
"""In one request. The API takes 500; smaller ones hold its writer for a shorter time."""

MOST_BYTES = 400_000
"""The gateway takes 512 KiB."""

MOST_ENTRIES = 500
"""In one item of an import."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One request: its place among all, how many incidents it brings, its body."""

    number: int
    opens: int
    body: bytes


def batches_of(incidents: Iterable[ReplayedIncident]) -> Iterator[Batch]:
    """The requests that bring these incidents in, in the order in which they opened; each incident is in
    one of them, whole, so that they may arrive in any order."""
    in_order = sorted(incidents, key=lambda one: (one.opened_at, one.external_ref))
    for number, (opens, body) in enumerate(bodies_of(in_order)):
        yield Batch(number, opens, body)


def bodies_of(incidents: Iterable[ReplayedIncident]) -> Iterator[tuple[int, bytes]]:
    """The bodies that bring these in, in order, and how many incidents each opens."""
    opens, size = 0, 0
    held: list[bytes] = []
    for incident in incidents:
        own = [msgspec.json.encode(piece) for piece in pieces_of(incident)]
        length = sum(map(len, own)) + len(own)
        full = len(held) + len(own) > MOST_ITEMS or size + length > MOST_BYTES
        if held and full:
            yield opens, _body(held)
            opens, size, held = 0, 0, []
        held += own
        opens, size = opens + 1, size + length
    if held:
        yield opens, _body(held)


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
