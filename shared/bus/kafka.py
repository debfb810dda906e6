"""The bus on Apache Kafka. It makes topics that are missing; it never changes or deletes one.

**Partitions.** A key's partition is `crc32(key) % partitions`, chosen here and not by the client
library, so that every version and language of client agrees. Don't add partitions to a topic in
use: keys would change theirs, and the order of a key is only kept within one.

**Order and duplicates.** Of one partition, one batch at a time is under way, and the next is sent
only after the broker has acknowledged the one before. So whatever happens (a broker that dies, a
reply that is lost, a `send` given up half-way, two relays at once), a record is appended only when
all those that its sender named before it have been. After a failure the sender names the same
records again, before any newer one. Hence the first appearance of each record is in order; it may
appear again later, and the receiver's inbox drops that. Idempotence makes it rare: retries within
one `send` append once. A producer that failed is never used again, and what it still held is
dropped.
"""

# pyright: reportMissingTypeStubs=false
# aiokafka comes without types; what it makes is Any here.

import asyncio
import zlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError, for_code

from shared.bus.kafka_client import KafkaOptions, Leaving, connection, quieten
from shared.bus.kafka_consumer import KafkaConsumer
from shared.envelope import Record

logger = structlog.get_logger(__name__)

LARGEST_BATCH = 1_000_000
"""Bytes; a batch is what a broker's limit of a message applies to (1,048,588 by default)."""

REQUEST_SECONDS = 10.0
TOPIC_EXISTS = 36

Ensure = Callable[[Sequence[str]], Awaitable[None]]


def partition_of(key: str, partitions: int) -> int:
    """The partition of a key: the same in every process and for ever."""
    return zlib.crc32(_bytes(key)) % partitions


class KafkaBus:
    """See `bus.Bus`. `servers` is `host:port,host:port`. A broker may be away at any time."""

    def __init__(self, servers: str, options: KafkaOptions | None = None) -> None:
        self.options = options or KafkaOptions()
        self.connection = connection(servers, self.options)
        self._known: set[str] = set()
        self._ensuring = asyncio.Lock()
        self._writers: dict[str, TopicWriter] = {}
        self._members: set[KafkaConsumer] = set()
        self._leaving = Leaving()
        quieten()

    async def start(self) -> None:
        """Connects to nothing, so that a process comes up while the broker is away."""

    async def stop(self) -> None:
        """Members leave their groups; what a send still holds fails."""
        await asyncio.gather(*(member.close() for member in list(self._members)))
        for writer in self._writers.values():
            writer.give_up()
        self._writers.clear()
        await self._leaving.finish()

    async def send(self, records: Sequence[Record]) -> None:
        """See `bus.Bus`. Raises TimeoutError after `send_seconds`, and KafkaError on a refusal."""
        topics: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            topics[record.topic].append(record)
        await _all(self._writer(topic).append(found) for topic, found in topics.items())

    def _writer(self, topic: str) -> "TopicWriter":
        if topic not in self._writers:
            self._writers[topic] = TopicWriter(
                topic, self.connection, self.options, self.ensure_topics, self._leaving
            )
        return self._writers[topic]

    async def join(self, group: str, topics: Sequence[str]) -> KafkaConsumer:
        """A new member. When the broker is away it joins during its polls, once there is one."""
        member = KafkaConsumer(
            group,
            topics,
            self.connection,
            self.options,
            self.ensure_topics,
            self._leaving,
            self._members.discard,
        )
        self._members.add(member)
        await member.joined()
        return member

    async def ensure_topics(self, topics: Sequence[str]) -> None:
        """Make those topics that are missing. Idempotent; safe from many processes at once.

        Raises KafkaError (or OSError, TimeoutError) when the broker is away or refuses.
        """
        async with self._ensuring:
            wanted = [topic for topic in topics if topic not in self._known]
            if wanted:
                await self._create(wanted)
                self._known.update(wanted)

    async def _create(self, topics: Sequence[str]) -> None:
        admin = AIOKafkaAdminClient(
            **self.connection, request_timeout_ms=round(REQUEST_SECONDS * 1000)
        )
        try:
            await self._reach(admin)
            there = set(await admin.list_topics())
            missing = [self._new(topic) for topic in topics if topic not in there]
            if missing:
                _check_created(await admin.create_topics(missing))
                logger.info("topics made", topics=[topic.name for topic in missing])
        finally:
            await admin.close()

    async def _reach(self, admin: Any) -> None:
        try:
            await admin.start()
        except KafkaConnectionError as away:
            servers = ", ".join(self.connection["bootstrap_servers"])
            raise KafkaConnectionError(
                f"no broker answers at {servers}: look whether Kafka is up, and whether the address"
                " and the security settings (GROUNDSWELL_KAFKA_…) are right"
            ) from away

    def _new(self, topic: str) -> NewTopic:
        replication = self.options.replication
        return NewTopic(
            topic,
            self.options.partitions,
            replication,
            topic_configs={
                "retention.ms": str(self.options.retention_days * 24 * 3600 * 1000),
                # An acknowledged record is on two machines where three copies are asked for.
                "min.insync.replicas": str(2 if replication > 2 else 1),
            },
        )


