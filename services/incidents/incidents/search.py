"""Full-text search over incidents: title, description, labels, links and comments.

The only place that knows which engine searches. SQLite has an FTS5 table; another engine gets its
own branch in `index` and in `matching`, and until then says so.
"""

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Dialect, column, select, table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.incidents.store import Change, incidents
from shared.contracts.incidents import IncidentCommented, IncidentLinked
from shared.refusals import Invalid

MOST_WORDS = 10

_words = table("incident_words", column("incident_id"), column("words"))
_INSERT = text("INSERT INTO incident_words (incident_id, words) VALUES (:incident_id, :words)")
_MATCH = "incident_words MATCH :{}"
_WORD = re.compile(r"\w+")


class NothingToSearch(Invalid):
    """The query has no word in it."""


async def index(conn: AsyncConnection, changes: Sequence[Change]) -> None:
    """Make what these changes wrote findable, in the caller's transaction."""
    _sqlite_only(conn.dialect)
    rows = [
        {"incident_id": change.incident.id, "words": words}
        for change in changes
        for words in _texts(change)
    ]
    if rows:
        await conn.execute(_INSERT, rows)


def matching(dialect: Dialect, asked: str) -> ColumnElement[bool]:
    """Condition: incidents in which every word of `asked` occurs, the last also as a beginning.

    Words are searched as words: nothing in `asked` is an operator. Raises NothingToSearch.
    """
    _sqlite_only(dialect)
    words = _WORD.findall(asked)[:MOST_WORDS]
    if not words:
        raise NothingToSearch("`q` has no letter or digit to search for; give at least one word.")
    conditions: list[Any] = []
    for number, word in enumerate(words):
        quoted = f'"{word}"' + ("*" if number == len(words) - 1 else "")
        match = text(_MATCH.format(f"word_{number}")).bindparams(**{f"word_{number}": quoted})
        conditions.append(incidents.c.id.in_(select(_words.c.incident_id).where(match)))
    everything: ColumnElement[bool] = conditions[0]
    for condition in conditions[1:]:
        everything = everything & condition
    return everything


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


def _sqlite_only(dialect: Dialect) -> None:
    if dialect.name != "sqlite":
        raise NotImplementedError(f"no full-text search for {dialect.name!r}; use SQLite")
