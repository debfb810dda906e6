"""Which crash points there are, and how they are strung into chains. Pure; a seed decides the order."""

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tests.faults.failpoints import places

AT_BIRTH = ("migrations.begun", "migrations.half_way", "migrations.upgraded", "start.")
"""Failpoints that only empty data lead to: such a point begins a chain of its own."""

ONLY: Mapping[str, tuple[str, ...]] = {
    "embedded": ("shared/bus/embedded.py", "shared/engine_sqlite.py", "shared/lane.py"),
    "distributed": (
        "shared/bus/kafka.py",
        "shared/bus/kafka_client.py",
        "shared/bus/kafka_consumer.py",
        "shared/engine_postgres.py",
    ),
}
"""Files whose code runs on one engine only."""

HITS = 6
MOST_HITS = {
    "start.": 1,
    "migrations.": 4,
    "consumer.": 5,
    "inbox.": 5,
    "kafka.committ": 5,
    "dead_letters.": 3,
    "command.answered_before": 4,
    "expiry.": 2,
    "silences.": 2,
    "correlations.settled": 2,
    "wake.": 2,
    "adoption.": 4,
    "review.outcome_saved": 3,
    "review.reassessed": 3,
}
"""By the beginning of a name: how often a short life comes there, where that is less."""

CHAIN_LENGTH = 36
PORTS = range(20_000, 29_800, 100)
PORTS_PER_WORKER = 50
"""Each worker has a block of ports: two that look for free ones at once would take the same."""
PARTITIONS = 3
"""Of each topic on Kafka."""
POISON_EVERY = 9


class Point(NamedTuple):
    """Where a life ends: at the n-th hit of a failpoint, counted from its start.

    In another round it is another place of the story, with other work under way.
    """

    failpoint: str
    hit: int
    round: int = 1

    def __str__(self) -> str:
        return f"{self.failpoint}:{self.hit}"


PLANTED: Mapping[str, tuple[tuple[str, tuple[int, ...]], ...]] = {
    # Past the timers' first transactions, and while a commit that was answered still waits.
    "commit-after-the-answer": (("database.committing", tuple(range(20, 76, 7))),),
    "send-without-waiting": (("relay.sent", (1, 2, 3)), ("relay.deleted", (1, 2, 3))),
    "commit-what-was-polled": (("consumer.polled", (1, 2, 3)), ("consumer.claimed", (1, 2, 3))),
}
"""Bugs of `crash_planted`, and the failpoints and hits whose crashes show them."""


def planted_points(name: str) -> list[Point]:
    return [Point(failpoint, hit) for failpoint, hits in PLANTED[name] for hit in hits]


def names_on(engine: str) -> list[str]:
    """The failpoints that lives on this engine can come to."""
    foreign = [file for other, files in ONLY.items() if other != engine for file in files]
    return [
        name
        for name, where in places().items()
        if not all(place.rpartition(":")[0] in foreign for place in where)
    ]


def most_hits(name: str) -> int:
    return next((most for area, most in MOST_HITS.items() if name.startswith(area)), HITS)


def walk(engine: str, least: int) -> list[Point]:
    """Every hit of every failpoint, round by round, until there are `least` points.

    Births are walked once: a system is born once, and its story goes on.
    """
    once = [Point(name, hit) for name in names_on(engine) for hit in range(1, 1 + most_hits(name))]
    later = [one for one in once if not one.failpoint.startswith(AT_BIRTH)]
    found, number = once, 1
    while len(found) < least:
        number += 1
        found = [*found, *(one._replace(round=number) for one in later)]
    return found


def chains(points: Sequence[Point], seed: int) -> list[list[Point]]:
    """The points in chains of even length, each in an order of its own."""
    chance = random.Random(seed)
    births = [one for one in points if one.failpoint.startswith(AT_BIRTH)]
    others = [one for one in points if not one.failpoint.startswith(AT_BIRTH)]
    chance.shuffle(births)
    chance.shuffle(others)
    count = max(len(births), -(-len(others) // CHAIN_LENGTH), 1)
    return [[*births[n : n + 1], *others[n::count]] for n in range(count) if births or others]


def poison_for(point: Point, place: int) -> int:
    """How many times to poison every topic before this life."""
    if point.failpoint.startswith(("consumer.set_aside", "dead_letters.")):
        return point.hit
    return int(place % POISON_EVERY == 1)
