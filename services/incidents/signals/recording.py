"""Records a batch of posted signals in one transaction: dedup, land, save, publish."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.catalog import store as catalog
from services.incidents.incidents import commands
from services.incidents.incidents import episodes as incident_episodes
from services.incidents.incidents import store as incident_store
from services.incidents.incidents.episodes import Episode, Held
from services.incidents.signals import store
from services.incidents.signals.book import Book, IsSilenced, never, signals_context, still
from services.incidents.signals.continuing import Post, alert_of, continued, tells_no_start
from services.incidents.signals.signal import Signal
from services.incidents.signals.store import (
    Alert,
    NewSignal,
    Occurrence,
    Repeated,
    Stored,
    occurrence_of,
)
from shared.context import Context
from shared.ids import new_id


class Written(NamedTuple):
    """What became of one signal."""

    id: str
    incident_id: str
    repeat: bool
    silenced: bool = False
    """It is new, and its episode began in a silence."""


@dataclass(frozen=True, slots=True)
class First:
    """The first arrival of an occurrence, and what its further arrivals add up to."""

    id: str
    signal: Signal
    ctx: Context
    repeated: Repeated
    by_alert: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Some posts, sorted out, with all that their signals can land in; nothing has landed yet."""

    posts: list[Post]
    book: Book
    new: dict[Occurrence, First]
    known: dict[Occurrence, Stored]
    repeated: dict[str, Repeated]
    alive: dict[Occurrence, tuple[datetime, Context]]


async def record(
    conn: AsyncConnection,
    posts: Sequence[Post],
    window: timedelta,
    is_silenced: IsSilenced = never,
) -> list[list[Written]]:
    """Record these posts in the caller's transaction. Returns, for each, what became of its signals.

    A signal that was stored before raises its counters; it publishes nothing and moves no incident,
    unless it says that an alert still fires which was taken for expired. A dropped one has no answer.
    """
    batch = await load(conn, posts, window, is_silenced)
    for key, first in list(batch.new.items()):
        if _ends_nothing(batch.book, first):
            del batch.new[key]
        else:
            land(batch.book, first)
    for occurrence, (expires_at, ctx) in batch.alive.items():
        _revive(batch.book, occurrence, batch.known[occurrence], expires_at, ctx)
    await _save(conn, batch.book, batch.new, batch.repeated)
    # failpoint: ingest.recorded
    return [_answers(post, batch.new, batch.known, batch.book) for post in batch.posts]


async def load(
    conn: AsyncConnection,
    posts: Sequence[Post],
    window: timedelta,
    is_silenced: IsSilenced = never,
) -> Batch:
    """At least one post, sorted out against what is stored. Only reads."""
    posts = await _continued(conn, posts)
    known = await store.find(
        conn, {occurrence_of(signal) for post in posts for signal in post.signals}
    )
    new, repeated = _sorted_out(posts, known)
    entries = await catalog.resolve(conn, (first.signal.service for first in new.values()))
    book = Book(window, entries, is_silenced)
    alive = _still_firing(posts, known)
    await _open_book(conn, book, new, alive, known, posts[0].ctx)
    return Batch(posts, book, new, known, repeated, alive)


async def _continued(conn: AsyncConnection, posts: Sequence[Post]) -> list[Post]:
    unsaid = {alert_of(s) for post in posts for s in post.signals if tells_no_start(post, s)}
    return continued(posts, await incident_episodes.firing(conn, unsaid)) if unsaid else list(posts)


def _sorted_out(
    posts: Sequence[Post], known: dict[Occurrence, Stored]
) -> tuple[dict[Occurrence, First], dict[str, Repeated]]:
    new: dict[Occurrence, First] = {}
    repeated: dict[str, Repeated] = {}
    for post in posts:
        arrived = post.ctx.now
        for signal in post.signals:
            key = occurrence_of(signal)
            if (stored := known.get(key)) is not None:
                count = repeated.setdefault(stored.id, Repeated(0, arrived))
            elif (first := new.get(key)) is not None:
                count = first.repeated
            else:
                ctx = signals_context(post.ctx, signal.source)
                once = Repeated(0, arrived)
                new[key] = First(new_id("sig"), signal, ctx, once, post.by_alert)
                continue
            count.times += 1
            count.last_seen_at = max(count.last_seen_at, arrived)
    return new, repeated


def _still_firing(
    posts: Sequence[Post], known: dict[Occurrence, Stored]
) -> dict[Occurrence, tuple[datetime, Context]]:
    """The repeats that move an expiry, with the latest that they say."""
    alive: dict[Occurrence, tuple[datetime, Context]] = {}
    for post in posts:
        for signal in post.signals:
            if signal.expires_at is None:
                continue
            key = occurrence_of(signal)
            stored = known.get(key)
            if stored is None or stored.told:
                continue
            before = alive[key][0] if key in alive else stored.expires_at
            if before is None or signal.expires_at > before:
                alive[key] = signal.expires_at, signals_context(post.ctx, signal.source)
    return alive


