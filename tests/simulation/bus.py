"""A bus in memory that does the worst that `shared.bus.bus` allows, as its dice fall.

Records of one topic and key stay in order, and nothing else: a poll takes any number from any of its
partitions, mixed; offsets have gaps; a send that fails may have appended any part of every partition's
share; a member whose partitions were taken away may still believe that it has them. The log and the
committed offsets are the broker's: they outlive every crash of a service.
"""

import random
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

from shared.bus.bus import Delivered, Partition
from shared.envelope import Record
from tests.faults.stored import Committed

PARTITIONS = 4

Trouble = Literal["refused", "partly", "unheard"]
"""What happens to a send: nothing is appended, a part of each partition's share is, or all of it is
and nobody hears so. In each case it raises."""


class SimulatedBus:
    """See `bus.Bus`. `trouble` is what the next send runs into."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.trouble: Trouble | None = None
        self.records: defaultdict[Partition, list[Delivered]] = defaultdict(list)
        self.offsets: dict[tuple[str, Partition], int] = {}
        self.members: defaultdict[str, list[SimulatedConsumer]] = defaultdict(list)

    async def start(self) -> None:
        return

    async def stop(self) -> None:
        return

    async def send(self, records: Sequence[Record]) -> None:
        trouble, self.trouble = self.trouble, None
        if trouble == "refused":
            raise ConnectionError("the broker is away")
        shares: defaultdict[Partition, list[Record]] = defaultdict(list)
        for record in records:
            shares[_partition_of(record)].append(record)
        for partition, share in sorted(shares.items()):
            kept = self.dice.randint(0, len(share)) if trouble == "partly" else len(share)
            for record in share[:kept]:
                self._append(partition, record)
        if trouble is not None:
            raise ConnectionError("the broker went away before it answered")

    def _append(self, partition: Partition, record: Record) -> None:
        gap = self.dice.choice((0, 0, 0, 0, 3))
        offset = self.end(partition) + gap
        self.records[partition].append(Delivered(partition, offset, record))

    def end(self, partition: Partition) -> int:
        """The offset after the last record."""
        known = self.records[partition]
        return known[-1].offset + 1 if known else 0

    async def join(self, group: str, topics: Sequence[str]) -> "SimulatedConsumer":
        member = SimulatedConsumer(self, group, topics)
        self.members[group].append(member)
        self.rebalance(group)
        return member

    def rebalance(self, group: str) -> None:
        """Deal the partitions out anew; everybody goes on from what was committed."""
        members = self.members[group]
        for index, member in enumerate(members):
            member.positions = {
                partition: self.offsets.get((group, partition), 0)
                for partition in member.partitions
                if partition.number % len(members) == index
            }
            member.polled.clear()

    async def log(self) -> list[Delivered]:
        """Every record there is, each partition's in order: what the checker reads."""
        return [one for partition in sorted(self.records) for one in self.records[partition]]

    async def committed(self) -> Committed:
        return dict(self.offsets)

    @property
    def behind(self) -> bool:
        """Is there anything that some group has not committed?"""
        return any(
            self.offsets.get((group, partition), 0) < self.end(partition)
            for group, members in self.members.items()
            for member in members[:1]
            for partition in member.partitions
        )


class SimulatedConsumer:
    """See `bus.Consumer`. Never waits: a poll answers with what is there."""

    def __init__(self, bus: SimulatedBus, group: str, topics: Sequence[str]) -> None:
        self.bus = bus
        self.group = group
        self.partitions = [Partition(topic, n) for topic in topics for n in range(PARTITIONS)]
        self.positions: dict[Partition, int] = {}
        self.polled: set[Partition] = set()
        """Since the last rebalance."""

    async def poll(self, limit: int, wait_seconds: float) -> list[Delivered]:
        waiting = {
            partition: [one for one in self.bus.records[partition] if one.offset >= position]
            for partition, position in self.positions.items()
        }
        taken: list[Delivered] = []
        while len(taken) < limit and any(waiting.values()):
            partition = self.bus.dice.choice([p for p, some in waiting.items() if some])
            size = self.bus.dice.randint(1, min(limit - len(taken), len(waiting[partition])))
            taken += waiting[partition][:size]
            del waiting[partition][:size]
        for one in taken:
            self.positions[one.partition] = one.offset + 1
            self.polled.add(one.partition)
        return taken

    async def commit(self, done: Mapping[Partition, int]) -> None:
        """What was dealt anew since it was polled is not this member's to commit, as with Kafka."""
        for partition, offset in done.items():
            if partition in self.polled and self in self.bus.members[self.group]:
                self.bus.offsets[self.group, partition] = offset

    def rewind(self, back_to: Mapping[Partition, int]) -> None:
        self.positions |= {p: offset for p, offset in back_to.items() if p in self.positions}

    async def lag(self) -> dict[Partition, int]:
        return {
            partition: sum(
                one.offset >= self.bus.offsets.get((self.group, partition), 0)
                for one in self.bus.records[partition]
            )
            for partition in self.positions
        }

    async def close(self) -> None:
        if self in self.bus.members[self.group]:
            self.bus.members[self.group].remove(self)
            self.bus.rebalance(self.group)


def _partition_of(record: Record) -> Partition:
    return Partition(record.topic, zlib.crc32(record.key.encode()) % PARTITIONS)
