"""Every metric of what the roadmap knows, named and explained once. Labels are bounded: never an id."""

from datetime import datetime
from typing import get_args

from prometheus_client import Counter, Gauge, Histogram
from sqlalchemy import Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap.candidates.domain import CandidateState
from services.roadmap.candidates.store import candidates
from services.roadmap.items.store import items
from shared.contracts.roadmap import ItemState
from shared.ids import made_at

candidates_now = Gauge("roadmap_candidates", "Candidates, by state.", ["state"])
oldest_open = Gauge(
    "roadmap_oldest_open_candidate_age_seconds",
    "Seconds since the longest waiting open candidate was raised, by event time.",
)
items_now = Gauge("roadmap_items", "Items, by state.", ["state"])
signal_to_candidate = Histogram(
    "signal_to_candidate_seconds",
    "Seconds from the request that began the story to the candidate that it raised.",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
)
rises_ignored = Counter(
    "roadmap_rises_ignored_total",
    "Escalations that raised nothing, because a decision had taken them into account.",
)
stale_events = Counter(
    "roadmap_stale_events_total", "Events dropped because something as new was seen before."
)


def observe_raised(correlation_id: str, now: datetime) -> None:
    """A candidate rose. Measured where the story's id is one of ours, which says when it began."""
    try:
        began = made_at(correlation_id)
    except ValueError:
        return
    signal_to_candidate.observe(max((now - began).total_seconds(), 0.0))


async def measure(conn: AsyncConnection, now: datetime) -> None:
    """Set the gauges from what is stored."""
    await _count(conn, candidates, candidates_now, get_args(CandidateState))
    await _count(conn, items, items_now, get_args(ItemState))
    query = select(candidates.c.raised_at).where(candidates.c.state == "open")
    oldest = (await conn.execute(query.order_by(candidates.c.raised_at).limit(1))).scalar()
    oldest_open.set(max((now - oldest).total_seconds(), 0.0) if oldest else 0.0)


async def _count(
    conn: AsyncConnection, table: Table, gauge: Gauge, states: tuple[str, ...]
) -> None:
    query = select(table.c.state, func.count()).group_by(table.c.state)
    found = {row[0]: row[1] for row in await conn.execute(query)}
    for state in states:
        gauge.labels(state).set(found.get(state, 0))
