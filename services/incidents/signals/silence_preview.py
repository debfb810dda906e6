"""What a silence would have silenced of what is stored, by the very rule that silences. Only reads."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.catalog import store as catalog
from services.incidents.incidents import episodes as incident_episodes
from services.incidents.incidents.episodes import Episode, silence_of
from services.incidents.incidents.incident import Incident
from services.incidents.incidents.store import incident_of, incidents
from services.incidents.signals import store
from services.incidents.signals.silencing import judged, labels_of_named
from services.incidents.silences.cover import Silences, compiled_silences
from services.incidents.silences.domain import Silence
from shared.database import Database

PAGE = 500
MOST = 20_000
"""Incidents that are looked at: the newest."""
MOST_SHOWN = 100


@dataclass(slots=True)
class LookedBack:
    """What would have been silenced. `newest` are the first of the incidents, last opened first."""

    incidents: int = 0
    signals: int = 0
    complete: bool = True
    newest: list[Incident] = field(default_factory=list[Incident])


async def look_back(db: Database, silence: Silence, since: datetime, now: datetime) -> LookedBack:
    """Of the incidents of alerts opened since then. A silence that is yet to begin is taken for one
    that began then: what it will silence, it would have."""
    if silence.starts_at >= now:
        silence = replace(silence, starts_at=since)
    silences = compiled_silences([silence])
    seen = LookedBack()
    looked_at = 0
    last: tuple[datetime, str] | None = None
    while True:
        async with db.read() as conn:
            page = await _page(conn, since, now, last)
            await _look(conn, page, silences, now, seen)
        looked_at += len(page)
        if len(page) < PAGE:
            return seen
        if looked_at >= MOST:
            seen.complete = False
            return seen
        last = page[-1].opened_at, page[-1].id


async def _page(
    conn: AsyncConnection, since: datetime, now: datetime, last: tuple[datetime, str] | None
) -> list[Incident]:
    key = tuple_(incidents.c.opened_at, incidents.c.id)
    query = select(incidents).where(
        incidents.c.opened_at >= since,
        incidents.c.opened_at <= now,
        incidents.c.fingerprint.is_not(None),
    )
    if last is not None:
        query = query.where(key < last)
    ordered = query.order_by(incidents.c.opened_at.desc(), incidents.c.id.desc()).limit(PAGE)
    return [incident_of(row) for row in await conn.execute(ordered)]


async def _look(
    conn: AsyncConnection,
    page: list[Incident],
    silences: Silences,
    now: datetime,
    seen: LookedBack,
) -> None:
    ids = [one.id for one in page]
    known = {
        (held.incident_id, held.episode.starts_at): held.episode
        for held in await incident_episodes.of_incidents(conn, ids)
    }
    signals = await store.of_incidents(conn, ids)
    entries = await catalog.resolve(conn, (named.service for _, _, named in signals))
    would: dict[tuple[str, datetime], Episode] = {}
    for incident_id, starts_at, named in signals:
        key = incident_id, starts_at
        if key not in would:  # the start speaks for its end
            labels = labels_of_named(named, entries.get(named.service or ""))
            silenced = judged(silences, labels, known[key], now)
            would[key] = replace(known[key], silenced=silenced)
        seen.signals += would[key].silenced is not None
    own: dict[str, list[Episode]] = {}
    for (incident_id, _), episode in would.items():
        own.setdefault(incident_id, []).append(episode)
    for incident in page:
        if incident.id in own and isinstance(silence_of(own[incident.id]), str):
            seen.incidents += 1
            if len(seen.newest) < MOST_SHOWN:
                seen.newest.append(incident)
