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
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.metadata import metadata
from shared.database import UtcDateTime
from shared.keys import one_of, packed
from shared.prepared import Prepared, Upsert

FIRING = text("ends_at IS NULL")
EXPIRING = text("ends_at IS NULL AND expires_at IS NOT NULL")
IN_QUESTION = text("silence_review_at IS NOT NULL")

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
    Column("silenced_by", Text),
    Column("silence_review_at", UtcDateTime),
    Column("heard_from", UtcDateTime),
    Index(
        "episodes_firing",
        "source",
        "fingerprint",
        "starts_at",
        sqlite_where=FIRING,
        postgresql_where=FIRING,
    ),
    Index("episodes_expiring", "expires_at", sqlite_where=EXPIRING, postgresql_where=EXPIRING),
    Index(
        "episodes_in_question",
        "silence_review_at",
        sqlite_where=IN_QUESTION,
        postgresql_where=IN_QUESTION,
    ),
)


OLDEST_FIRST = (episodes.c.starts_at, episodes.c.source, episodes.c.fingerprint)


@dataclass(frozen=True, slots=True)
class Silenced:
    """That an episode began while a silence held, and what is known of how long that lasts.

    `review_at`: when that has to be looked at again, None when nothing can change it any more.
    `heard_from`: since when no silence holds; what ended by then was silenced all the same.
    """

    by: str
    review_at: datetime | None
    heard_from: datetime | None = None


@dataclass(frozen=True, slots=True)
class Episode:
    """One firing of an alert. `told`: its end was said by the sender or a person, and is final."""

    starts_at: datetime
    ends_at: datetime | None = None
    told: bool = False
    expires_at: datetime | None = None
    silenced: Silenced | None = None
    """None when it was to be heard from its start."""

    @property
    def heard_at(self) -> datetime | None:
        """From when on it is to be heard; None while, as far as is known, all of it is silenced."""
        if self.silenced is None:
            return self.starts_at
        heard = self.silenced.heard_from
        return heard if heard and (self.ends_at is None or self.ends_at > heard) else None

    @property
    def is_mere_end(self) -> bool:
        """An end that was told without a start of its own."""
        return self.told and self.ends_at == self.starts_at


@dataclass(frozen=True, slots=True)
class Held:
    """An episode, whose alert and which incident's it is."""

    source: str
    fingerprint: str
    incident_id: str
    episode: Episode


def silence_of(episodes: Iterable[Episode]) -> str | datetime:
    """The silence that an incident of these episodes fell into; or when it was first to be heard.

    It is silenced when each of them is, for as long as it fired. An end without a start of its own
    often names nothing but its alert, so it decides only where there is nothing else.
    """
    known = list(episodes)
    counted = [one for one in known if not one.is_mere_end] or known
    heard = [one.heard_at for one in counted if one.heard_at is not None]
    if heard:
        return min(heard)
    first = min(counted, key=lambda one: one.starts_at).silenced
    assert first is not None, "an episode without a silence is heard from its start"
    return first.by


_OF_INCIDENTS = Prepared(
    select(episodes).where(one_of(episodes.c.incident_id)).order_by(*OLDEST_FIRST)
)


async def of_incidents(conn: AsyncConnection, incident_ids: Iterable[str]) -> list[Held]:
    """The episodes of these incidents, oldest start first."""
    return [_held(row) for row in await _OF_INCIDENTS.of(conn, incident_ids)]


_OWNERS = Prepared(
    select(episodes.c.incident_id).where(
        one_of(episodes.c.source, episodes.c.fingerprint, episodes.c.starts_at)
    )
)


async def owners(conn: AsyncConnection, keys: Iterable[tuple[str, str, datetime]]) -> set[str]:
    """The incidents that have the episodes of these (source, fingerprint, start)."""
    return {row.incident_id for row in await _OWNERS.rows(conn, {"keys": packed(keys)})}


_FIRING = (
    select(episodes.c.source, episodes.c.fingerprint, func.min(episodes.c.starts_at))
    .where(one_of(episodes.c.source, episodes.c.fingerprint), FIRING)
    .group_by(episodes.c.source, episodes.c.fingerprint)
)


async def firing(
    conn: AsyncConnection, alerts: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], datetime]:
    """Since when those of these alerts (source, fingerprint) fire that do."""
    rows = await conn.execute(_FIRING, {"keys": packed(alerts)})
    return {(source, fingerprint): start for source, fingerprint, start in rows}


async def expired(conn: AsyncConnection, before: datetime, limit: int) -> list[Held]:
    """Episodes without an end whose sender should have sent again before this moment."""
    query = (
        select(episodes)
        .where(EXPIRING, episodes.c.expires_at < before)
        .order_by(episodes.c.expires_at, *OLDEST_FIRST)
        .limit(limit)
    )
    return [_held(row) for row in await conn.execute(query)]


async def in_question(conn: AsyncConnection, now: datetime, limit: int) -> list[Held]:
    """Episodes of which it is time to look whether they are silenced still."""
    query = (
        select(episodes)
        .where(IN_QUESTION, episodes.c.silence_review_at <= now)
        .order_by(episodes.c.silence_review_at, *OLDEST_FIRST)
        .limit(limit)
    )
    return [_held(row) for row in await conn.execute(query)]


async def question_all(conn: AsyncConnection, at: datetime) -> None:
    """Have every silenced episode looked at by then: a silence ended."""
    later = update(episodes).where(IN_QUESTION, episodes.c.silence_review_at > at)
    await conn.execute(later.values(silence_review_at=at))


_SAVE = Upsert(episodes, "source", "fingerprint", "starts_at")


async def save(conn: AsyncConnection, held: Sequence[Held]) -> None:
    """Write these episodes, new or changed."""
    await _SAVE.many(
        conn,
        [
            {
                "source": one.source,
                "fingerprint": one.fingerprint,
                "starts_at": one.episode.starts_at,
                "incident_id": one.incident_id,
                "ends_at": one.episode.ends_at,
                "told": one.episode.told,
                "expires_at": one.episode.expires_at,
                **_silenced(one.episode.silenced),
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


def _silenced(silenced: Silenced | None) -> dict[str, object]:
    return {
        "silenced_by": silenced and silenced.by,
        "silence_review_at": silenced and silenced.review_at,
        "heard_from": silenced and silenced.heard_from,
    }


def silenced_of(row: Any) -> Silenced | None:
    """What a row with the columns of an episode says of its silence."""
    if row.silenced_by is None:
        return None
    return Silenced(row.silenced_by, row.silence_review_at, row.heard_from)


def _held(row: Any) -> Held:
    episode = Episode(row.starts_at, row.ends_at, row.told, row.expires_at, silenced_of(row))
    return Held(row.source, row.fingerprint, row.incident_id, episode)
