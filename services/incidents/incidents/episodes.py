"""The table `episodes`: when each alert was firing, and the incident that this belongs to.

An episode is an alert (source, fingerprint) and a start. It is owned by the incident, so that
whoever ends the incident ends the alert's part in it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Index,
    Table,
    Text,
    bindparam,
    func,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.incidents.store import parts
from services.incidents.metadata import metadata
from shared.database import UtcDateTime, insert_into

FIRING = text("ends_at IS NULL")
EXPIRING = text("ends_at IS NULL AND expires_at IS NOT NULL")

episodes = Table(
    "episodes",
    metadata,
    Column("source", Text, primary_key=True),
    Column("fingerprint", Text, primary_key=True),
    Column("starts_at", UtcDateTime, primary_key=True),
    Column("incident_id", Text, nullable=False, index=True),
    Column("ends_at", UtcDateTime),
    Column("told", Boolean, nullable=False),
    Column("expires_at", UtcDateTime),
    Index(
        "episodes_firing",
        "source",
        "fingerprint",
        "starts_at",
        sqlite_where=FIRING,
        postgresql_where=FIRING,
    ),
    Index("episodes_expiring", "expires_at", sqlite_where=EXPIRING, postgresql_where=EXPIRING),
)


OLDEST_FIRST = (episodes.c.starts_at, episodes.c.source, episodes.c.fingerprint)


@dataclass(frozen=True, slots=True)
class Episode:
    """One firing of an alert. `told`: its end was said by the sender or a person, and is final."""

    starts_at: datetime
    ends_at: datetime | None = None
    told: bool = False
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """An episode, whose alert and which incident's it is."""

    source: str
    fingerprint: str
    incident_id: str
    episode: Episode


async def of_incidents(conn: AsyncConnection, incident_ids: Iterable[str]) -> list[Held]:
    """The episodes of these incidents, oldest start first."""
    found: list[Held] = []
    for some in parts(incident_ids):
        query = select(episodes).where(episodes.c.incident_id.in_(some))
        found += [_held(row) for row in await conn.execute(query.order_by(*OLDEST_FIRST))]
    return found


_KEY = tuple_(episodes.c.source, episodes.c.fingerprint, episodes.c.starts_at)


async def owners(conn: AsyncConnection, keys: Iterable[tuple[str, str, datetime]]) -> set[str]:
    """The incidents that have the episodes of these (source, fingerprint, start)."""
    found: set[str] = set()
    for some in parts(keys):
        query = select(episodes.c.incident_id).where(_KEY.in_(some))
        found |= set((await conn.execute(query)).scalars())
    return found


_ALERT = tuple_(episodes.c.source, episodes.c.fingerprint)


async def firing(
    conn: AsyncConnection, alerts: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], datetime]:
    """Since when those of these alerts (source, fingerprint) fire that do."""
    found: dict[tuple[str, str], datetime] = {}
    for some in parts(alerts):
        query = (
            select(episodes.c.source, episodes.c.fingerprint, func.min(episodes.c.starts_at))
            .where(_ALERT.in_(some), FIRING)
            .group_by(episodes.c.source, episodes.c.fingerprint)
        )
        for source, fingerprint, start in await conn.execute(query):
            found[source, fingerprint] = start
    return found


async def expired(conn: AsyncConnection, before: datetime, limit: int) -> list[Held]:
    """Episodes without an end whose sender should have sent again before this moment."""
    query = (
        select(episodes)
        .where(EXPIRING, episodes.c.expires_at < before)
        .order_by(episodes.c.expires_at, *OLDEST_FIRST)
        .limit(limit)
    )
    return [_held(row) for row in await conn.execute(query)]


async def save(conn: AsyncConnection, held: Sequence[Held]) -> None:
    """Write these episodes, new or changed."""
    if not held:
        return
    upsert = insert_into(conn, episodes)
    changed = {
        name: upsert.excluded[name] for name in ("incident_id", "ends_at", "told", "expires_at")
    }
    await conn.execute(
        upsert.on_conflict_do_update(
            index_elements=["source", "fingerprint", "starts_at"], set_=changed
        ),
        [
            {
                "source": one.source,
                "fingerprint": one.fingerprint,
                "starts_at": one.episode.starts_at,
                "incident_id": one.incident_id,
                "ends_at": one.episode.ends_at,
                "told": one.episode.told,
                "expires_at": one.episode.expires_at,
            }
            for one in held
        ],
    )


async def end_all(conn: AsyncConnection, incident_id: str, at: datetime) -> None:
    """A person said that the incident is over: what still fired in it ended then."""
    for one in await of_incidents(conn, [incident_id]):
        if one.episode.ends_at is None:
            key = {"s": one.source, "f": one.fingerprint, "t": one.episode.starts_at}
            end = max(at, one.episode.starts_at)
            await conn.execute(_END, {**key, "end": end})


_END = (
    update(episodes)
    .where(
        episodes.c.source == bindparam("s"),
        episodes.c.fingerprint == bindparam("f"),
        episodes.c.starts_at == bindparam("t"),
    )
    .values(ends_at=bindparam("end"), told=True)
)


def _held(row: Any) -> Held:
    episode = Episode(row.starts_at, row.ends_at, row.told, row.expires_at)
    return Held(row.source, row.fingerprint, row.incident_id, episode)