async def _open_book(
    conn: AsyncConnection,
    book: Book,
    new: dict[Occurrence, First],
    alive: dict[Occurrence, tuple[datetime, Context]],
    known: dict[Occurrence, Stored],
    ctx: Context,
) -> None:
    """Load what the new signals can land in. Alerts of one day share a query."""
    expired = [key for key in alive if known[key].ends_at is not None]
    starts: dict[Alert, datetime] = {}
    for key in [*new, *expired]:
        alert = Alert(key.source, key.fingerprint)
        starts[alert] = min(starts.get(alert, key.starts_at), key.starts_at)
    days: defaultdict[date, list[Alert]] = defaultdict(list)
    for alert, start in starts.items():
        days[start.date()].append(alert)
    for alerts in days.values():
        moment = min(starts[alert] for alert in alerts) - book.window
        book.enter(*await store.near(conn, alerts, moment), ctx)
    # An episode's own incident may have been ended by a person before the episode began.
    owners = await incident_episodes.owners(
        conn, [(key.source, key.fingerprint, key.starts_at) for key in [*new, *expired]]
    )
    missing = owners - book.changes.keys()
    if missing:
        held = await incident_episodes.of_incidents(conn, missing)
        book.enter((await incident_store.load(conn, missing)).values(), held, ctx)


def _ends_nothing(book: Book, first: First) -> bool:
    signal = first.signal
    return first.by_alert and signal.status == "resolved" and not book.knows(alert_of(signal))


def land(book: Book, first: First) -> None:
    """Let a new signal do in the book what it does."""
    signal = first.signal
    alert = alert_of(signal)
    if signal.status == "resolved":
        episode = Episode(signal.starts_at, signal.ends_at or signal.starts_at, told=True)
    else:
        known = book.episode(alert, signal.starts_at)
        if known is not None:  # its end came first
            book.restate(alert, known.episode, signal, first.ctx)
            return
        episode = Episode(signal.starts_at, expires_at=signal.expires_at)
    book.land(alert, episode, signal, first.ctx)


def _revive(
    book: Book, occurrence: Occurrence, stored: Stored, expires_at: datetime, ctx: Context
) -> None:
    alert = Alert(occurrence.source, occurrence.fingerprint)
    now = book.episode(alert, occurrence.starts_at)
    if now is not None and now.episode.told:
        return
    silenced = still(now.episode) if now else stored.silenced
    episode = Episode(occurrence.starts_at, expires_at=expires_at, silenced=silenced)
    if stored.ends_at is None:
        book.hold(alert, episode, now.incident_id if now else stored.incident_id)
    elif expires_at > stored.ends_at:
        book.land(alert, episode, None, ctx)


async def _save(
    conn: AsyncConnection,
    book: Book,
    new: dict[Occurrence, First],
    repeated: dict[str, Repeated],
) -> None:
    await commands.record(conn, [change for change in book.changes.values() if change.entries])
    # failpoint: ingest.incidents_saved
    await incident_episodes.save(conn, list(book.touched.values()))
    await store.follow(conn, book.moved)
    rows = [
        NewSignal(
            first.id, first.signal, _held(book, key).incident_id, first.ctx.now, first.repeated
        )
        for key, first in new.items()
    ]
    await store.add(conn, rows)
    # failpoint: ingest.signals_added
    await store.count_repeats(conn, repeated)


def _held(book: Book, key: Occurrence) -> Held:
    held = book.episode(Alert(key.source, key.fingerprint), key.starts_at)
    assert held is not None, "every recorded signal has an episode"
    return held


def _answers(
    post: Post, new: dict[Occurrence, First], known: dict[Occurrence, Stored], book: Book
) -> list[Written]:
    answers: list[Written] = []
    said: set[Occurrence] = set()
    for signal in post.signals:
        key = occurrence_of(signal)
        if (stored := known.get(key)) is not None:
            held = book.episode(Alert(key.source, key.fingerprint), key.starts_at)
            incident_id = held.incident_id if held else stored.incident_id
            answers.append(Written(stored.id, incident_id, repeat=True))
        elif (first := new.get(key)) is not None:
            repeat = first.signal is not signal or key in said
            held = _held(book, key)
            silenced = not repeat and held.episode.silenced is not None
            answers.append(Written(first.id, held.incident_id, repeat, silenced))
            said.add(key)
    return answers
