"""Forgets what no promise needs any more, a little at a time, so that no writer waits long for it.

- *Inbox*: claims older than its retention, counted back from the consumer's newest claim, not from
  now: what a consumer did last must be remembered however long it was away, since just that may be
  delivered again.
- *Idempotency keys*: after the time within which a repeated request gets its first answer.
- *Dead letters*: some time after their replay. One that waits is never forgotten.

The outbox needs none of this: the relay deletes what it has sent. The embedded bus prunes its log by
itself, and Kafka its topics.
"""

import asyncio
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Column, ColumnElement, Table, delete, func, select, tuple_

from shared.clock import Clock, utc_now
from shared.database import Database
from shared.dead_letters import dead_letters
from shared.http.idempotency import idempotency_keys
from shared.inbox import inbox
from shared.supervisor import Beat
from shared.upkeep import Upkeep

logger = structlog.get_logger(__name__)

BATCH = 500
"""Rows in one transaction: milliseconds."""

MINUTES = 10
BEAT_SECONDS = 20.0


async def prune_forever(
    db: Database, upkeep: Upkeep, beat: Beat, clock: Clock = utc_now, minutes: float = MINUTES
) -> None:
    """Prune now and again every `minutes`, until cancelled. Any number of processes may."""
    while True:
        await prune(db, upkeep, clock(), beat)
        for _ in range(max(1, round(minutes * 60 / BEAT_SECONDS))):
            beat()
            await asyncio.sleep(BEAT_SECONDS)


async def prune(db: Database, upkeep: Upkeep, now: datetime, beat: Beat) -> dict[str, int]:
    """Forget everything that may go as of `now`, in small transactions. Returns rows by table."""
    keys, letters = idempotency_keys.c.recorded_at, dead_letters.c.replayed_at
    forgotten = {
        inbox.name: await _prune_inbox(db, upkeep, now, beat),
        idempotency_keys.name: await _delete(db, keys, now - upkeep.idempotency_kept, beat),
        dead_letters.name: await _delete(db, letters, now - upkeep.dead_letters_kept, beat),
    }
    if any(forgotten.values()):
        logger.info("pruned", **forgotten)
    return forgotten


async def _prune_inbox(db: Database, upkeep: Upkeep, now: datetime, beat: Beat) -> int:
    claimed_at, total = inbox.c.claimed_at, 0
    newest = select(inbox.c.consumer, func.max(claimed_at)).group_by(inbox.c.consumer)
    async with db.read() as conn:
        consumers = (await conn.execute(newest)).all()
    for consumer, last in consumers:
        before = min(now, last) - upkeep.inbox_kept
        total += await _delete(db, claimed_at, before, beat, inbox.c.consumer == consumer)
    return total


async def _delete(
    db: Database, at: Column[Any], before: datetime, beat: Beat, *which: ColumnElement[bool]
) -> int:
    """Delete the rows of `at`'s table whose `at` is before `before`, the oldest first."""
    table: Table = at.table
    key = list(table.primary_key.columns)
    old = select(*key).where(at < before, *which).order_by(at).limit(BATCH)
    query = delete(table).where(tuple_(*key).in_(old))
    total, gone = 0, BATCH
    while gone == BATCH:
        beat()
        async with db.begin() as conn:
            gone = (await conn.execute(query)).rowcount
            # failpoint: pruning.deleting
        # failpoint: pruning.deleted
        total += gone
    return total
