"""What every bus promises. Services know this file only; one test suite holds every engine to it.

- `send` returns when the records are durable, and appends them in order. It may be called again
  with the same records after a failure: delivery is at least once.
- Records of one topic and key are in one partition and are delivered in the order they were sent.
- A group's members share its partitions; each partition has one member at a time. What was polled
  but not committed is delivered again after a restart or when a partition changes hands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from shared.envelope import Record


class Partition(NamedTuple):
    topic: str
    number: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """A record and where it stands; `offset` grows within its partition, with gaps allowed."""

    partition: Partition
    offset: int
    record: Record


class Consumer(Protocol):
    """One member of a group."""

    async def poll(self, limit: int, wait_seconds: float) -> list[Delivered]:
        """Up to `limit` next records of its partitions, in order; [] when none came in time."""
        ...

    async def commit(self, done: Mapping[Partition, int]) -> None:
        """Durably note, per partition, the offset to go on from: that of the last done plus one."""
        ...

    def rewind(self, back_to: Mapping[Partition, int]) -> None:
        """Poll these partitions again from the given offsets."""
        ...

    async def lag(self) -> dict[Partition, int]:
        """Per partition of this member: records sent and not yet committed."""
        ...

    async def close(self) -> None:
        """Leave the group; the others take over."""
        ...


class Bus(Protocol):
    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def send(self, records: Sequence[Record]) -> None:
        """Append; durable when it returns. Raises, having promised nothing, when it can't."""
        ...

    async def join(self, group: str, topics: Sequence[str]) -> Consumer:
        """A new member of `group`. A new group begins with the oldest record there is."""
        ...
