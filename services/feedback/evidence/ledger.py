"""Loads whole ledgers in a few statements, and shows them to the detectors and the score.

A ledger is loaded up to its newest NEWEST rows; what is older is counted, no more. Which rows those
are follows from the ledger alone, so the order in which they arrived still changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import Integer, Text, bindparam, func, literal, select, tuple_, type_coerce
from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.detection.demand import Voice
from services.feedback.detection.detect import Material
from services.feedback.evidence import votes
from services.feedback.evidence.figures import Seen, seen, summary_of
from services.feedback.evidence.measures import RECENT_DAYS, EvidenceSummary
from services.feedback.evidence.store import evidence
from shared.clock import parse_rfc3339
from shared.contracts.feedback import EvidenceNumbersData
from shared.database import UtcDateTime
from shared.keys import one_of
from shared.prepared import Prepared

NEWEST = 10_000

_COLUMNS = (
    evidence.c.theme_id,
    evidence.c.kind,
    evidence.c.source_id,
    type_coerce(evidence.c.at, Text).label("at"),
    type_coerce(evidence.c.ended_at, Text).label("ended_at"),
    evidence.c.severity_then,
    evidence.c.customers,
    evidence.c.tier,
    evidence.c.responder_hours,
    type_coerce(evidence.c.linked, Integer).label("linked"),
    evidence.c.votes,
    evidence.c.voice,
    evidence.c.customer,
    evidence.c.title,
    evidence.c.product,
    evidence.c.service,
    evidence.c.alert_name,
)
"""As the driver gives them: of most rows it is known already what they mean (`_seen`)."""

_IN_ORDER = (evidence.c.theme_id, evidence.c.at, evidence.c.source_id)
_LOAD = Prepared(select(*_COLUMNS).where(one_of(evidence.c.theme_id)).order_by(*_IN_ORDER))
_LOAD_ONE = Prepared(
    select(*_COLUMNS).where(evidence.c.theme_id == bindparam("theme")).order_by(*_IN_ORDER)
)

FEW = 8
"""So many ledgers are read one by one. PostgreSQL can't see how many keys a list holds: of few it would
read the whole table, where that has long ledgers."""

ROWS_KNOWN = 30_000


@lru_cache(maxsize=ROWS_KNOWN)
def _seen(raw: tuple[Any, ...]) -> Seen:
    """What a row says. The same row is the very same object, which makes ledgers quick to compare."""
    kind, source_id, at, ended_at, *rest = raw
    return seen(kind, source_id, _time(at), ended_at and _time(ended_at), *rest)


def _time(stored: str | datetime) -> datetime:
    return stored if isinstance(stored, datetime) else parse_rfc3339(stored)


_NUMBERS = tuple(one.name for one in fields(EvidenceSummary) if one.name != "weekly_counts")

Votes = Mapping[str, Sequence[tuple[str, datetime]]]


@dataclass(frozen=True, slots=True)
class Older:
    """What was not loaded: how much of which kind, and the first of it."""

    by_kind: Mapping[str, int] = field(default_factory=dict[str, int])
    first_at: datetime | None = None

    @property
    def total(self) -> int:
        return sum(self.by_kind.values())


@dataclass(frozen=True, slots=True)
class Ledger:
    """A theme's evidence by event time. `older` is empty unless there are more than NEWEST rows."""

    rows: Sequence[Seen]
    votes: Votes
    older: Older = Older()

    @property
    def total(self) -> int:
        return len(self.rows) + self.older.total

    def material(self) -> Material:
        """What the detectors look at."""
        occurrences = [row.occurrence for row in self.rows if row.kind == "incident"]
        voices: list[Voice] = []
        for row in self.rows:
            if row.kind == "feedback":
                voices.append(Voice(row.at, row.customer or row.source_id, row.voice))
                voices += [Voice(at, who, "vote") for who, at in self.votes.get(row.source_id, ())]
        begins_at = self.rows[0].at if self.older.total else None
        return Material(occurrences, voices, begins_at)

    def summary(self, as_of: datetime) -> EvidenceSummary:
        """The ledger in numbers, as of then."""
        summary = summary_of(self.rows, as_of)
        if self.older.first_at is None:
            return summary
        earlier = as_of - timedelta(days=RECENT_DAYS) - self.older.first_at
        kinds = {*summary.by_kind, *self.older.by_kind}
        return replace(
            summary,
            total=summary.total + self.older.total,
            by_kind={k: summary.by_kind.get(k, 0) + self.older.by_kind.get(k, 0) for k in kinds},
            first_at=self.older.first_at,
            earlier_count=summary.earlier_count + self.older.by_kind.get("incident", 0),
            earlier_days=max(timedelta(), earlier) / timedelta(days=1),
        )


def numbers(summary: EvidenceSummary) -> EvidenceNumbersData:
    """The summary as events and answers carry it."""
    return EvidenceNumbersData(
        **{name: getattr(summary, name) for name in _NUMBERS},
        weekly_counts=list(summary.weekly_counts),
    )


async def load(conn: AsyncConnection, sizes: Mapping[str, int]) -> dict[str, Ledger]:
    """The ledgers of these themes. `sizes` says about how many rows each has; it decides only how
    they are read. A theme without evidence has an empty ledger."""
    rows: dict[str, list[Seen]] = {theme_id: [] for theme_id in sizes}
    usual = [theme_id for theme_id, size in sizes.items() if size <= NEWEST]
    if len(usual) > FEW:
        for theme_id, *raw in await _LOAD.of(conn, usual):
            rows[theme_id].append(_seen(tuple(raw)))
    else:
        for one in usual:
            found = await _LOAD_ONE.rows(conn, {"theme": one})
            rows[one] = [_seen(tuple(raw)) for _, *raw in found]
    for theme_id in sizes.keys() - set(usual):
        rows[theme_id] = await _newest(conn, theme_id)
    ledgers: dict[str, Ledger] = {}
    heard = [row.source_id for some in rows.values() for row in some if row.kind == "feedback"]
    voted = await votes.times(conn, heard)
    for theme_id, some in rows.items():
        newest = some[-NEWEST:]
        older = await _older(conn, theme_id, newest[0]) if len(some) >= NEWEST else Older()
        ledgers[theme_id] = Ledger(newest, voted, older)
    return ledgers


async def _newest(conn: AsyncConnection, theme_id: str) -> list[Seen]:
    query = select(*_COLUMNS).where(evidence.c.theme_id == theme_id)
    newest = query.order_by(evidence.c.at.desc(), evidence.c.source_id.desc()).limit(NEWEST)
    return [_seen(tuple(raw)) for _, *raw in reversed((await conn.execute(newest)).all())]


async def _older(conn: AsyncConnection, theme_id: str, first: Seen) -> Older:
    before = tuple_(evidence.c.at, evidence.c.source_id) < tuple_(
        literal(first.at, UtcDateTime), literal(first.source_id)
    )
    query = select(evidence.c.kind, func.count(), func.min(evidence.c.at)).where(
        evidence.c.theme_id == theme_id, before
    )
    found = (await conn.execute(query.group_by(evidence.c.kind))).all()
    return Older(
        by_kind={kind: count for kind, count, _ in found},
        first_at=min((at for _, _, at in found), default=None),
    )
