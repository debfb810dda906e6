"""Looks at a bus from outside, as the checker needs it: the embedded one's file, or Kafka."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from sqlalchemy import select

from shared.bus.bus import Delivered, Partition
from shared.bus.embedded import log, positions
from shared.contracts import feedback, incidents, roadmap
from shared.database import Database
from shared.envelope import Record
from tests.faults.stored import SUBSCRIPTIONS, Committed

TOPICS = (incidents.TOPIC, feedback.TOPIC, roadmap.TOPIC)
GROUPS = tuple(sub.group for some in SUBSCRIPTIONS.values() for sub in some)
READ_SECONDS = 30.0


@dataclass(frozen=True)
class EmbeddedReader:
    """`db` is the bus's own database; opening it beside the process that writes it is safe."""

    db: Database

    async def log(self) -> list[Delivered]:
        async with self.db.read() as conn:
            rows = (await conn.execute(select(log).order_by(log.c.offset))).all()
        return [
            Delivered(
                Partition(row.topic, row.partition),
                row.offset,
                Record(row.topic, row.key, row.headers, row.value),
            )
            for row in rows
        ]

    async def committed(self) -> Committed:
        async with self.db.read() as conn:
            rows = (await conn.execute(select(positions))).all()
        return {(row.group, Partition(row.topic, row.partition)): row.offset for row in rows}


@dataclass(frozen=True)
class KafkaReader:
    """`servers` as `host:port,host:port`. Joins no group, so it moves nothing."""

    servers: str
    topics: tuple[str, ...] = TOPICS
    groups: tuple[str, ...] = GROUPS

    async def log(self) -> list[Delivered]:
        async with asyncio.timeout(READ_SECONDS), self._admin() as admin:
            partitions = await self._partitions(admin)
            return await self._read_all(partitions) if partitions else []

    async def committed(self) -> Committed:
        found: dict[tuple[str, Partition], int] = {}
        async with asyncio.timeout(READ_SECONDS), self._admin() as admin:
            partitions = await self._partitions(admin)
            for group in self.groups:
                offsets = await admin.list_consumer_group_offsets(group, partitions=partitions)
                for at, one in offsets.items():
                    if one.offset >= 0:
                        found[group, Partition(at.topic, at.partition)] = one.offset
        return found

    @asynccontextmanager
    async def _admin(self) -> AsyncGenerator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()

    async def _partitions(self, admin: AIOKafkaAdminClient) -> list[TopicPartition]:
        """Those of the topics that there are."""
        return [
            TopicPartition(topic["topic"], one["partition"])
            for topic in await admin.describe_topics(list(self.topics))
            for one in topic["partitions"]
        ]

    async def _read_all(self, partitions: list[TopicPartition]) -> list[Delivered]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.servers,
            isolation_level="read_committed",
            enable_auto_commit=False,
            # Not by seeking: the end, which is where one begins by default, may be found after that.
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            found: list[Delivered] = []
            while any([await consumer.position(p) < ends[p] for p in partitions]):
                batches = await consumer.getmany(timeout_ms=200)
                found += [_delivered(one) for some in batches.values() for one in some]
            return sorted(found, key=lambda one: (one.partition, one.offset))
        finally:
            await consumer.stop()


def _delivered(message: Any) -> Delivered:
    headers = {
        name: (value or b"").decode(errors="surrogateescape") for name, value in message.headers
    }
    key = (message.key or b"").decode(errors="surrogateescape")
    record = Record(message.topic, key, headers, message.value or b"")
    return Delivered(Partition(message.topic, message.partition), message.offset, record)
