"""S6: once faults have stopped nothing waits, and what is set aside is what nobody can read."""

from collections import Counter
from collections.abc import Collection, Iterator

from tests.faults.promises.conservation import (
    concerns,
    not_dealt_with,
    place_of,
    places_of_dead,
    unreadable,
)
from tests.faults.stored import SUBSCRIPTIONS, Stored
from tests.faults.violation import Violation


def nothing_waits(stored: Stored) -> Iterator[Violation]:
    """Outboxes are empty; every group has dealt with, and committed, all there is."""
    for service, plumbing in stored.plumbing.items():
        if plumbing.outbox:
            yield Violation("S6", service, f"has {len(plumbing.outbox)} events in its outbox")
        for sub in SUBSCRIPTIONS[service]:
            for one in not_dealt_with(stored, service, sub):
                event = one.record.headers.get("ce_id", one.record.key)
                type_ = one.record.headers.get("ce_type", "unreadable")
                yield Violation("S6", event, f"{type_} was never dealt with by {sub.group}")
            behind = {
                one.partition
                for one in stored.log
                if one.partition.topic in sub.topics
                and one.offset >= stored.committed.get((sub.group, one.partition), 0)
            }
            for partition in sorted(behind):
                yield Violation(
                    "S6", sub.group, f"is behind on {partition.topic}/{partition.number}"
                )


def dead_letters(stored: Stored, poison: Collection[str]) -> Iterator[Violation]:
    """Exactly the records with these keys can't be read, and each group that they concern has set
    each aside once."""
    bad = [one for one in stored.log if unreadable(one)]
    keys = {one.record.key for one in bad}
    for key in sorted(keys - set(poison)):
        yield Violation("S6", key, "is the key of a record that nobody can read, and is no poison")
    for key in sorted(set(poison) - keys):
        yield Violation("S6", key, "was sent as poison and is not on the bus")
    for service, subscriptions in SUBSCRIPTIONS.items():
        for sub in subscriptions:
            set_aside = Counter(places_of_dead(stored.plumbing[service], sub.group))
            expected = {place_of(one) for one in bad if concerns(sub, one)}
            for place in sorted(expected - set_aside.keys()):
                yield Violation("S6", sub.group, f"has lost the unreadable record at {place}")
            for place in sorted(set_aside.keys() - expected):
                yield Violation("S6", sub.group, f"has set aside {place}, which can be read")
            for place, count in sorted(set_aside.items()):
                if count > 1:
                    yield Violation("S6", sub.group, f"has set {place} aside {count} times")
