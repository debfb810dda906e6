"""The inbox: which events a consumer has dealt with, and those that nobody could read.

The claim is written in the transaction of the event's effects: both happen, or neither.
"""

from collections.abc import Sequence

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Table, Text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.bus.bus import Delivered
from shared.clock import utc_now
from shared.database import Json, UtcDateTime, insert_into
from shared.ids import new_id
from shared.outbox import plumbing

inbox = Table(
    "inbox",
    plumbing,
    Column("consumer", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("claimed_at", UtcDateTime, nullable=False),
)

dead_letters = Table(
    "dead_letters",
    plumbing,
    Column("id", Text, primary_key=True),
    Column("consumer", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("key", Text, nullable=False),
    Column("headers", Json, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
)


async def claim(conn: AsyncConnection, consumer: str, event_ids: Sequence[str]) -> set[str]:
    """Claim these events for `consumer` in the caller's transaction; returns those not dealt with yet."""
    if not event_ids:
        return set()
    claimed_at = utc_now()
    rows = [{"consumer": consumer, "event_id": e, "claimed_at": claimed_at} for e in event_ids]
    query = (
        insert_into(conn, inbox).values(rows).on_conflict_do_nothing().returning(inbox.c.event_id)
    )
    return set((await conn.execute(query)).scalars())


async def set_aside(
    conn: AsyncConnection, consumer: str, delivered: Delivered, reason: str
) -> None:
    """Keep a record that can't be read, whole, with the reason, in the caller's transaction."""
    record = delivered.record
    await conn.execute(
        dead_letters.insert().values(
            id=new_id("ded"),
            consumer=consumer,
            topic=record.topic,
            partition=delivered.partition.number,
            offset=delivered.offset,
            key=record.key,
            headers=dict(record.headers),
            value=record.value,
            reason=reason[:2000],
            recorded_at=utc_now(),
        )
    )
