"""The tables `signals` (narrow: what a repeat changes) and `signal_payloads` (what it never changes)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    Row,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.incidents import episodes as incident_episodes
from services.incidents.incidents import store as incident_store
from services.incidents.incidents.episodes import Held, Silenced, episodes, silenced_of
from services.incidents.incidents.incident import Incident
from services.incidents.incidents.store import incidents, parts
from services.incidents.metadata import metadata
from services.incidents.signals.signal import Signal
from shared.database import Json, UtcDateTime
from shared.keys import one_of, packed
from shared.prepared import Prepared

signals = Table(
    "signals",
    metadata,
    Column("id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("starts_at", UtcDateTime, nullable=False),
    Column("ends_at", UtcDateTime),
    Column("incident_id", Text, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("last_seen_at", UtcDateTime, nullable=False),
    Column("repeats", Integer, nullable=False),
    UniqueConstraint("source", "fingerprint", "status", "starts_at", name="signals_once"),
    Index("signals_of_incident", "incident_id", "id"),
)

signal_payloads = Table(
    "signal_payloads",
    metadata,
    Column("signal_id", Text, ForeignKey("signals.id"), primary_key=True),
    Column("title", Text, nullable=False),
    Column("alert_name", Text),
    Column("description", Text, nullable=False),
    Column("service", Text),
    Column("severity", Text, nullable=False),
    Column("customers_affected", Integer),
    Column("labels", Json, nullable=False),
    Column("annotations", Json, nullable=False),
    Column("url", Text),
    Column("truncated", Integer, nullable=False),
    Column("skewed", Boolean, nullable=False),
)


class Alert(NamedTuple):
    """The dedup key: one alert of one sender."""

    source: str
    fingerprint: str


class Occurrence(NamedTuple):
    """What a redelivery or a repeat has in common with the first."""

    source: str
    fingerprint: str
    status: str
    starts_at: datetime


@dataclass(frozen=True, slots=True)
class Stored:
    """A signal that was stored before, and the state of its episode."""

    id: str
    incident_id: str
    ends_at: datetime | None
    told: bool
    expires_at: datetime | None
    silenced: Silenced | None = None


@dataclass(slots=True)
class Repeated:
    """What repeats of one stored signal add up to."""

    times: int
    last_seen_at: datetime


@dataclass(frozen=True, slots=True)
class NewSignal:
    """A signal to be stored, and the incident it landed in."""

    id: str
    signal: Signal
    incident_id: str
    received_at: datetime
    repeated: Repeated


@dataclass(frozen=True, slots=True)
class Named:
    """What a stored signal names, as far as a silence may look at it."""

    source: str
    service: str | None
    severity: str
    alert_name: str | None
    labels: Mapping[str, str]


def occurrence_of(signal: Signal) -> Occurrence:
    return Occurrence(signal.source, signal.fingerprint, signal.status, signal.starts_at)


_KEY = (signals.c.source, signals.c.fingerprint, signals.c.status, signals.c.starts_at)
_EPISODE_OF_SIGNAL = (
    (episodes.c.source == signals.c.source)
    & (episodes.c.fingerprint == signals.c.fingerprint)
    & (episodes.c.starts_at == signals.c.starts_at)
)
_FIND = Prepared(
    select(
        *_KEY,
        signals.c.id,
        signals.c.incident_id,
        episodes.c.ends_at,
        episodes.c.told,
        episodes.c.expires_at,
        episodes.c.silenced_by,
        episodes.c.silence_review_at,
        episodes.c.heard_from,
    )
    .join_from(signals, episodes, _EPISODE_OF_SIGNAL)
    .where(one_of(*_KEY))
)


async def find(
    conn: AsyncConnection, occurrences: Iterable[Occurrence]
) -> dict[Occurrence, Stored]:
    """Those of these occurrences that are stored already."""
    found: dict[Occurrence, Stored] = {}
    for row in await _FIND.rows(conn, {"keys": packed(occurrences)}):
        key = Occurrence(row.source, row.fingerprint, row.status, row.starts_at)
        found[key] = Stored(
            row.id, row.incident_id, row.ends_at, row.told, row.expires_at, silenced_of(row)
        )
    return found


_NAMES = (
    signal_payloads.c.service,
    signal_payloads.c.severity,
    signal_payloads.c.alert_name,
    signal_payloads.c.labels,
)

_STATED = (
    select(signals, *_NAMES)
    .join(signal_payloads, signal_payloads.c.signal_id == signals.c.id)
    .order_by(signals.c.status)
)
_NAMED = _STATED.where(one_of(signals.c.source, signals.c.fingerprint, signals.c.starts_at))


def named_by(row: Row[Any]) -> Named:
    return Named(row.source, row.service, row.severity, row.alert_name, row.labels)


_NEAR = Prepared(
    select(incidents).where(
        one_of(incidents.c.source, incidents.c.fingerprint),
        incident_store.since(bindparam("moment", type_=UtcDateTime())),
    )
)


async def near(
    conn: AsyncConnection, alerts: Iterable[Alert], moment: datetime
) -> tuple[list[Incident], list[Held]]:
    """The incidents of these alerts that were open at `moment` or ended later; and their episodes."""
    rows = await _NEAR.rows(conn, {"keys": packed(alerts), "moment": moment})
    found = [incident_store.incident_of(row) for row in rows]
    return found, await incident_episodes.of_incidents(conn, [one.id for one in found])


async def named(conn: AsyncConnection, held: Iterable[Held]) -> dict[tuple[Alert, datetime], Named]:
    """What the first signal of each of these episodes names; of a start rather than of an end."""
    found: dict[tuple[Alert, datetime], Named] = {}
    keys = packed((one.source, one.fingerprint, one.episode.starts_at) for one in held)
    for row in await conn.execute(_NAMED, {"keys": keys}):
        at = Alert(row.source, row.fingerprint), row.starts_at
        found.setdefault(at, named_by(row))  # "firing" comes before "resolved"
    return found


async def of_incidents(
    conn: AsyncConnection, incident_ids: Iterable[str]
) -> list[tuple[str, datetime, Named]]:
    """Each signal of these incidents: whose it is, its start, what it names; starts before ends."""
    found: list[tuple[str, datetime, Named]] = []
    for some in parts(incident_ids):
        rows = await conn.execute(_STATED.where(signals.c.incident_id.in_(some)))
        found += [(row.incident_id, row.starts_at, named_by(row)) for row in rows]
    return found


async def add(conn: AsyncConnection, new: Sequence[NewSignal]) -> None:
    """Store new signals, whole."""
    await _ADD.many(conn, [_narrow(one) for one in new])
    await _ADD_PAYLOADS.many(conn, [_payload(one) for one in new])


async def count_repeats(conn: AsyncConnection, repeated: dict[str, Repeated]) -> None:
    """Raise the counters of stored signals; nothing else about them changes."""
    rows = [
        {"key": key, "times": one.times, "seen": one.last_seen_at}
        for key, one in sorted(repeated.items())
    ]
    await _REPEAT.many(conn, rows)


async def follow(conn: AsyncConnection, moved: Sequence[Held]) -> None:
    """Point the stored signals of these episodes at the incident that has them now."""
    rows = [
        {
            "s": held.source,
            "f": held.fingerprint,
            "t": held.episode.starts_at,
            "incident": held.incident_id,
        }
        for held in moved
    ]
    await _FOLLOW.many(conn, rows)


_ADD = Prepared(insert(signals))
_ADD_PAYLOADS = Prepared(insert(signal_payloads))
_REPEAT = Prepared(
    update(signals)
    .where(signals.c.id == bindparam("key"))
    .values(repeats=signals.c.repeats + bindparam("times"), last_seen_at=bindparam("seen"))
)
_FOLLOW = Prepared(
    update(signals)
    .where(
        signals.c.source == bindparam("s"),
        signals.c.fingerprint == bindparam("f"),
        signals.c.starts_at == bindparam("t"),
    )
    .values(incident_id=bindparam("incident"))
)


def _narrow(new: NewSignal) -> dict[str, object]:
    return {
        "id": new.id,
        "source": new.signal.source,
        "fingerprint": new.signal.fingerprint,
        "status": new.signal.status,
        "starts_at": new.signal.starts_at,
        "ends_at": new.signal.ends_at,
        "incident_id": new.incident_id,
        "received_at": new.received_at,
        "last_seen_at": new.repeated.last_seen_at,
        "repeats": new.repeated.times,
    }


def _payload(new: NewSignal) -> dict[str, object]:
    signal = new.signal
    return {
        "signal_id": new.id,
        "title": signal.title,
        "alert_name": signal.alert_name,
        "description": signal.description,
        "service": signal.service,
        "severity": signal.severity,
        "customers_affected": signal.customers_affected,
        "labels": signal.labels,
        "annotations": signal.annotations,
        "url": signal.url,
        "truncated": signal.truncated,
        "skewed": signal.skewed,
    }
