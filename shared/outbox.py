"""The outbox: events written in the transaction that makes them true, sent afterwards.

The relay reads the *pending* rows in order and deletes what the bus has made durable. It never
remembers a position: sequences don't commit in order, and a late commit would be skipped for ever.
A crash between sending and deleting sends again; the inbox of the receiver drops the second one.
"""

import asyncio
from collections.abc import Sequence

from sqlalchemy import Column, LargeBinary, MetaData, Table, Text, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import metrics
from shared.bus.bus import Bus
from shared.clock import utc_now
from shared.database import PUBLISHED, Database, Json, Serial, UtcDateTime
from shared.envelope import Event, Record, encode
from shared.refusals import Invalid
from shared.supervisor import Beat

plumbing = MetaData()
"""Tables that every service's database has: outbox, inbox, dead letters, idempotency keys."""

outbox = Table(
    "outbox",
    plumbing,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("topic", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("headers", Json, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

LARGEST = 900_000
"""Bytes; below Kafka's default limit of a message, so that the relay can never get stuck on one."""

BATCH = 500
IDLE_SECONDS = 0.5
GATHER_SECONDS = 0.02
"""What is published in one moment goes together: each trip costs three transactions downstream."""


async def publish(conn: AsyncConnection, events: Sequence[Event]) -> None:
    """Put events into the caller's transaction, in order. They are sent after it commits.

    Write the aggregate's own row first, so that writers of one aggregate serialise on it.
    Raises Invalid for a payload that no bus would take.
    """
    if not events:
        return
    recorded_at = utc_now()
    rows: list[dict[str, object]] = []
    for event in events:
        record = encode(event)
        if len(record.value) > LARGEST:
            raise Invalid(
                f"{event.type} is {len(record.value)} bytes; at most {LARGEST} can be sent"
            )
        rows.append(
            {
                "topic": record.topic,
                "key": record.key,
                "headers": dict(record.headers),
                "value": record.value,
                "recorded_at": recorded_at,
            }
        )
    await conn.execute(insert(outbox), rows)
    conn.info[PUBLISHED] = True


async def relay_once(db: Database, bus: Bus) -> int:
    """Send the oldest pending events and forget them once the bus has them. Returns how many.

    At least once: only what the bus acknowledged is deleted, in one transaction of its own.
    """
    pending = select(outbox).order_by(outbox.c.seq).limit(BATCH)
    async with db.read() as conn:
        rows = (await conn.execute(pending)).all()
    if not rows:
        return 0
    await bus.send([Record(row.topic, row.key, row.headers, row.value) for row in rows])
    async with db.begin() as conn:
        await conn.execute(delete(outbox).where(outbox.c.seq.in_([row.seq for row in rows])))
    return len(rows)


async def relay_forever(service: str, db: Database, bus: Bus, beat: Beat) -> None:
    """Relay until cancelled; wakes on a commit that published, or at the latest every half second."""
    while True:
        beat()
        await asyncio.sleep(GATHER_SECONDS)
        db.published.clear()
        sent = await relay_once(db, bus)
        metrics.events_sent.labels(service).inc(sent)
        if sent < BATCH:
            await wait_for_work(db.published, IDLE_SECONDS)


async def wait_for_work(signal: asyncio.Event, seconds: float) -> None:
    """Return when `signal` is set, or after `seconds`."""
    try:
        await asyncio.wait_for(signal.wait(), seconds)
    except TimeoutError:
        return


async def measure(service: str, conn: AsyncConnection) -> None:
    """Set the gauges of what still waits in this outbox."""
    query = select(func.count(), func.min(outbox.c.recorded_at))
    pending, oldest = (await conn.execute(query)).one()
    metrics.outbox_pending.labels(service).set(pending)
    age = (utc_now() - oldest).total_seconds() if oldest else 0.0
    metrics.outbox_oldest_age.labels(service).set(age)
