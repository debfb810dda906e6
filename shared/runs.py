"""Runs of dead letters: many in a row mean a bad release, here or at the publisher, not bad records.

A consumer may set `limit` records aside with no readable event between; the next one stops it. The
count and the place where it stopped are durable, so that restarts don't let a run through piece by
piece: a stopped consumer goes on when it can read what it stopped at (mend the code, deploy), or when
a person lets the run pass (`resume`). What was dealt with before, delivered again, counts for nothing.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Integer, Table, Text, bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import UtcDateTime, insert_into
from shared.dead_letters import Place
from shared.outbox import plumbing
from shared.prepared import Prepared

LIMIT = 20

dead_letter_runs = Table(
    "dead_letter_runs",
    plumbing,
    Column("consumer", Text, primary_key=True),
    Column("length", Integer, nullable=False),
    Column("topic", Text),
    Column("partition", Integer),
    Column("offset", BigInteger),
    Column("stopped_at", UtcDateTime),
)
"""No row: the last that a consumer dealt with was readable. A place: it stopped there."""


@dataclass(frozen=True, slots=True)
class Run:
    """How many dead letters stand in a row, and the place of the next one if that was one too many."""

    length: int = 0
    stop: Place | None = None
    stopped_at: datetime | None = None

    def reached(self, place: Place) -> bool:
        """Is this the place of the stop, or one behind it in its partition?"""
        return self.stop is None or (self.stop[:2] == place[:2] and self.stop[2] <= place[2])


def after_event(run: Run, place: Place) -> Run:
    """The run once a readable event was handled. Past a stop only what stood there ends it: what
    other partitions hold says nothing of that."""
    return Run() if run.reached(place) else run


def after_letter(run: Run, place: Place) -> Run:
    """The run with one more record set aside."""
    longer = replace(run, length=run.length + 1)
    return replace(longer, stop=None, stopped_at=None) if run.reached(place) else longer


_LOAD = Prepared(select(dead_letter_runs).where(dead_letter_runs.c.consumer == bindparam("whose")))


async def load(conn: AsyncConnection, consumer: str) -> Run:
    """The consumer's run so far."""
    rows = await _LOAD.rows(conn, {"whose": consumer})
    if not rows:
        return Run()
    row = rows[0]
    stop = None if row.topic is None else (row.topic, row.partition, row.offset)
    return Run(row.length, stop, row.stopped_at)


async def save(conn: AsyncConnection, consumer: str, run: Run) -> None:
    """Keep the run, in the caller's transaction."""
    if run == Run():
        await _forget(conn, consumer)
        return
    topic, partition, offset = run.stop or (None, None, None)
    row: dict[str, Any] = {
        "consumer": consumer,
        "length": run.length,
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "stopped_at": run.stopped_at,
    }
    upsert = insert_into(conn, dead_letter_runs).values(row)
    await conn.execute(upsert.on_conflict_do_update(index_elements=["consumer"], set_=row))


async def stop(conn: AsyncConnection, consumer: str, place: Place, at: datetime) -> None:
    """Note in the caller's transaction where the consumer stopped; the first stop stands."""
    run = await load(conn, consumer)
    if run.stop is None:
        await save(conn, consumer, replace(run, stop=place, stopped_at=at))


async def resume(conn: AsyncConnection, consumer: str) -> Run:
    """Let the run pass, in the caller's transaction: the next letters count from one again.

    Returns the run as it was. The consumer looks again by itself.
    """
    run = await load(conn, consumer)
    await _forget(conn, consumer)
    return run


async def _forget(conn: AsyncConnection, consumer: str) -> None:
    await conn.execute(delete(dead_letter_runs).where(dead_letter_runs.c.consumer == consumer))
