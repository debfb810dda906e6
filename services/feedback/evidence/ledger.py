"""Loads whole ledgers in a few statements, and shows them to the detectors and the score.

A ledger is loaded up to its newest NEWEST rows; what is older is counted, no more. Which rows those
are follows from the ledger alone, so the order in which they arrived still changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.detection.demand import Voice
from services.feedback.detection.detect import Material
from services.feedback.detection.recurrence import Occurrence
from services.feedback.evidence import votes
from services.feedback.evidence.measures import (
    RECENT_DAYS,
    TIER_WEIGHTS,
    Evidence,
    EvidenceSummary,
    impact,
    summarize,
)
from services.feedback.evidence.store import evidence
from services.feedback.metadata import chunks
from shared.contracts.feedback import EvidenceNumbersData
from shared.database import UtcDateTime

NEWEST = 10_000

_SEEN = (
    evidence.c.theme_id,
    evidence.c.kind,
    evidence.c.source_id,
    evidence.c.at,
    evidence.c.ended_at,
    evidence.c.severity_then,
    evidence.c.customers,
    evidence.c.tier,
    evidence.c.responder_hours,
    evidence.c.linked,
    evidence.c.votes,
    evidence.c.voice,
    evidence.c.customer,
    evidence.c.title,
    evidence.c.product,
    evidence.c.service,
    evidence.c.alert_name,
)

_NUMBERS = tuple(one.name for one in fields(EvidenceSummary) if one.name != "weekly_counts")

AnyRow = Row[*tuple[Any, ...]]
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

    rows: Sequence[AnyRow]
    votes: Votes
    older: Older = Older()

    @property
    def total(self) -> int:
        return len(self.rows) + self.older.total

    def material(self) -> Material:
        """What the detectors look at. Impact counts once an incident is over: what it comes to while
        it goes on changes by the minute, and with it would change why a theme once rose."""
        occurrences = [
            Occurrence(
                at=row.at,
                severity=row.severity_then or "low",
                impact_minutes=_impact_minutes(row, row.ended_at) if row.ended_at else 0.0,
                customers=row.customers,
            )
            for row in self.rows
            if row.kind == "incident"
        ]
        voices: list[Voice] = []
        for row in self.rows:
            if row.kind == "feedback":
                voices.append(Voice(row.at, row.customer or row.source_id, row.voice))
                voices += [Voice(at, who, "vote") for who, at in self.votes.get(row.source_id, ())]
        begins_at = self.rows[0].at if self.older.total else None
        return Material(occurrences, voices, begins_at)

    def summary(self, as_of: datetime) -> EvidenceSummary:
        """The ledger in numbers, as of then."""
        summary = summarize([_weighed(row, as_of) for row in self.rows], as_of)
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


def _impact_minutes(row: AnyRow, as_of: datetime) -> float:
    weight = TIER_WEIGHTS.get(row.tier or 3, 1.0)
    return impact(row.at, row.ended_at, as_of, row.customers, weight).minutes


def _weighed(row: AnyRow, as_of: datetime) -> Evidence:
    return Evidence(
        kind=row.kind,
        source_id=row.source_id,
        at=row.at,
        ended_at=row.ended_at,
        severity=row.severity_then,
        customers=row.customers,
        impact_minutes=_impact_minutes(row, as_of) if row.kind == "incident" else 0.0,
        responder_hours=row.responder_hours or 0.0,
        linked=row.linked,
        votes=row.votes,
    )


async def load(conn: AsyncConnection, sizes: Mapping[str, int]) -> dict[str, Ledger]:
    """The ledgers of these themes. `sizes` says about how many rows each has; it decides only how
    they are read. A theme without evidence has an empty ledger."""
    rows: dict[str, list[AnyRow]] = {theme_id: [] for theme_id in sizes}
    usual = [theme_id for theme_id, size in sizes.items() if size <= NEWEST]
    for some in chunks(usual):
        query = select(*_SEEN).where(evidence.c.theme_id.in_(some))
        for row in await conn.execute(query.order_by(evidence.c.at, evidence.c.source_id)):
            rows[row.theme_id].append(row)
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


async def _newest(conn: AsyncConnection, theme_id: str) -> list[AnyRow]:
    query = select(*_SEEN).where(evidence.c.theme_id == theme_id)
    newest = query.order_by(evidence.c.at.desc(), evidence.c.source_id.desc()).limit(NEWEST)
    return list(reversed((await conn.execute(newest)).all()))


async def _older(conn: AsyncConnection, theme_id: str, first: AnyRow) -> Older:
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
