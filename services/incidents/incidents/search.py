"""Full-text search over incidents: title, description, labels, links and comments.

The only place that knows which engine searches: SQLite's FTS5, or a tsvector on PostgreSQL. Both
know words without case and accents; on PostgreSQL we part and fold them ourselves, since its own
parser takes host names, paths and numbers for something else than words.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Dialect, column, select, table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.incidents.store import Change, incidents
from shared.contracts.incidents import IncidentCommented, IncidentLinked
from shared.prepared import Prepared
from shared.refusals import Invalid

MOST_WORDS = 10
LONGEST_WORD = 500
"""PostgreSQL takes 2,046 bytes; what is longer is found by its beginning."""

LAST_PLACE = 16_383
"""PostgreSQL counts a text's words no further."""

_words = table("incident_words", column("incident_id"), column("words"))
_INSERT = {
    "sqlite": Prepared(
        text("INSERT INTO incident_words (incident_id, words) VALUES (:incident_id, :words)")
    ),
    "postgresql": Prepared(
        text(
            "INSERT INTO incident_words (incident_id, words)"
            " VALUES (:incident_id, CAST(CAST(:words AS text) AS tsvector))"
        )
    ),
}
_MATCH = {
    "sqlite": "incident_words MATCH :{}",
    "postgresql": "words @@ CAST(:{} AS tsquery)",
}
_WORD = re.compile(r"\w*[^\W_]\w*")
_PART = re.compile(r"[^\W_]+")


class NothingToSearch(Invalid):
    """The query has no word in it."""


async def index(conn: AsyncConnection, changes: Sequence[Change]) -> None:
    """Make what these changes wrote findable, in the caller's transaction."""
    stored = _vector if conn.dialect.name == "postgresql" else str
    rows = [
        {"incident_id": change.incident.id, "words": stored(words)}
        for change in changes
        for words in _texts(change)
    ]
    await _INSERT[conn.dialect.name].many(conn, rows)


def matching(dialect: Dialect, asked: str) -> ColumnElement[bool]:
    """Condition: incidents in which every word of `asked` occurs, the last also as a beginning.

    Words are searched as words: nothing in `asked` is an operator. Raises NothingToSearch.
    """
    words = _WORD.findall(asked)[:MOST_WORDS]
    if not words:
        raise NothingToSearch("`q` has no letter or digit to search for; give at least one word.")
    sought = _lexemes_sought if dialect.name == "postgresql" else _phrase_sought
    conditions: list[Any] = []
    for number, word in enumerate(words):
        name = f"word_{number}"
        match = text(_MATCH[dialect.name].format(name))
        match = match.bindparams(**{name: sought(word, beginning=number == len(words) - 1)})
        conditions.append(incidents.c.id.in_(select(_words.c.incident_id).where(match)))
    everything: ColumnElement[bool] = conditions[0]
    for condition in conditions[1:]:
        everything = everything & condition
    return everything


def _phrase_sought(word: str, *, beginning: bool) -> str:
    return f'"{word}"' + ("*" if beginning else "")


def _lexemes_sought(word: str, *, beginning: bool) -> str:
    return " <-> ".join(f"'{lexeme}'" for lexeme in _lexemes(word)) + (":*" if beginning else "")


def _vector(words: str) -> str:
    """The text as a tsvector is written: its words, each with its place."""
    placed = enumerate(_lexemes(words), start=1)
    return " ".join(f"'{lexeme}':{min(place, LAST_PLACE)}" for place, lexeme in placed)


def _lexemes(words: str) -> list[str]:
    """Its words, without case and accents. Letters and digits alone: nothing in them needs quoting."""
    parted = unicodedata.normalize("NFD", words.lower())
    bare = "".join(one for one in parted if not unicodedata.combining(one))
    return [part[:LONGEST_WORD] for part in _PART.findall(unicodedata.normalize("NFC", bare))]


def _texts(change: Change) -> list[str]:
    incident = change.incident
    texts: list[str] = []
    if change.was is None:
        marks = [word for label in incident.labels.items() for word in label]
        references = [link.reference for link in incident.links]
        texts.append(" ".join([incident.title, incident.description, *marks, *references]))
    for entry in change.entries:
        if isinstance(entry.event, IncidentCommented):
            texts.append(entry.kept["text"])
        elif isinstance(entry.event, IncidentLinked) and change.was is not None:
            texts.append(entry.event.reference)
    return texts
