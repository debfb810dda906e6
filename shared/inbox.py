"""The inbox: which events a consumer has dealt with.

The claim is written in the transaction of the event's effects: both happen, or neither. Claims are
kept for longer than a bus can deliver an event again (`pruning`).
"""

from collections.abc import Sequence

from sqlalchemy import Column, Index, Table, Text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.clock import utc_now
from shared.database import UtcDateTime, insert_into
from shared.outbox import plumbing

inbox = Table(
    "inbox",
    plumbing,
    Column("consumer", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("claimed_at", UtcDateTime, nullable=False),
    Index("inbox_by_claim", "consumer", "claimed_at"),
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
    # failpoint: inbox.claiming
    return set((await conn.execute(query)).scalars())
