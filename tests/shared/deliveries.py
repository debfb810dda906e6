"""A topic in memory whose member tests can let die, and a service of one table that counts votes."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.bus import Delivered, Partition
from shared.clock import utc_now
from shared.consumer import Subscription, types_of
from shared.context import Context
from shared.contracts.feedback import TOPIC, FeedbackVoted
from shared.database import Database, Serial
from shared.dead_letters import dead_letters
from shared.envelope import Event, Record, encode

GROUP = "votes"

metadata = MetaData()
effects = Table(
    "effects",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("subject", Text, nullable=False),
    Column("votes", Integer, nullable=False),
)


def voted(subject: str, votes: int) -> Event:
    now = utc_now()
    data = FeedbackVoted(feedback_id=subject, at=now, votes=votes)
    ctx = Context("feedback", "tester", now, "cor_test")
    return ctx.event(data, subject=subject, version=votes, at=now)


def good(subject: str, votes: int) -> Record:
    return encode(voted(subject, votes))


def bad(note: str = "") -> Record:
    """Like a vote, but nobody can read its data."""
    return Record(TOPIC, "a", good("a", 1).headers, f"not JSON {note}".encode())


class HandlerFailed(Exception):
    pass


@dataclass
class Votes:
    """The service. Fails at the subjects in `failing`, `failures` counts how often."""

    failing: set[str] = field(default_factory=set[str])
    failure: type[Exception] = HandlerFailed
    failures: int = 0

    @property
    def subscription(self) -> Subscription:
        return Subscription(GROUP, (TOPIC,), types_of(FeedbackVoted), self.handle)

    async def handle(self, conn: AsyncConnection, events: Sequence[Event]) -> None:
        for event in events:
            assert isinstance(event.data, FeedbackVoted)
            row = {"subject": event.subject, "votes": event.data.votes}
            await conn.execute(insert(effects).values(row))
            if event.subject in self.failing:
                self.failures += 1
                raise self.failure(event.subject)


class Topic:
    """A `bus.Consumer` over records in memory, in the order in which they were put in."""

    def __init__(self) -> None:
        self.log: list[Delivered] = []
        self.positions: dict[Partition, int] = defaultdict(int)
        self.committed: dict[Partition, int] = defaultdict(int)
        self.forgetful = False
        """The process dies before an offset is committed."""

    def put(self, *records: Record, partition: int = 0) -> None:
        for record in records:
            place = Partition(TOPIC, partition)
            offset = sum(one.partition == place for one in self.log)
            self.log.append(Delivered(place, offset, record))

    def restart(self) -> None:
        """Whoever comes next goes on from what was committed."""
        self.positions = defaultdict(int, self.committed)
        self.forgetful = False

    async def poll(self, limit: int, wait_seconds: float) -> list[Delivered]:
        found = [one for one in self.log if one.offset >= self.positions[one.partition]][:limit]
        for one in found:
            self.positions[one.partition] = one.offset + 1
        await asyncio.sleep(0 if found else min(wait_seconds, 0.01))
        return found

    async def commit(self, done: Mapping[Partition, int]) -> None:
        if self.forgetful:
            raise ConnectionError("died before the offset")
        self.committed |= done

    def rewind(self, back_to: Mapping[Partition, int]) -> None:
        self.positions |= back_to

    async def lag(self) -> dict[Partition, int]:
        lag = dict.fromkeys((one.partition for one in self.log), 0)
        for one in self.log:
            lag[one.partition] += one.offset >= self.committed[one.partition]
        return lag

    async def close(self) -> None:
        self.restart()


class OneTopic:
    """A `bus.Bus` with this topic only; whoever joins is the one member."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def send(self, records: Sequence[Record]) -> None:
        self.topic.put(*records)

    async def join(self, group: str, topics: Sequence[str]) -> Topic:
        return self.topic


async def seen(db: Database) -> list[tuple[str, int]]:
    """Every effect, in order."""
    query = select(effects.c.subject, effects.c.votes).order_by(effects.c.seq)
    async with db.read() as conn:
        return [(subject, votes) for subject, votes in await conn.execute(query)]


async def aside(db: Database) -> list[bytes]:
    """The values of all dead letters, the oldest first."""
    query = select(dead_letters.c.value).order_by(dead_letters.c.id)
    async with db.read() as conn:
        return [bytes(value) for value in (await conn.execute(query)).scalars()]
