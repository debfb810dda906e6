"""A member of a Kafka group that survives its broker, its group's changes and its own client.

It never commits what it was not told to, and never more than it polled since the last rebalance:
after one, positions go from what is committed, and what was in hand is delivered again.
"""

# pyright: reportMissingTypeStubs=false
# aiokafka comes without types; what it makes is Any here.

import asyncio
import heapq
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from shared import metrics
from shared.bus.bus import Delivered, Partition
from shared.bus.kafka_client import LEAVING_SECONDS, KafkaOptions, Leaving
from shared.envelope import Record

logger = structlog.get_logger(__name__)

FETCH_WAIT_SECONDS = 0.1
"""A broker answers a fetch as soon as there is a record; this long when there is none."""

LARGEST_FETCH = 2_000_000
"""Bytes of one partition in one fetch; above any batch that a topic takes by default."""

COMMIT_SECONDS = 5.0
LAG_SECONDS = 1.5
LONGEST_PAUSE = 5.0
LOST_SECONDS = 30.0
"""Unreachable for this long: join anew, from the configured addresses. Brokers may have moved."""

AWAY = (KafkaError, OSError, TimeoutError)


class KafkaConsumer:
    """See `bus.Consumer`. Nothing here raises because a broker is away."""

    def __init__(
        self,
        group: str,
        topics: Sequence[str],
        arguments: dict[str, Any],
        options: KafkaOptions,
        ensure: Callable[[Sequence[str]], Awaitable[None]],
        leaving: Leaving,
        closed: Callable[["KafkaConsumer"], None],
    ) -> None:
        self.group = group
        self.topics = list(topics)
        self._arguments = arguments
        self._options = options
        self._ensure = ensure
        self._leaving = leaving
        self._closed = closed
        self._client: Any = None
        self._joining: asyncio.Task[Any] | None = None
        self._polled: dict[Partition, int] = {}
        """Where to go on from, of partitions polled since the last rebalance."""
        self._committed: dict[Partition, int] = {}
        self._owed: dict[Partition, int] = {}
        """What an outage kept from being committed."""
        self._reached = time.monotonic()

    # -- joining ---------------------------------------------------------------------------------

    async def joined(self) -> None:
        """Wait until it is a member, or until that takes too long; polls go on with it."""
        await self._member(self._options.session_seconds)

    async def _member(self, wait_seconds: float) -> Any:
        """The client that is in the group; None when there is none in time."""
        if self._client is None:
            if self._joining is None:
                self._joining = asyncio.create_task(self._join())
            await asyncio.wait([self._joining], timeout=wait_seconds)
            if self._joining.done():
                self._client, self._joining = self._joining.result(), None
                self._reached = time.monotonic()
        return self._client

    async def _join(self) -> Any:
        pause = 0.1
        while True:
            client = self._make()
            try:
                # A dead member is missed after a session; then the others have one to come back.
                async with asyncio.timeout(self._options.session_seconds * 3):
                    await self._ensure(self.topics)
                    await client.start()
            except BaseException as error:
                self._leaving.begin(client, client._client)
                if not isinstance(error, Exception):
                    raise
                logger.warning(
                    "can't join the group; trying again",
                    group=self.group,
                    error=repr(error),
                    pause_seconds=pause,
                )
            else:
                return client
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _make(self) -> Any:
        session = round(self._options.session_seconds * 1000)
        client: Any = AIOKafkaConsumer(
            **self._arguments,
            group_id=self.group,
            group_instance_id=self._options.group_instance_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            session_timeout_ms=session,
            rebalance_timeout_ms=session,
            heartbeat_interval_ms=round(self._options.heartbeat_seconds * 1000),
            request_timeout_ms=session + 5000,  # joining waits for the others that long
            fetch_max_wait_ms=round(FETCH_WAIT_SECONDS * 1000),
            max_partition_fetch_bytes=LARGEST_FETCH,
        )
        client.subscribe(self.topics, listener=_Rebalanced(self._dealt_anew))
        return client

    def _dealt_anew(self, partitions: int) -> None:
        logger.info("partitions dealt anew", group=self.group, partitions=partitions)
        self._polled.clear()
        self._committed.clear()
        self._owed.clear()

    def _lose(self, why: str) -> None:
        """Let a client go that can't go on; the next poll joins anew."""
        client, self._client = self._client, None
        if client is not None:
            logger.warning("joining the group anew", group=self.group, why=why)
            metrics.bus_rejoins.labels(self.group).inc()
            self._dealt_anew(0)
            self._leaving.begin(client, client._client)

    # -- the contract ----------------------------------------------------------------------------

    async def poll(self, limit: int, wait_seconds: float) -> list[Delivered]:
        deadline = time.monotonic() + wait_seconds
        client = await self._member(wait_seconds)
        if client is None:
            return []
        if self._owed:
            await self._pay(max(deadline - time.monotonic(), 0.1))
        left = max(deadline - time.monotonic(), 0.0)
        try:
            # The library's own limit doesn't hold while partitions are dealt anew.
            async with asyncio.timeout(left + 0.1):
                found = await client.getmany(timeout_ms=left * 1000, max_records=limit)
        except TimeoutError:
            return []
        except Exception as broken:
            self._lose(repr(broken))
            return []
        return self._take(found)

    def _take(self, found: Mapping[TopicPartition, Sequence[Any]]) -> list[Delivered]:
        """In the order of their time, as far as that keeps each partition's own order.

        More than a bus must promise: it keeps what different aggregates said close to its order.
        """
        for one, messages in found.items():
            if messages:
                self._polled[Partition(one.topic, one.partition)] = messages[-1].offset + 1
        merged = heapq.merge(*found.values(), key=lambda message: message.timestamp)
        return [_delivered(message) for message in merged]

    async def commit(self, done: Mapping[Partition, int]) -> None:
        """See `bus.Consumer`. What can't be committed any more is delivered again; no error.

        What an outage kept from being committed is committed by a later poll.
        """
        mine = {p: offset for p, offset in done.items() if offset <= self._polled.get(p, -1)}
        if len(mine) < len(done):
            self._not_mine(len(done) - len(mine), "dealt anew since it was polled")
        self._owed |= mine
        await self._pay(COMMIT_SECONDS)

    async def _pay(self, seconds: float) -> None:
        owed = dict(self._owed)
        if not owed or self._client is None:
            return
        # failpoint: kafka.committing
        offsets = {TopicPartition(*p): offset for p, offset in owed.items()}
        try:
            async with asyncio.timeout(seconds):
                await self._client.commit(offsets)
                # failpoint: kafka.committed
        except (CommitFailedError, IllegalStateError) as moved:
            self._owed.clear()
            self._not_mine(len(owed), type(moved).__name__)
        except AWAY as error:
            metrics.bus_commits_lost.labels(self.group, "unreachable").inc(len(owed))
            self._unreachable(error)
        else:
            self._owed = {p: o for p, o in self._owed.items() if owed.get(p) != o}
            self._committed |= owed
            self._reached = time.monotonic()

    def _not_mine(self, count: int, why: str) -> None:
        metrics.bus_commits_lost.labels(self.group, "rebalanced").inc(count)
        logger.info(
            "offsets not committed, their records come again",
            group=self.group,
            count=count,
            why=why,
        )

    def _unreachable(self, error: BaseException) -> None:
        logger.info("the group's broker is out of reach", group=self.group, error=repr(error))
        if time.monotonic() - self._reached > LOST_SECONDS:
            self._lose(f"out of reach: {error!r}")

    def rewind(self, back_to: Mapping[Partition, int]) -> None:
        """See `bus.Consumer`. A partition dealt anew since goes from what is committed already."""
        for partition, offset in back_to.items():
            if self._client is None or partition not in self._polled:
                continue
            try:
                self._client.seek(TopicPartition(*partition), offset)
            except IllegalStateError:
                logger.info(
                    "not rewound, another has it now", group=self.group, partition=partition
                )
            else:
                self._polled[partition] = offset

    async def lag(self) -> dict[Partition, int]:
        """See `bus.Consumer`; {} when it can't be known now."""
        client = self._client
        assigned: list[TopicPartition] = list(client.assignment()) if client else []
        if not assigned:
            return {}
        try:
            async with asyncio.timeout(LAG_SECONDS):
                ends = await client.end_offsets(assigned)
                await self._learn_committed(client, assigned)
        except AWAY as error:
            self._unreachable(error)
            return {}
        self._reached = time.monotonic()
        stand = {Partition(one.topic, one.partition): end for one, end in ends.items()}
        return {p: max(end - self._committed.get(p, end), 0) for p, end in stand.items()}

    async def _learn_committed(self, client: Any, assigned: Sequence[TopicPartition]) -> None:
        """Ask once per rebalance: from then on nobody but this member commits for them."""
        known = self._committed
        unknown = [one for one in assigned if Partition(one.topic, one.partition) not in known]
        if not unknown:
            return
        starts = await client.beginning_offsets(unknown)
        for one in unknown:
            committed = await client.committed(one)
            offset = starts[one] if committed is None else committed
            known.setdefault(Partition(one.topic, one.partition), offset)

    async def close(self) -> None:
        """Leave the group at once. With `group_instance_id` the broker keeps the place instead."""
        self._closed(self)
        if self._joining is not None:
            self._joining.cancel()
            await asyncio.wait([self._joining])
            if not self._joining.cancelled() and not self._joining.exception():
                self._client = self._joining.result()
            self._joining = None
        client, self._client = self._client, None
        if client is not None:
            await asyncio.wait(
                [self._leaving.begin(client, client._client)], timeout=LEAVING_SECONDS
            )


class _Rebalanced(ConsumerRebalanceListener):
    """Hears from the library when partitions have been dealt anew."""

    def __init__(self, heard: Callable[[int], None]) -> None:
        self._heard = heard

    def on_partitions_revoked(self, revoked: object) -> None:
        """Nothing yet: until they are dealt anew, a commit still counts."""

    def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        self._heard(len(assigned))


def _delivered(message: Any) -> Delivered:
    """The message as a record; bytes that nobody of ours wrote must not stop a poll."""
    headers = {
        name: (value or b"").decode(errors="surrogateescape") for name, value in message.headers
    }
    key = (message.key or b"").decode(errors="surrogateescape")
    return Delivered(
        Partition(message.topic, message.partition),
        message.offset,
        Record(message.topic, key, headers, message.value or b""),
    )
