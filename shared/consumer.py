"""Takes events off the bus and hands them to a service, each with effect exactly once.

Per batch, in this order: one database transaction that claims the inbox, runs the handler and writes
its effects and outbox rows; then the offsets. A crash in between delivers again, and the inbox drops
what was done. What fails is retried one by one; a partition is held at the first that still fails,
for ever if need be: an event is never skipped. Only unreadable bytes are set aside.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import metrics
from shared.bus.bus import Bus, Consumer, Delivered, Partition
from shared.clock import utc_now
from shared.contracts import Contract
from shared.database import Database
from shared.envelope import Event, UnreadableEvent, decode
from shared.ids import made_at
from shared.inbox import claim, set_aside
from shared.supervisor import Beat

logger = structlog.get_logger(__name__)

Handle = Callable[[AsyncConnection, Sequence[Event]], Awaitable[None]]
"""Applies events, in order, in the transaction it is given. Must not commit or do other I/O."""

BATCH = 500
POLL_SECONDS = 1.0
LAG_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Subscription:
    """`group` names the consumer; `types` are the events that `handle` knows, the rest is passed by."""

    group: str
    topics: tuple[str, ...]
    types: frozenset[str]
    handle: Handle


def types_of(*contracts: type[Contract]) -> frozenset[str]:
    """The wire names of these contracts, for `Subscription.types`."""
    return frozenset(contract.TYPE for contract in contracts)


async def consume_forever(db: Database, bus: Bus, sub: Subscription, beat: Beat) -> None:
    """Consume until cancelled. Backs off, up to 10 s, while a partition is held."""
    consumer = await bus.join(sub.group, sub.topics)
    pause, measured = 0.1, 0.0
    try:
        while True:
            beat()
            batch = await consumer.poll(BATCH, POLL_SECONDS)
            held = await consume_batch(db, consumer, sub, batch) if batch else False
            if time.monotonic() - measured > LAG_SECONDS:
                await _measure_lag(sub, consumer)
                measured = time.monotonic()
            pause = min(pause * 2, 10.0) if held else 0.1
            if held:
                await asyncio.sleep(pause)
    finally:
        await consumer.close()


async def consume_batch(
    db: Database, consumer: Consumer, sub: Subscription, batch: Sequence[Delivered]
) -> bool:
    """Apply a polled batch and commit its offsets. True when a partition has to be held."""
    try:
        await _apply(db, sub, batch)
    except Exception:
        logger.warning("batch failed; trying its events one by one", group=sub.group, exc_info=True)
        return await _one_by_one(db, consumer, sub, batch)
    await consumer.commit(_after(batch))
    return False


async def _one_by_one(
    db: Database, consumer: Consumer, sub: Subscription, batch: Sequence[Delivered]
) -> bool:
    held: dict[Partition, int] = {}
    for delivered in batch:
        if delivered.partition in held:
            continue
        try:
            await _apply(db, sub, [delivered])
        except Exception:
            held[delivered.partition] = delivered.offset
            metrics.events_handled.labels(sub.group, "failed").inc()
            logger.exception(
                "event failed; holding its partition",
                group=sub.group,
                topic=delivered.partition.topic,
                partition=delivered.partition.number,
                offset=delivered.offset,
                event_type=delivered.record.headers.get("ce_type"),
                event_id=delivered.record.headers.get("ce_id"),
            )
        else:
            await consumer.commit(_after([delivered]))
    consumer.rewind(held)
    return bool(held)


async def _apply(db: Database, sub: Subscription, batch: Sequence[Delivered]) -> None:
    events: dict[str, Event] = {}
    unreadable: list[tuple[Delivered, str]] = []
    known = [d for d in batch if d.record.headers.get("ce_type", "") in sub.types | {""}]
    for delivered in known:
        try:
            event = decode(delivered.record)
        except UnreadableEvent as wrong:
            unreadable.append((delivered, str(wrong)))
        else:
            events[event.id] = event
    if not known:
        return
    async with db.begin() as conn:
        for delivered, reason in unreadable:
            await set_aside(conn, sub.group, delivered, reason)
        fresh = await claim(conn, sub.group, list(events))
        if fresh:
            await sub.handle(conn, [event for event in events.values() if event.id in fresh])
    _count(sub, handled=fresh, duplicates=len(known) - len(unreadable) - len(fresh))
    for delivered, _ in unreadable:
        metrics.dead_letters.labels(delivered.partition.topic, "unreadable").inc()


def _count(sub: Subscription, *, handled: set[str], duplicates: int) -> None:
    metrics.events_handled.labels(sub.group, "handled").inc(len(handled))
    metrics.inbox_duplicates.labels(sub.group).inc(duplicates)
    now = utc_now()
    for event_id in handled:
        age = (now - made_at(event_id)).total_seconds()
        metrics.event_age.labels(sub.group).observe(max(age, 0.0))


def _after(batch: Sequence[Delivered]) -> dict[Partition, int]:
    return {d.partition: d.offset + 1 for d in batch}


async def _measure_lag(sub: Subscription, consumer: Consumer) -> None:
    for partition, lag in (await consumer.lag()).items():
        metrics.consumer_lag.labels(sub.group, partition.topic, str(partition.number)).set(lag)
