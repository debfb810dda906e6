"""The sums over a ledger, worked out by columns: what `measures.summarize` says, for large ledgers. Pure.

Every number is the same to the last bit: times are whole microseconds, which a float holds exactly,
and sums run from the oldest row on.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.feedback.detection.recurrence import Occurrence
from services.feedback.evidence.measures import (
    QUARTER_DAYS,
    RECENT_DAYS,
    TIER_WEIGHTS,
    TOP_SEVERITIES,
    WEEKS_SHOWN,
    WINDOW_DAYS,
    EvidenceSummary,
    earlier_days,
    impact,
    per_week,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
DAY, MINUTE = 86_400e6, 60e6
"""In microseconds."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Seen:
    """A row of the ledger, as detectors and score see it; `figures` are its numbers, in the order of
    the columns below."""

    kind: str
    source_id: str
    at: datetime
    title: str
    product: str
    service: str
    alert_name: str | None
    voice: Any
    customer: str | None
    occurrence: Occurrence
    figures: tuple[float, ...]


AT, ENDED, INCIDENT, FEEDBACK, HIT, WEIGHT, CUSTOMERS, HOURS, LINKED, TOP, VOTES = range(11)


def seen(
    kind: str,
    source_id: str,
    at: datetime,
    ended_at: datetime | None,
    severity: str | None,
    customers: int | None,
    tier: int | None,
    responder_hours: float | None,
    linked: bool,
    votes: int,
    voice: str | None,
    customer: str | None,
    title: str,
    product: str,
    service: str,
    alert_name: str | None,
) -> Seen:
    """The row of these columns. Impact counts for the detectors once an incident is over: what it
    comes to while it goes on changes by the minute, and with it would change why a theme once rose."""
    weight = TIER_WEIGHTS.get(tier or 3, 1.0)
    over = impact(at, ended_at, ended_at, customers, weight).minutes if ended_at else 0.0
    return Seen(
        kind=kind,
        source_id=source_id,
        at=at,
        title=title,
        product=product,
        service=service,
        alert_name=alert_name,
        voice=voice,
        customer=customer,
        occurrence=Occurrence(at, severity or "low", over, customers),
        figures=(
            _microseconds(at),
            _microseconds(ended_at) if ended_at else np.inf,
            1.0 if kind == "incident" else 0.0,
            1.0 if kind == "feedback" else 0.0,
            1.0 if customers is None else float(customers),
            weight,
            float(customers or 0),
            responder_hours or 0.0,
            1.0 if linked else 0.0,
            1.0 if severity in TOP_SEVERITIES else 0.0,
            float(votes),
        ),
    )


def summary_of(rows: Sequence[Seen], as_of: datetime) -> EvidenceSummary:
    """The sums over the rows, which are in the order of time, that were there at `as_of`."""
    rows = rows[: _there(rows, as_of)]
    table = np.array([row.figures for row in rows], dtype=np.float64).reshape(len(rows), VOTES + 1)
    c: list[Floats] = list(np.ascontiguousarray(table.T))
    now = _microseconds(as_of)
    incident = c[INCIDENT] == 1.0
    minutes = np.maximum(np.minimum(c[ENDED], now) - c[AT], 0.0) / MINUTE
    cost = np.where(incident, minutes * c[HIT] * c[WEIGHT], 0.0)
    month, quarter = (_since(c[AT], now, days) for days in (WINDOW_DAYS, QUARTER_DAYS))
    opened = c[AT][incident]
    opened_28d, opened_14d = (
        len(opened) - _since(opened, now, days) for days in (WINDOW_DAYS, RECENT_DAYS)
    )
    weeks = np.floor_divide(now - opened, 7 * DAY)
    weekly = np.bincount(weeks[weeks < WEEKS_SHOWN].astype(np.int64), minlength=WEEKS_SHOWN)
    first = rows[int(np.argmax(incident))].at if len(opened) else None
    return EvidenceSummary(
        as_of=as_of,
        total=len(rows),
        by_kind=dict(Counter([row.kind for row in rows])),
        first_at=rows[0].at if rows else None,
        last_at=rows[-1].at if rows else None,
        open=int(np.count_nonzero(c[ENDED][incident] > now)),
        opened_28d=opened_28d,
        top_severity_28d=int(np.count_nonzero(c[TOP][month:][incident[month:]])),
        opened_14d=opened_14d,
        earlier_count=len(opened) - opened_14d,
        earlier_days=earlier_days(first, as_of),
        linked=int(np.count_nonzero(c[LINKED])),
        impact_minutes_total=_total(cost),
        impact_minutes_per_week=per_week(_total(cost[month:]), WINDOW_DAYS),
        responder_hours_per_week=per_week(_total(c[HOURS][month:]), WINDOW_DAYS),
        customers_max=int(c[CUSTOMERS].max(initial=0.0)),
        customers_90d=int(c[CUSTOMERS][quarter:].max(initial=0.0)),
        feedback_count=int(np.count_nonzero(c[FEEDBACK])),
        votes=int((c[VOTES] * c[FEEDBACK]).sum()),
        weekly_counts=tuple(int(count) for count in reversed(weekly)),
    )


def _there(rows: Sequence[Seen], as_of: datetime) -> int:
    """How many rows are no later than `as_of`; what is later is rare, and stands at the end."""
    count = len(rows)
    while count and rows[count - 1].at > as_of:
        count -= 1
    return count


def _since(times: Floats, now: float, days: int) -> int:
    """Where what is later than so many days ago begins."""
    return int(np.searchsorted(times, now - days * DAY, side="right"))


def _total(values: Floats) -> float:
    """The sum from the first on: NumPy's own adds in another order."""
    return float(np.cumsum(values)[-1]) if len(values) else 0.0


def _microseconds(at: datetime) -> float:
    return float((at - EPOCH) // MICROSECOND)
