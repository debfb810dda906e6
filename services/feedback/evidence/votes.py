"""The table `feedback_votes`: who wants what, since when. One vote per voter and piece of feedback."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Column, Table, Text, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.metadata import metadata
from shared.database import UtcDateTime, insert_into
from shared.keys import one_of
from shared.prepared import Prepared

votes = Table(
    "feedback_votes",
    metadata,
    Column("feedback_id", Text, primary_key=True),
    Column("voter", Text, primary_key=True, index=True),
    Column("at", UtcDateTime, nullable=False),
)


async def add(conn: AsyncConnection, feedback_id: str, voter: str, at: datetime) -> bool:
    """Enter the vote. False when this voter voted for it before; then nothing changes."""
    query = insert_into(conn, votes).values(feedback_id=feedback_id, voter=voter, at=at)
    added = await conn.execute(query.on_conflict_do_nothing().returning(votes.c.voter))
    return added.one_or_none() is not None


_TIMES = Prepared(
    select(votes).where(one_of(votes.c.feedback_id)).order_by(votes.c.at, votes.c.voter)
)


async def times(
    conn: AsyncConnection, feedback_ids: Iterable[str]
) -> dict[str, list[tuple[str, datetime]]]:
    """The voters of these pieces of feedback and when they voted, in time order."""
    found: dict[str, list[tuple[str, datetime]]] = {}
    for row in await _TIMES.of(conn, feedback_ids):
        found.setdefault(row.feedback_id, []).append((row.voter, row.at))
    return found
