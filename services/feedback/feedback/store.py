"""The table `feedback`. Load and save what was said."""

from dataclasses import asdict

from sqlalchemy import Column, Float, Index, Integer, Table, Text, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.feedback.domain import Feedback, FeedbackUnknown
from services.feedback.metadata import metadata
from shared.database import UtcDateTime
from shared.refusals import Conflict

feedback = Table(
    "feedback",
    metadata,
    Column("id", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("segment", Text),
    Column("customer", Text),
    Column("product", Text),
    Column("service", Text),
    Column("revenue_at_risk", Float),
    Column("happened_at", UtcDateTime, nullable=False),
    Column("votes", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Index("feedback_happened", "happened_at", "id"),
    Index("feedback_author", "author", "happened_at", "id"),
    Index("feedback_product", "product", "happened_at", "id"),
)


async def load(conn: AsyncConnection, feedback_id: str) -> Feedback:
    """What was said under this id. Raises FeedbackUnknown."""
    query = select(feedback).where(feedback.c.id == feedback_id)
    row = (await conn.execute(query)).one_or_none()
    if row is None:
        raise FeedbackUnknown(
            f"There is no feedback {feedback_id!r}; find it with GET /v1/feedback."
        )
    return Feedback(**row._mapping)  # pyright: ignore[reportPrivateUsage]


async def save(conn: AsyncConnection, said: Feedback, *, was: int | None) -> None:
    """Write it; `was` is the version it was loaded with, None for a new one. Raises Conflict."""
    if was is None:
        await conn.execute(insert(feedback).values(asdict(said)))
        return
    query = update(feedback).where(feedback.c.id == said.id, feedback.c.version == was)
    if (await conn.execute(query.values(asdict(said)))).rowcount != 1:
        raise Conflict(f"Feedback {said.id} was changed meanwhile; read it again and retry.")
