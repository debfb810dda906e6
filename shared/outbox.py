"""The outbox: events written in the transaction that makes them true, sent afterwards.

The relay reads the *pending* rows in order and deletes what the bus has made durable. It never
remembers a position: sequences don't commit in order, and a late commit would be skipped for ever.
A crash between sending and deleting sends again; the inbox of the receiver drops the second one.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Table,
    Text,
    bindparam,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import metrics
from shared.bus.bus import Bus
from shared.clock import utc_now
from shared.database import PUBLISHED, Database, Json, Serial, UtcDateTime, to_json
from shared.envelope import Event, Record, encode
from shared.prepared import Prepared
from shared.refusals import Invalid
from shared.supervisor import Beat

logger = structlog.get_logger(__name__)

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

_PUT = Prepared(insert(outbox))
_OLDEST = (
    select(outbox.c.seq, outbox.c.topic, outbox.c.key, outbox.c.headers, outbox.c.value)
    .order_by(outbox.c.seq)
    .limit(bindparam("most", type_=Integer))
)
_FORGET_ON_SQLITE = text("DELETE FROM outbox WHERE seq IN (SELECT value FROM json_each(:numbers))")
_FORGET_ON_POSTGRES = text("DELETE FROM outbox WHERE seq = ANY(:numbers)").bindparams(
    bindparam("numbers", type_=ARRAY(BigInteger))
)

LARGEST = 900_000
"""Bytes; below Kafka's default limit of a message, so that the relay can never get stuck on one."""

BATCH = 1_000
SEND_SECONDS = 30
"""Less than a leader may be silent for: a relay that hangs is given up before it is succeeded."""

IDLE_SECONDS = 0.5
POLL_SECONDS = 0.05
"""The same where other processes publish: nobody tells us that they did."""

LONGEST_PAUSE = 2.0
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
    # failpoint: outbox.writing
    await _PUT.many(conn, rows)
    # failpoint: outbox.written
    conn.info[PUBLISHED] = True


async def relay_once(db: Database, bus: Bus) -> int:
    """Send the oldest pending events and forget them once the bus has them. Returns how many.

    At least once: only what the bus acknowledged is deleted, in one transaction of its own. Of all
    processes one relays at a time, or the events of one key could overtake each other; the others
    return 0. Raises TimeoutError when the bus doesn't answer, and what it or the database raises.
    """
    alone = db.schema is None  # leads always; the others look whether there is anything to lead for
    rows = await _pending(db, limit=BATCH if alone else 1)
    if not rows:
        return 0
    async with db.leading("relay") as leads:
        if not leads:
            return 0
        # failpoint: relay.leading
        if not alone:
            rows = await _pending(db, limit=BATCH)
        # failpoint: relay.read
        # Another may have led, and sent all, since we looked.
        if not rows:
            return 0
        async with asyncio.timeout(SEND_SECONDS):
            await bus.send([Record(row.topic, row.key, row.headers, row.value) for row in rows])
        # failpoint: relay.sent
        await _forget(db, [row.seq for row in rows])
        # failpoint: relay.deleted
        return len(rows)


async def _pending(db: Database, *, limit: int) -> Sequence[Row[*tuple[Any, ...]]]:
    async with db.look() as conn:
        return (await conn.execute(_OLDEST, {"most": limit})).all()


async def _forget(db: Database, numbers: Sequence[int]) -> None:
    async def work(conn: AsyncConnection) -> None:
        if conn.dialect.name == "postgresql":
            await conn.execute(_FORGET_ON_POSTGRES, {"numbers": numbers})
        else:
            await conn.execute(_FORGET_ON_SQLITE, {"numbers": to_json(numbers)})
        # failpoint: relay.deleting

    await db.write(work)


async def relay_forever(service: str, db: Database, bus: Bus, beat: Beat) -> None:
    """Relay until cancelled. Wakes on a commit of this process that published; looks for those of
    others as often as it is cheap. What can't be sent waits, and is tried again within seconds.
    """
    idle = IDLE_SECONDS if db.schema is None else POLL_SECONDS
    pause = GATHER_SECONDS
    while True:
        beat()
        await asyncio.sleep(pause)
        db.published.clear()
        try:
            sent = await relay_once(db, bus)
        except Exception as error:
            metrics.job_failures.labels(f"{service} relay").inc()
            pause = min(pause * 2, LONGEST_PAUSE)
            logger.warning("events can't be sent; they wait", service=service, exc_info=error)
            continue
        metrics.events_sent.labels(service).inc(sent)
        pause = GATHER_SECONDS if sent < BATCH else 0
        if sent < BATCH:
            await wait_for_work(db.published, idle)


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
