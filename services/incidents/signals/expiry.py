"""Ends alerts that stopped being sent: an end that nobody told, as of when the sender promised one."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents import metrics
from services.incidents.incidents import commands, episodes
from services.incidents.incidents import store as incident_store
from services.incidents.settings import IncidentsSettings
from services.incidents.signals import store
from services.incidents.signals.book import Book, signals_context
from services.incidents.signals.store import Alert
from shared.context import Context
from shared.database import Database
from shared.ids import new_id

BATCH = 500


async def expire(db: Database, settings: IncidentsSettings, now: datetime) -> int:
    """End what expired by `now` less the grace, as of its expiry, and publish what that resolves.

    One transaction for at most 500; returns how many, so that the caller can go on. Idempotent.
    """
    request = new_id("req")
    ctx = Context("incidents", "service:incidents", now, request, request)
    async with db.begin() as conn:
        ended = await _expire(conn, settings, now, ctx)
    metrics.signals_expired.inc(ended)
    return ended


async def _expire(
    conn: AsyncConnection, settings: IncidentsSettings, now: datetime, ctx: Context
) -> int:
    over = await episodes.expired(conn, now - settings.expiry_grace, BATCH)
    if not over:
        return 0
    book = Book(settings.reopen_window, {})
    alerts = {Alert(one.source, one.fingerprint) for one in over}
    earliest = min(one.episode.starts_at for one in over) - book.window
    book.enter(*await store.near(conn, alerts, earliest), ctx)
    held = await episodes.of_incidents(conn, {one.incident_id for one in over})
    known = await incident_store.load(conn, {one.incident_id for one in over})
    book.enter(known.values(), held, ctx)
    for one in over:
        book.expire(one, signals_context(ctx, one.source))
    await commands.record(conn, [change for change in book.changes.values() if change.entries])
    # failpoint: expiry.resolved
    await episodes.save(conn, list(book.touched.values()))
    await store.follow(conn, book.moved)
    return len(over)
