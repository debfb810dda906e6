"""Dead letters: records that nobody could read, kept whole beside what could be, and set right later.

Only what can't be decoded comes here. An event whose handler fails is never set aside: it waits in
its partition. A letter stays until it was replayed, and for a while after that.

Foreign text may hold what PostgreSQL's text can't (NUL, halves of surrogate pairs, which stand for
bytes that aren't UTF-8). `escaped` keeps it without loss; `unescaped` gives it back.
"""

import hashlib
import json
import re
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    Row,
    Table,
    Text,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.bus.bus import Delivered
from shared.clock import utc_now
from shared.database import Json, UtcDateTime, insert_into
from shared.envelope import Record, UnreadableEvent
from shared.ids import new_id
from shared.outbox import plumbing

WAITING = text("replayed_at IS NULL")
REPLAYED = text("replayed_at IS NOT NULL")
ONCE = ("consumer", "topic", "partition", "offset", "digest")

dead_letters = Table(
    "dead_letters",
    plumbing,
    Column("id", Text, primary_key=True),
    Column("consumer", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("key", Text, nullable=False),
    Column("headers", Json, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("digest", Text, nullable=False, server_default=""),
    Column("event_type", Text),
    Column("event_id", Text),
    Column("traceback", Text),
    Column("replayed_at", UtcDateTime),
    Column("replayed_by", Text),
    Index("dead_letters_once", *ONCE, unique=True),
    Index("dead_letters_waiting", "id", sqlite_where=WAITING, postgresql_where=WAITING),
    Index("dead_letters_replayed", "replayed_at", sqlite_where=REPLAYED, postgresql_where=REPLAYED),
)
"""`digest` is of the bytes: a topic that was made anew counts its offsets anew, and what stands at an
old place then is another letter."""

LONGEST_REASON = 2_000
LONGEST_TRACEBACK = 4_000
"""Characters kept of each; of a traceback the end, which says where it happened."""

UNFIT = re.compile("[\\\\\x00\ud800-\udfff]")
ESCAPE = re.compile(r"\\u([0-9a-f]{4})")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that could not be decoded, and why."""

    delivered: Delivered
    why: UnreadableEvent


Place = tuple[str, int, int]
"""Topic, partition, offset."""


def place_of(delivered: Delivered) -> Place:
    topic, number = delivered.partition
    return topic, number, delivered.offset


async def set_aside(
    conn: AsyncConnection, consumer: str, letters: Sequence[Unreadable]
) -> set[Place]:
    """Keep records that can't be read, whole, in the caller's transaction. Idempotent.

    Returns the places of those that were not kept before.
    """
    if not letters:
        return set()
    recorded_at = utc_now()
    rows = [_row(consumer, letter, recorded_at) for letter in letters]
    query = (
        insert_into(conn, dead_letters)
        .values(rows)
        .on_conflict_do_nothing(index_elements=list(ONCE))
        .returning(dead_letters.c.topic, dead_letters.c.partition, dead_letters.c.offset)
    )
    # failpoint: dead_letters.keeping
    return {(row.topic, row.partition, row.offset) for row in await conn.execute(query)}


def _row(consumer: str, letter: Unreadable, recorded_at: datetime) -> dict[str, Any]:
    record = letter.delivered.record
    topic, partition, offset = place_of(letter.delivered)
    return {
        "id": new_id("ded"),
        "consumer": consumer,
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "key": escaped(record.key),
        "headers": {escaped(name): escaped(said) for name, said in record.headers.items()},
        "value": record.value,
        "reason": escaped(str(letter.why))[:LONGEST_REASON],
        "recorded_at": recorded_at,
        "digest": digest_of(record),
        "event_type": _kept(record.headers.get("ce_type")),
        "event_id": _kept(record.headers.get("ce_id")),
        "traceback": _traceback(letter.why),
    }


def _kept(header: str | None) -> str | None:
    return escaped(header)[:LONGEST_REASON] if header else None


def _traceback(error: BaseException) -> str:
    """The stack down to the error, without the values of variables."""
    lines = traceback.format_exception(error, limit=-8)
    return escaped("".join(lines))[-LONGEST_TRACEBACK:]


def digest_of(record: Record) -> str:
    """The same for the same bytes: key, headers and value."""
    envelope = json.dumps([record.key, sorted(record.headers.items())])
    return hashlib.sha256(envelope.encode() + b"\n" + record.value).hexdigest()


def escaped(foreign: str) -> str:
    """The text with a `\\u….` for each backslash, NUL and half of a surrogate pair."""
    return UNFIT.sub(lambda found: f"\\u{ord(found[0]):04x}", foreign)


def unescaped(kept: str) -> str:
    """The inverse of `escaped`."""
    return ESCAPE.sub(lambda found: chr(int(found[1], 16)), kept)


def record_of(row: Row[Any]) -> Record:
    """The record as it was delivered."""
    headers: Mapping[str, str] = row.headers
    whole = {unescaped(name): unescaped(said) for name, said in headers.items()}
    return Record(row.topic, unescaped(row.key), whole, bytes(row.value))


async def find(conn: AsyncConnection, letter_id: str) -> Row[Any] | None:
    """The letter of this id, or None."""
    query = select(dead_letters).where(dead_letters.c.id == letter_id)
    return (await conn.execute(query)).one_or_none()


async def waiting(
    conn: AsyncConnection, *, consumer: str | None, after: str | None, limit: int
) -> list[str]:
    """Ids of letters not replayed yet, the oldest first, from behind `after` on."""
    query = select(dead_letters.c.id).where(dead_letters.c.replayed_at.is_(None))
    if consumer is not None:
        query = query.where(dead_letters.c.consumer == consumer)
    if after is not None:
        query = query.where(dead_letters.c.id > after)
    return list((await conn.execute(query.order_by(dead_letters.c.id).limit(limit))).scalars())


async def mark_replayed(conn: AsyncConnection, letter_id: str, by: str, at: datetime) -> None:
    """Note in the caller's transaction who replayed it."""
    noted = update(dead_letters).where(dead_letters.c.id == letter_id)
    await conn.execute(noted.values(replayed_at=at, replayed_by=by))
