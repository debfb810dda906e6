"""S4, first half: every aggregate's events are versions 1, 2, 3 …, each said once and in order.

Looks at what is on the bus and what still waits in the outboxes. Needs the log from its beginning.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from shared.contracts import feedback, incidents, roadmap
from tests.faults.stored import Stored
from tests.faults.violation import Violation


class Aggregate(NamedTuple):
    topic: str
    subject: str


OWNERS: Mapping[str, tuple[str, str]] = {
    "catalog": (incidents.TOPIC, "name"),
    "incidents": (incidents.TOPIC, "id"),
    "feedback": (feedback.TOPIC, "id"),
    "themes": (feedback.TOPIC, "id"),
    "outcomes": (feedback.TOPIC, "id"),
    "candidates": (roadmap.TOPIC, "candidate_id"),
    "items": (roadmap.TOPIC, "item_id"),
    "objectives": (roadmap.TOPIC, "objective_id"),
}
"""The tables whose rows say at which version they are: topic, column of the subject."""

LOGS: Mapping[str, tuple[str, str, str]] = {
    "timeline": ("incident_id", "incidents", "id"),
    "candidate_log": ("candidate_id", "candidates", "candidate_id"),
    "item_log": ("item_id", "items", "item_id"),
}
"""The logs that are tables: column of the subject, table of the aggregate and its key."""


@dataclass
class Said:
    """What was published of one aggregate, in the order in which it was first said."""

    ids: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    order: list[int] = field(default_factory=list[int])


def said(stored: Stored) -> dict[Aggregate, Said]:
    """What was published of every aggregate; records without an envelope are passed over."""
    found: defaultdict[Aggregate, Said] = defaultdict(Said)
    for record in stored.records():
        version = record.headers.get("ce_aggregateversion", "")
        if not version.isdigit() or "ce_id" not in record.headers:
            continue
        about = found[Aggregate(record.topic, record.key)]
        if int(version) not in about.ids:
            about.order.append(int(version))
        about.ids[int(version)].add(record.headers["ce_id"])
    return dict(found)


def published(stored: Stored, *, at_rest: bool) -> Iterator[Violation]:
    """Versions on the bus and in the outboxes, among themselves and against the tables."""
    found = said(stored)
    for about, one in found.items():
        if one.order != sorted(one.order):
            yield Violation("S4", about.subject, f"was told of in the order {one.order}")
        missing = set(range(1, max(one.order) + 1)) - one.ids.keys()
        if missing:
            yield Violation("S4", about.subject, f"has no event of version {sorted(missing)}")
        for version, ids in one.ids.items():
            if len(ids) > 1:
                yield Violation("S4", about.subject, f"has {len(ids)} events of version {version}")
    for table, (topic, column) in OWNERS.items():
        for row in stored[table]:
            subject = getattr(row, column)
            one = found.pop(Aggregate(topic, subject), Said())
            newest = max(one.order, default=0)
            if newest < row.version:
                what = f"is at version {row.version} in {table}; its newest event is {newest}"
                yield Violation("S4", subject, what)
            elif at_rest and newest > row.version:
                what = f"was told of at version {newest} and is at {row.version} in {table}"
                yield Violation("S4", subject, what)
    if at_rest:
        for about in found:
            yield Violation("S4", about.subject, f"is on {about.topic} and in no table")


def logged(stored: Stored) -> Iterator[Violation]:
    """The logs that are tables: versions 1 to that of the aggregate, each once."""
    for log, (column, table, key) in LOGS.items():
        entries = stored.by(log, column)
        for row in stored[table]:
            versions = sorted(one.version for one in entries.get(getattr(row, key), []))
            if versions != list(range(1, row.version + 1)):
                what = f"is at version {row.version}; its {log} has {versions}"
                yield Violation("S4", getattr(row, key), what)
