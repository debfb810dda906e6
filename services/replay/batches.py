"""Cuts slices into the bodies of import requests. Pure, and the same for the same file and mapping."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from services.replay.incidents import Entry, ReplayedIncident
from services.replay.slices import Item

MOST_ITEMS = 200
"""In one request. The API takes 500; smaller ones hold its writer for a shorter time."""

MOST_BYTES = 400_000
"""The gateway takes 512 KiB."""

MOST_ENTRIES = 500
"""In one item of an import."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One request: its place among all, its slice, how many incidents it opens, its body.

    Those of one slice may be sent in any order; a slice goes after those before it.
    """

    number: int
    slice: int
    opens: int
    body: bytes


def batches_of(slices: Iterable[Iterable[Item]]) -> Iterator[Batch]:
    """The requests that bring these slices in; within a slice each incident is in one of them."""
    bodies = ((place, *body) for place, items in enumerate(slices) for body in bodies_of(items))
    for number, (place, opens, body) in enumerate(bodies):
        yield Batch(number, place, opens, body)


def bodies_of(items: Iterable[Item]) -> Iterator[tuple[int, bytes]]:
    """The bodies that bring these items in, in order, and how many incidents each opens."""
    opens, size = 0, 0
    held: list[bytes] = []
    for item in items:
        own = [msgspec.json.encode(piece) for piece in pieces_of(item.incident)]
        length = sum(map(len, own)) + len(own)
        full = len(held) + len(own) > MOST_ITEMS or size + length > MOST_BYTES
        if held and full:
            yield opens, _body(held)
            opens, size, held = 0, 0, []
        held += own
        opens, size = opens + item.opens, size + length
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
