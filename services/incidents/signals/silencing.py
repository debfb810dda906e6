"""Whether an episode is silenced, as what its first signal names, and for how long.

Looks again at what began in a silence: when that is over while the alert still fires, its incident
is to be heard, and when a late end shows that it did not outlast the silence, it isn't after all.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.catalog import store as catalog
from services.incidents.catalog.domain import Service
from services.incidents.incidents import commands, episodes
from services.incidents.incidents import store as incident_store
from services.incidents.incidents.episodes import Episode, Held, Silenced
from services.incidents.settings import IncidentsSettings
from services.incidents.signals import store
from services.incidents.signals.book import Book, IsSilenced, never, signals_context
from services.incidents.signals.signal import Signal
from services.incidents.signals.store import Alert, Named
from services.incidents.silences import store as silence_store
from services.incidents.silences.cover import Silences
from services.incidents.silences.current import readable
from services.incidents.silences.matching import labels_of
from shared.context import Context
from shared.database import Database
from shared.ids import new_id

BATCH = 500
REVIEW = timedelta(seconds=60)
"""How long it is believed that a silence goes on. Whoever landed the signal may have known the
silences as they were two seconds before; an end that is heard of here is looked at without delay."""


def by_silences(silences: Silences) -> IsSilenced:
    """The decision for signals, by these silences. Pure."""
    if not silences:
        return never

    def is_silenced(
        signal: Signal, entry: Service | None, episode: Episode, now: datetime
    ) -> Silenced | None:
        return judged(silences, labels_of_named(signal, entry), episode, now)

    return is_silenced


def labels_of_named(named: Signal | Named, entry: Service | None) -> dict[str, str]:
    """What matchers see of a signal: its service by the catalog's name, where it has one."""
    return labels_of(
        named.labels,
        source=named.source,
        service=entry.name if entry else named.service,
        severity=named.severity,
        alert_name=named.alert_name,
    )


def judged(
    silences: Silences, labels: dict[str, str], episode: Episode, now: datetime
) -> Silenced | None:
    """What these silences make of the episode, by when it began and, as far as is known, ended."""
    cover = silences.cover(labels, episode.starts_at, episode.ends_at or now)
    if cover is None:
        return None
    if episode.ends_at is not None:
        return Silenced(cover.by, None, None if episode.ends_at <= cover.until else cover.until)
    if cover.until <= now:
        return Silenced(cover.by, None, cover.until)
    return Silenced(cover.by, min(cover.until, now + REVIEW))


async def review(db: Database, settings: IncidentsSettings, now: datetime) -> int:
    """Look again at the silenced episodes of which it is time, and publish what that changes.

    One transaction for at most 500; returns how many, so that the caller can go on. Idempotent.
    """
    async with db.read() as conn:
        if not await episodes.in_question(conn, now, 1):
            return 0
    request = new_id("req")
    ctx = Context("incidents", "service:incidents", now, request, request)
    async with db.begin() as conn:
        due = await episodes.in_question(conn, now, BATCH)
        silences = readable(await silence_store.load_all(conn))
        await _review(conn, due, silences, settings, ctx)
    return len(due)


async def _review(
    conn: AsyncConnection,
    due: list[Held],
    silences: Silences,
    settings: IncidentsSettings,
    ctx: Context,
) -> None:
    book = Book(settings.reopen_window, {})
    owners = {one.incident_id for one in due}
    known = await incident_store.load(conn, owners)
    book.enter(known.values(), await episodes.of_incidents(conn, owners), ctx)
    named = await store.named(conn, due)
    entries = await catalog.resolve(conn, (one.service for one in named.values()))
    for one in due:
        alert, episode = Alert(one.source, one.fingerprint), one.episode
        said = named[alert, episode.starts_at]
        labels = labels_of_named(said, entries.get(said.service or ""))
        silenced = judged(silences, labels, episode, ctx.now)
        book.resilence(alert, replace(episode, silenced=silenced), signals_context(ctx, one.source))
    await commands.record(conn, [change for change in book.changes.values() if change.entries])
    # failpoint: silences.reviewed
    await episodes.save(conn, list(book.touched.values()))