def _check_created(answer: Any) -> None:
    for topic, code, *why in answer.topic_errors:
        if code not in (0, TOPIC_EXISTS):
            raise for_code(code)(
                f"the broker would not make the topic {topic!r} ({', '.join(map(str, why))}): make"
                " it yourself, or give this user the right and GROUNDSWELL_KAFKA_REPLICATION a"
                " value that the cluster has brokers for"
            )


class TopicWriter:
    """Appends to one topic. Its own producer: what one topic refuses holds up no other."""

    def __init__(
        self,
        topic: str,
        arguments: dict[str, Any],
        options: KafkaOptions,
        ensure: Ensure,
        leaving: Leaving,
    ) -> None:
        self.topic = topic
        self._arguments = arguments
        self._seconds = options.send_seconds
        self._ensure = ensure
        self._leaving = leaving
        self._turn = asyncio.Lock()
        self._producer: Any = None

    async def append(self, records: Sequence[Record]) -> None:
        """Append and await every acknowledgement; on any failure the producer is done for."""
        try:
            async with asyncio.timeout(self._seconds), self._turn:
                try:
                    await self._append(await self._ready(), records)
                except BaseException:
                    self.give_up()
                    raise
        except TimeoutError as late:
            raise TimeoutError(
                f"no broker took {len(records)} records of {self.topic} in {self._seconds:g} s;"
                " send them again, and look whether Kafka is up"
            ) from late

    async def _ready(self) -> Any:
        if self._producer is None:
            await self._ensure([self.topic])
            self._producer = AIOKafkaProducer(
                **self._arguments,
                enable_idempotence=True,
                acks="all",
                max_batch_size=LARGEST_BATCH,
                request_timeout_ms=round(REQUEST_SECONDS * 1000),
            )
            await self._producer.start()
        return self._producer

    async def _append(self, producer: Any, records: Sequence[Record]) -> None:
        count = len(await producer.partitions_for(self.topic))
        partitions: dict[int, list[Record]] = defaultdict(list)
        for record in records:
            partitions[partition_of(record.key, count)].append(record)
        await _all(self._in_order(producer, p, found) for p, found in partitions.items())

    async def _in_order(self, producer: Any, partition: int, records: Sequence[Record]) -> None:
        for batch in _batches(producer, records):
            # failpoint: kafka.sending
            acknowledged = await producer.send_batch(batch, self.topic, partition=partition)
            acknowledged.add_done_callback(_heard)
            await asyncio.wait([acknowledged])  # one that is given up ends by itself
            # failpoint: kafka.sent
            acknowledged.result()

    def give_up(self) -> None:
        """Let the producer go, and with it whatever it still holds; the next one is new."""
        producer, self._producer = self._producer, None
        if producer is not None:

            async def refuse(*_: object, **__: object) -> None:
                raise KafkaError("this producer was given up; its records are sent by another")

            producer.client.send = refuse
            self._leaving.begin(producer, producer.client)


def _heard(future: asyncio.Future[Any]) -> None:
    """Whatever it says: nobody may be waiting any more, and that is no error."""
    if not future.cancelled():
        future.exception()


def _batches(producer: Any, records: Sequence[Record]) -> Iterator[Any]:
    """The records in as few batches as the limit allows, in their order."""
    batch = producer.create_batch()
    for record in records:
        fields: dict[str, Any] = {
            "key": _bytes(record.key),
            "value": record.value,
            "headers": [(name, _bytes(text)) for name, text in record.headers.items()],
            "timestamp": None,
        }
        if batch.append(**fields) is None:
            yield batch
            batch = producer.create_batch()
            batch.append(**fields)  # the first of a batch always fits
    yield batch


def _bytes(text: str) -> bytes:
    """The inverse of how a consumer reads text, so that foreign bytes can be sent on as they were."""
    return text.encode(errors="surrogateescape")


async def _all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Await all of it; when one fails the others end too, and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
