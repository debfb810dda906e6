"""The inbox: which events a consumer has dealt with.

The claim is written in the transaction of the event's effects: both happen, or neither. Claims are
kept for longer than a bus can deliver an event again (`pruning`).
"""

from collections.abc import Sequence

from sqlalchemy import Column, Index, Table, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.clock import utc_now
from shared.database import UtcDateTime, to_json
from shared.outbox import plumbing
from shared.prepared import Prepared

inbox = Table(
    "inbox",
    plumbing,
    Column("consumer", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("claimed_at", UtcDateTime, nullable=False),
    Index("inbox_by_claim", "consumer", "claimed_at"),
)


_CLAIM = """
INSERT INTO inbox (consumer, event_id, claimed_at) SELECT :consumer, value, :claimed_at FROM {ids}
WHERE true ON CONFLICT DO NOTHING RETURNING event_id
"""
"""One statement whatever their number: a row of parameters for each would take longer than the rest."""

_AT = bindparam("claimed_at", type_=UtcDateTime)
_ON_SQLITE = Prepared(
    text(_CLAIM.format(ids="json_each(:ids)")).bindparams(_AT).columns(inbox.c.event_id)
)
_ON_POSTGRES = Prepared(
    text(_CLAIM.format(ids="unnest(:ids) AS value"))
    .bindparams(_AT, bindparam("consumer", type_=Text), bindparam("ids", type_=ARRAY(Text)))
    .columns(inbox.c.event_id)
)


async def claim(conn: AsyncConnection, consumer: str, event_ids: Sequence[str]) -> set[str]:
    """Claim these events for `consumer` in the caller's transaction; returns those not dealt with yet."""
    if not event_ids:
        return set()
    claimed_at = utc_now()
    on_postgres = conn.dialect.name == "postgresql"
    ids = list(event_ids) if on_postgres else to_json(event_ids)
    values = {"consumer": consumer, "claimed_at": claimed_at, "ids": ids}
    # failpoint: inbox.claiming
    found = await (_ON_POSTGRES if on_postgres else _ON_SQLITE).rows(conn, values)
    return {row.event_id for row in found}
