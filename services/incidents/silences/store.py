"""The table `silences`. A silence changes once at most: when somebody ends it before its time."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any

from sqlalchemy import Column, Index, Row, Table, Text, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.metadata import metadata
from services.incidents.silences.domain import Recurrence, Silence
from services.incidents.silences.matching import Matcher
from shared.database import Json, UtcDateTime
from shared.refusals import Conflict

silences = Table(
    "silences",
    metadata,
    Column("id", Text, primary_key=True),
    Column("comment", Text, nullable=False),
    Column("matchers", Json, nullable=False),
    Column("starts_at", UtcDateTime, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False),
    Column("recurrence", Json),
    Column("created_by", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("ended_by", Text),
    Column("over_at", UtcDateTime, nullable=False),
    Index("silences_by_end", "over_at", "id"),
)
"""`over_at` is the earlier of `ends_at` and `ended_at`."""


async def stand(conn: AsyncConnection) -> tuple[int, int]:
    """Differs whenever a silence was added or ended: neither count ever falls."""
    query = select(func.count(), func.count(silences.c.ended_at))
    added, ended = (await conn.execute(query)).one()
    return added, ended


async def count_not_over(conn: AsyncConnection, now: datetime) -> int:
    query = select(func.count()).select_from(silences).where(silences.c.over_at > now)
    return (await conn.execute(query)).scalar_one()


async def load(conn: AsyncConnection, silence_id: str) -> Silence | None:
    query = select(silences).where(silences.c.id == silence_id)
    row = (await conn.execute(query)).one_or_none()
    return None if row is None else silence_of(row)


async def load_all(conn: AsyncConnection) -> list[Silence]:
    """Every silence there ever was: signals of its time may still arrive."""
    return [silence_of(row) for row in await conn.execute(select(silences))]


async def add(conn: AsyncConnection, silence: Silence) -> None:
    row: dict[str, Any] = {
        "id": silence.id,
        "comment": silence.comment,
        "matchers": [{"label": m.label, "op": m.op, "value": m.value} for m in silence.matchers],
        "starts_at": silence.starts_at,
        "ends_at": silence.ends_at,
        "recurrence": silence.recurrence and _stated(silence.recurrence),
        "created_by": silence.created_by,
        "created_at": silence.created_at,
        "over_at": silence.over_at,
    }
    await conn.execute(insert(silences).values(row))


async def save_end(conn: AsyncConnection, silence: Silence) -> None:
    """Write that it was ended. Raises Conflict when somebody ended it meanwhile."""
    query = update(silences).where(silences.c.id == silence.id, silences.c.ended_at.is_(None))
    ended = {
        "ended_at": silence.ended_at,
        "ended_by": silence.ended_by,
        "over_at": silence.over_at,
    }
    if (await conn.execute(query.values(ended))).rowcount != 1:
        raise Conflict(f"Silence {silence.id} was ended meanwhile; read it again.")


def silence_of(row: Row[Any]) -> Silence:
    return Silence(
        id=row.id,
        comment=row.comment,
        matchers=tuple(Matcher(m["label"], m["op"], m["value"]) for m in row.matchers),
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        recurrence=row.recurrence and _recurrence(row.recurrence),
        created_by=row.created_by,
        created_at=row.created_at,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
    )


def _stated(recurrence: Recurrence) -> dict[str, Any]:
    return {
        "days": list(recurrence.days),
        "from": recurrence.begins.strftime("%H:%M"),
        "minutes": recurrence.lasts // timedelta(minutes=1),
        "timezone": recurrence.timezone,
    }


def _recurrence(stated: Mapping[str, Any]) -> Recurrence:
    return Recurrence(
        days=tuple(stated["days"]),
        begins=time.fromisoformat(stated["from"]),
        lasts=timedelta(minutes=stated["minutes"]),
        timezone=stated["timezone"],
    )
