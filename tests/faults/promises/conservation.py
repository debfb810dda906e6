"""S7: nothing slips away between two durable steps. Holds at every moment, also while all moves.

Two laws over tables and offsets say it, and they need no quiet:
1. What is in a table was published: every version of an aggregate is in an outbox or on the bus.
2. What a group has committed it has dealt with: a record below its offset is in its inbox, or among
   its dead letters, or of a type that it doesn't subscribe to.
So each accepted signal is pending in an outbox, behind on the bus, processed, or dead. (1) is in
`versions.py`; (2) is here, with what the metrics of a scrape must agree to.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

from shared.bus.bus import Delivered
from shared.consumer import Subscription
from shared.contracts import EVENTS
from shared.envelope import UnreadableEvent, decode
from tests.faults.history import STATUS_OF, Entry, Sent
from tests.faults.stored import SUBSCRIPTIONS, Plumbing, Stored
from tests.faults.violation import Violation

GAUGES_SECONDS = 45.0
"""How old `signals_stored` may be: it is measured every 10 s, and a job that failed pauses up to 30."""

Place = tuple[str, int, int]


def place_of(delivered: Delivered) -> Place:
    return (delivered.partition.topic, delivered.partition.number, delivered.offset)


def places_of_dead(plumbing: Plumbing, group: str) -> list[Place]:
    """Where the records stood that this group has set aside."""
    return [
        (row.topic, row.partition, row.offset) for row in plumbing.dead if row.consumer == group
    ]


def concerns(sub: Subscription, delivered: Delivered) -> bool:
    """Whether a group has to deal with this record: it is of a type that the group knows, of none at
    all, or of a version of one of its types that nobody here has heard of."""
    type_ = delivered.record.headers.get("ce_type", "")
    if delivered.partition.topic not in sub.topics:
        return False
    new = type_ not in EVENTS and type_.rpartition(".")[0] in _stems(sub.types)
    return not type_ or type_ in sub.types or new


@lru_cache
def _stems(types: frozenset[str]) -> frozenset[str]:
    return frozenset(known.rpartition(".")[0] for known in types)


def unreadable(delivered: Delivered) -> bool:
    try:
        decode(delivered.record)
    except UnreadableEvent:
        return True
    return False


def not_dealt_with(stored: Stored, service: str, sub: Subscription) -> list[Delivered]:
    """The records that concern this group, and of which it has neither effect nor dead letter."""
    plumbing = stored.plumbing[service]
    handled = plumbing.inbox.get(sub.group, Counter[str]())
    dead = set(places_of_dead(plumbing, sub.group))
    return [
        one
        for one in stored.log
        if concerns(sub, one)
        and one.record.headers.get("ce_id") not in handled
        and place_of(one) not in dead
    ]


def committed(stored: Stored) -> Iterator[Violation]:
    """Law 2, for every group."""
    for service, subscriptions in SUBSCRIPTIONS.items():
        for sub in subscriptions:
            for one in not_dealt_with(stored, service, sub):
                if one.offset < stored.committed.get((sub.group, one.partition), 0):
                    event = one.record.headers.get("ce_id", one.record.key)
                    where = f"{one.partition.topic}/{one.partition.number}@{one.offset}"
                    what = f"{sub.group} has committed past {where}, and never dealt with it"
                    yield Violation("S7", event, what)


def claimed_once(stored: Stored) -> Iterator[Violation]:
    """Law 2 says that each event was dealt with; this, that none was twice."""
    for plumbing in stored.plumbing.values():
        for group, claims in plumbing.inbox.items():
            for event_id, times in claims.items():
                if times > 1:
                    yield Violation("S7", event_id, f"was dealt with {times} times by {group}")


def scraped(entries: Sequence[Entry]) -> Iterator[Violation]:
    """`signals_stored` at each scrape: no less than was acknowledged a while before, no more than
    was sent by then. 0 is said by a process that has not measured yet. The history has to be that of
    all senders."""
    first_ok: dict[Sent, float] = {}
    sent: set[Sent] = set()
    for entry in sorted(entries, key=lambda one: one.t):
        if entry.op in STATUS_OF:
            signal = Sent(entry.id, STATUS_OF[entry.op])
            sent.add(signal)
            if entry.type == "ok":
                first_ok.setdefault(signal, entry.t)
        elif told := entry.detail.get("metrics", {}).get("signals_stored"):
            least = sum(t < entry.t - GAUGES_SECONDS for t in first_ok.values())
            about = f"scrape at {entry.t:.1f}"
            if told < least:
                what = f"told {told:g} signals, and {least} were acknowledged long before"
                yield Violation("S7", about, what)
            if told > len(sent):
                yield Violation("S7", about, f"told {told:g} signals, and {len(sent)} were sent")
