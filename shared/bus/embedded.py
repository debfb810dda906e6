"""The embedded bus: a durable log in one SQLite file, for one process on one machine.

It forgets records that are a week old once every group that ever joined their topic is done with them.
It is not to grow into a broker: whoever outgrows it moves to Kafka by a setting.
"""

import asyncio
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from itertools import takewhile
from typing import Any

import msgspec
import structlog
from sqlalchemy import (
    Column,
    ColumnElement,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TextClause,
    delete,
    func,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.bus.bus import Delivered, Partition
from shared.clock import rfc3339, utc_now
from shared.database import Database, Json, Serial, UtcDateTime, insert_into
from shared.envelope import Record
from shared.prepared import Upsert

logger = structlog.get_logger(__name__)

PARTITIONS = 4

KEPT = timedelta(days=7)
"""How long a record is kept at least."""

PRUNE_SECONDS = 600.0
PRUNE_BATCH = 500

tables = MetaData()

log = Table(
    "log",
    tables,
    Column("offset", Serial, primary_key=True, autoincrement=True),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("key", Text, nullable=False),
    Column("headers", Json, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("appended_at", UtcDateTime, nullable=False),
    Index("log_partition", "topic", "partition", "offset"),
    sqlite_autoincrement=True,
)

positions = Table(
    "positions",
    tables,
    Column("group", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", Integer, nullable=False),
)


_APPEND = (
    "INSERT INTO log (topic, partition, key, headers, value, appended_at) VALUES (?, ?, ?, ?, ?, ?)"
)
_LAST = "SELECT max(offset) FROM log"
"""Said to the driver itself: every record of every service comes through here, twice."""
_KEEP = Upsert(positions, "group", "topic", "partition")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, str]).decode


@cache
def _reading(partitions: int) -> TextClause:
    """The next records of so many partitions."""
    here = " OR ".join(
        f"(topic = :t{index} AND partition = :p{index} AND offset >= :o{index})"
        for index in range(partitions)
    )
    return text(
        "SELECT offset, topic, partition, key, headers, value FROM log"  # noqa: S608  numbers only
        f" WHERE offset >= :least AND ({here}) ORDER BY offset LIMIT :most"
    )


def partition_of(key: str) -> int:
    """The partition of a key: the same in every process and for ever."""
    return zlib.crc32(key.encode()) % PARTITIONS


class EmbeddedBus:
    """See `bus.Bus`. One instance per file; the data folder's lock keeps a second process out."""

    def __init__(self, url: str) -> None:
        self.db = Database(url)
        self.ends: dict[Partition, int] = defaultdict(int)
        """The offset after the last record of each partition: tells a poll where to look."""
        self.arrived = asyncio.Condition()
        self.members: dict[str, list[EmbeddedConsumer]] = defaultdict(list)
        self._pruning: asyncio.Task[None] | None = None

    async def start(self) -> None:
        async with self.db.begin() as conn:
            await conn.run_sync(tables.create_all)
        last = select(log.c.topic, log.c.partition, func.max(log.c.offset).label("last"))
        async with self.db.read() as conn:
            for row in await conn.execute(last.group_by(log.c.topic, log.c.partition)):
                self.ends[Partition(row.topic, row.partition)] = row.last + 1
        self._pruning = asyncio.create_task(self._prune_forever(), name="bus.pruning")

    async def stop(self) -> None:
        if self._pruning is not None:
            self._pruning.cancel()
            await asyncio.gather(self._pruning, return_exceptions=True)
        await self.db.close()

    async def send(self, records: Sequence[Record]) -> None:
        if not records:
            return
        appended_at = rfc3339(utc_now())
        rows = [
            (
                one.topic,
                partition_of(one.key),
                one.key,
                _encode(one.headers).decode(),
                one.value,
                appended_at,
            )
            for one in records
        ]

        async def append(conn: AsyncConnection) -> int:
            await conn.exec_driver_sql(_APPEND, rows)
            found = (await conn.exec_driver_sql(_LAST)).scalar_one()
            # failpoint: bus.appending
            return found  # noqa: RET504  a failpoint stands between

        last = await self.db.write(append)
        # One writer, one transaction: the new offsets are the consecutive ones up to `last`.
        # failpoint: bus.appended
        async with self.arrived:
            for offset, (topic, number, *_) in enumerate(rows, start=last - len(rows) + 1):
                self.ends[Partition(topic, number)] = offset + 1
            self.arrived.notify_all()

    async def join(self, group: str, topics: Sequence[str]) -> "EmbeddedConsumer":
        member = EmbeddedConsumer(self, group, topics)
        await self._know(group, member.all_partitions)
        self.members[group].append(member)
        await self.rebalance(group)
        return member

    async def _know(self, group: str, partitions: Sequence[Partition]) -> None:
        """From now on nothing of these partitions is forgotten before this group is done with it."""
        rows = [{"group": group, "topic": t, "partition": n, "offset": 0} for t, n in partitions]
        async with self.db.begin() as conn:
            await conn.execute(insert_into(conn, positions).on_conflict_do_nothing(), rows)

    async def rebalance(self, group: str) -> None:
        """Deal the group's partitions out again; everybody goes on from what was committed."""
        query = select(positions).where(positions.c.group == group)
        async with self.db.read() as conn:
            rows = (await conn.execute(query)).all()
        committed = {Partition(row.topic, row.partition): row.offset for row in rows}
        members = self.members[group]
        for index, member in enumerate(members):
            mine = [p for p in member.all_partitions if p.number % len(members) == index]
            member.positions = {p: committed.get(p, 0) for p in mine}
            member.committed = dict(member.positions)

    async def _prune_forever(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_SECONDS)
            try:
                await self.prune(utc_now() - KEPT)
            except Exception:
                logger.exception("the log could not be pruned; trying again later")

    async def prune(self, before: datetime) -> int:
        """Forget records appended before `before` that every group of their topic has committed.

        A group that ever joined holds what it has not committed, and a topic that no group ever
        joined is kept whole. In transactions of bounded size. Returns how many.
        """
        done = select(positions.c.topic, positions.c.partition, func.min(positions.c.offset))
        async with self.db.read() as conn:
            query = done.group_by(positions.c.topic, positions.c.partition)
            committed = (await conn.execute(query)).all()
        forgotten = 0
        for topic, number, upto in committed:
            gone = PRUNE_BATCH
            while gone == PRUNE_BATCH:
                gone = await self._prune_some(Partition(topic, number), upto, before)
                forgotten += gone
        return forgotten

    async def _prune_some(self, partition: Partition, upto: int, before: datetime) -> int:
        topic, number = partition
        here = (log.c.topic == topic, log.c.partition == number, log.c.offset < upto)
        oldest = select(log.c.offset, log.c.appended_at).where(*here).order_by(log.c.offset)
        async with self.db.read() as conn:
            rows = (await conn.execute(oldest.limit(PRUNE_BATCH))).all()
        old = [row.offset for row in takewhile(lambda row: row.appended_at < before, rows)]
        if old:
            async with self.db.begin() as conn:
                await conn.execute(delete(log).where(*here, log.c.offset <= old[-1]))
        return len(old)


class EmbeddedConsumer:
    """See `bus.Consumer`."""

    def __init__(self, bus: EmbeddedBus, group: str, topics: Sequence[str]) -> None:
        self.bus = bus
        self.group = group
        self.all_partitions = [Partition(t, n) for t in topics for n in range(PARTITIONS)]
        self.positions: dict[Partition, int] = {}
        self.committed: dict[Partition, int] = {}

    async def poll(self, limit: int, wait_seconds: float) -> list[Delivered]:
        if not self._behind():
            try:
                async with asyncio.timeout(wait_seconds), self.bus.arrived:
                    await self.bus.arrived.wait_for(self._behind)
            except TimeoutError:
                return []
        found = await self._read(limit)
        for one in found:
            self.positions[one.partition] = one.offset + 1
        return found

    def _behind(self) -> list[Partition]:
        ends = self.bus.ends
        return [p for p, position in self.positions.items() if ends.get(p, 0) > position]

    async def _read(self, limit: int) -> list[Delivered]:
        """The next records of all partitions in the order in which they were sent.

        More than a bus must promise: it keeps what different aggregates said close to its order.
        """
        behind = {p: self.positions[p] for p in self._behind()}
        places: dict[str, Any] = {"least": min(behind.values()), "most": limit}
        for index, (partition, offset) in enumerate(behind.items()):
            places[f"t{index}"], places[f"p{index}"] = partition
            places[f"o{index}"] = offset
        async with self.bus.db.look() as conn:
            rows = (await conn.execute(_reading(len(behind)), places)).all()
        partitions = {p: p for p in behind}
        return [
            Delivered(
                partitions[Partition(row[1], row[2])],
                row[0],
                Record(row[1], row[3], _decode(row[4]), row[5]),
            )
            for row in rows
        ]

    async def commit(self, done: Mapping[Partition, int]) -> None:
        mine = {p: offset for p, offset in done.items() if p in self.positions}
        if not mine:
            return
        rows = [
            {"group": self.group, "topic": p.topic, "partition": p.number, "offset": offset}
            for p, offset in mine.items()
        ]
        await self.bus.db.write(lambda conn: _KEEP.many(conn, rows))
        # failpoint: bus.position_kept
        self.committed |= mine

    def rewind(self, back_to: Mapping[Partition, int]) -> None:
        self.positions |= {p: offset for p, offset in back_to.items() if p in self.positions}

    async def lag(self) -> dict[Partition, int]:
        lag = dict.fromkeys(self.committed, 0)
        async with self.bus.db.read() as conn:
            for partition, offset in self.committed.items():
                if self.bus.ends.get(partition, 0) > offset:
                    waiting = select(func.count()).where(*self._from(partition, offset))
                    lag[partition] = (await conn.execute(waiting)).scalar_one()
        return lag

    @staticmethod
    def _from(partition: Partition, offset: int) -> tuple[ColumnElement[bool], ...]:
        topic, number = partition
        return (log.c.topic == topic, log.c.partition == number, log.c.offset >= offset)

    async def close(self) -> None:
        self.bus.members[self.group].remove(self)
        await self.bus.rebalance(self.group)
