"""What a theme has cost: the sums over its evidence that the roadmap's score is made of. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import add
from typing import Literal

Kind = Literal[
    "incident",
    "feedback",
    "slo_burn",
    "toil",
    "change_failure",
    "action_overdue",
    "compliance_gap",
    "dr_gap",
    "risk",
    "competitor",
]

TOP_SEVERITIES = frozenset({"critical", "high"})

TIER_WEIGHTS: Mapping[int, float] = {1: 4.0, 2: 2.0, 3: 1.0, 4: 0.5}
"""What a customer's minute weighs by the service's tier; 1 is the most vital. Policy data."""

RECENT_DAYS = 14
WINDOW_DAYS = 28
QUARTER_DAYS = 90
WEEKS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Evidence:
    """One row of a theme's ledger, as the score sees it.

    `severity` is the one known when it opened: what people decide on is what they knew then, and
    a final severity says how the story ended. `linked`: already tied to a problem, change or item.
    `votes` is what feedback carries.
    """

    kind: Kind
    source_id: str
    at: datetime
    ended_at: datetime | None = None
    severity: str | None = None
    customers: int | None = None
    impact_minutes: float = 0.0
    responder_hours: float = 0.0
    linked: bool = False
    votes: int = 0


@dataclass(frozen=True, slots=True)
class Impact:
    """Customer-impact minutes so far. `censored`: it went on still, so this is a lower bound."""

    minutes: float
    censored: bool


@dataclass(frozen=True, slots=True)
class EvidenceSummary:
    """What a theme's evidence adds up to at one time; plain types, ready for an event.

    Of incidents alone: `opened_28d`, `top_severity_28d`, `opened_14d`, `earlier_count` and
    `earlier_days` (what came before the last 14 days, and how long that was), `open`, and
    `weekly_counts` (the last 12 weeks, oldest first). Of all evidence: the rest. The customers of
    two incidents may be the same ones, so `customers_max` and `customers_90d` are the most that a
    single row affected: at least as many were. The rates per week are those of the last 28 days.
    """

    as_of: datetime
    total: int
    by_kind: Mapping[str, int]
    first_at: datetime | None
    last_at: datetime | None
    open: int
    opened_28d: int
    top_severity_28d: int
    opened_14d: int
    earlier_count: int
    earlier_days: float
    linked: int
    impact_minutes_total: float
    impact_minutes_per_week: float
    responder_hours_per_week: float
    customers_max: int
    customers_90d: int
    feedback_count: int
    votes: int
    weekly_counts: tuple[int, ...]


def impact(
    started_at: datetime,
    ended_at: datetime | None,
    as_of: datetime,
    customers: int | None,
    tier_weight: float,
) -> Impact:
    """Duration × affected customers × tier weight, in minutes, as known at `as_of`.

    What has not ended by `as_of` is measured up to there and flagged as censored: an open incident
    is no zero-length one. Where nobody counted customers it weighs as one; a stated zero is zero.
    """
    censored = ended_at is None or ended_at > as_of
    until = as_of if ended_at is None or censored else ended_at
    minutes = max(timedelta(), until - started_at) / timedelta(minutes=1)
    return Impact(minutes * (1 if customers is None else customers) * tier_weight, censored)


def toil_hours(hands_on: Iterable[tuple[int, float]]) -> float:
    """Σ responders × hands-on time, from (responders, minutes of hands-on time) pairs."""
    return sum(responders * minutes for responders, minutes in hands_on) / 60


def per_week(total: float, days: float) -> float:
    """The rate per week of what came together in `days` days; they must be more than none."""
    if days <= 0:
        raise ValueError("A rate needs a time to spread over: pass more than 0 days.")
    return total * 7 / days


def summarize(evidence: Iterable[Evidence], as_of: datetime) -> EvidenceSummary:
    """The sums over the evidence that was there at `as_of`; later rows count for nothing."""
    rows = sorted((row for row in evidence if row.at <= as_of), key=lambda row: row.at)
    incidents = [row for row in rows if row.kind == "incident"]
    month, fortnight = _since(rows, as_of, WINDOW_DAYS), _since(incidents, as_of, RECENT_DAYS)
    opened_28d = _since(incidents, as_of, WINDOW_DAYS)
    voices = [row for row in rows if row.kind == "feedback"]
    return EvidenceSummary(
        as_of=as_of,
        total=len(rows),
        by_kind=dict(Counter(row.kind for row in rows)),
        first_at=rows[0].at if rows else None,
        last_at=rows[-1].at if rows else None,
        open=sum(row.ended_at is None or row.ended_at > as_of for row in incidents),
        opened_28d=len(opened_28d),
        top_severity_28d=sum(row.severity in TOP_SEVERITIES for row in opened_28d),
        opened_14d=len(fortnight),
        earlier_count=len(incidents) - len(fortnight),
        earlier_days=earlier_days(incidents[0].at if incidents else None, as_of),
        linked=sum(row.linked for row in rows),
        impact_minutes_total=total(row.impact_minutes for row in rows),
        impact_minutes_per_week=per_week(total(row.impact_minutes for row in month), WINDOW_DAYS),
        responder_hours_per_week=per_week(total(row.responder_hours for row in month), WINDOW_DAYS),
        customers_max=_most_customers(rows),
        customers_90d=_most_customers(_since(rows, as_of, QUARTER_DAYS)),
        feedback_count=len(voices),
        votes=sum(row.votes for row in voices),
        weekly_counts=_weekly_counts(incidents, as_of),
    )


def total(numbers: Iterable[float]) -> float:
    """The sum from the first on: `sum` rounds in another way from one Python to the next."""
    return reduce(add, numbers, 0.0)


def _since(rows: Sequence[Evidence], as_of: datetime, days: int) -> list[Evidence]:
    start = as_of - timedelta(days=days)
    return [row for row in rows if row.at > start]


def earlier_days(first: datetime | None, as_of: datetime) -> float:
    """How long what came before the last RECENT_DAYS was, from the first incident on."""
    if first is None:
        return 0.0
    earlier = as_of - timedelta(days=RECENT_DAYS) - first
    return max(timedelta(), earlier) / timedelta(days=1)


def _most_customers(rows: Sequence[Evidence]) -> int:
    return max((row.customers or 0 for row in rows), default=0)


def _weekly_counts(incidents: Sequence[Evidence], as_of: datetime) -> tuple[int, ...]:
    weeks_ago = Counter((as_of - row.at) // timedelta(weeks=1) for row in incidents)
    return tuple(weeks_ago[week] for week in reversed(range(WEEKS_SHOWN)))
