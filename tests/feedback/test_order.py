"""However the same events arrive, the same themes, evidence, states and times come out."""

import asyncio
import random
from datetime import datetime, timedelta
from heapq import merge
from itertools import accumulate
from operator import itemgetter
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from services.feedback.app import MIGRATIONS
from services.feedback.consumers import take_incidents
from services.feedback.detection.store import escalations
from services.feedback.evidence.store import current_horizon, evidence
from services.feedback.themes.store import themes
from services.feedback.worker import review
from shared.clock import utc_now
from shared.contracts import incidents
from shared.envelope import Event
from tests.conftest import database
from tests.engines.stores import Store
from tests.feedback.conftest import day, of_incident, opened, reassigned, redated

SERVICES = ("payments", "PAYMENTS", "search")


def story(rng: random.Random, incident_id: str) -> list[Event]:
    """One incident's life; often late, long, reassigned or reopened."""
    at = day(rng.choice([rng.random() * 12, rng.random() * 120]))
    said = {
        "service": rng.choice(SERVICES),
        "title": rng.choice(["Slow checkout", "slow CHECKOUT"]),
    }
    severity = rng.choice(["low", "critical"])
    events = [
        opened(incident_id, at, severity=severity, customers_affected=rng.randrange(90), **said)
    ]

    def add(contract: Any, **said: Any) -> None:
        later = events[-1].time + timedelta(hours=rng.randrange(1, 200))
        events.append(of_incident(contract, incident_id, len(events) + 1, later, **said))

    if rng.random() < 0.3:
        later = events[-1].time + timedelta(hours=1)
        events.append(reassigned(incident_id, 2, later, rng.choice(SERVICES)))
    if rng.random() < 0.3:
        start = at + timedelta(hours=rng.randrange(-300, 300))
        events.append(redated(incident_id, len(events) + 1, start, at))
    if rng.random() < 0.3:
        add(incidents.IncidentSeverityChanged, severity="high", was=severity)
    if rng.random() < 0.7:
        add(incidents.IncidentResolved, opened_at=at)
        if rng.random() < 0.2:
            add(incidents.IncidentReopened)
    return events


def known_at(story: list[Event]) -> list[tuple[datetime, Event]]:
    """When each event may have come: no sooner than what came before it of the same incident."""
    moments = accumulate((one.time for one in story), max)
    return list(zip(moments, story, strict=True))


def interleaved(rng: random.Random, stories: list[list[Event]]) -> list[Event]:
    """Some order that keeps each incident's own events in order."""
    left = [list(one) for one in stories]
    found: list[Event] = []
    while left:
        one = rng.choice(left)
        found.append(one.pop(0))
        left = [some for some in left if some]
    return found


def batches(rng: random.Random, events: list[Event], largest: int) -> list[list[Event]]:
    found: list[list[Event]] = []
    rest = list(events)
    while rest:
        size = rng.randint(1, largest)
        found.append(rest[:size])
        rest = rest[size:]
    return found


async def state_after(store: Store, arrivals: list[list[Event]]) -> dict[str, Any]:
    """All that is stored of live themes, without ids, versions and what was published."""
    async with database(store, MIGRATIONS) as db:
        for batch in arrivals:
            async with db.begin() as conn:
                await take_incidents(conn, batch, utc_now)
        await review(db, utc_now)
        async with db.read() as conn:
            found = await stored(conn)
    return found


async def stored(conn: Any) -> dict[str, Any]:
    live = (await conn.execute(select(themes).where(themes.c.state != "merged"))).all()
    ledgers: dict[str, list[Any]] = {row.id: [] for row in live}
    for row in await conn.execute(select(evidence).order_by(evidence.c.source_id)):
        told = {k: v for k, v in row._mapping.items() if k not in {"id", "theme_id"}}
        ledgers[row.theme_id].append(told)
    rises: dict[str, list[Any]] = {row.id: [] for row in live}
    for row in await conn.execute(
        select(escalations).order_by(escalations.c.rose_at, escalations.c.detector)
    ):
        if row.theme_id in rises:
            rises[row.theme_id].append(
                (row.detector, row.rose_at, row.fell_at, row.reasons, row.fell_because)
            )
    silent = {"id", "version", "told", "told_as_of", "announced", "created_at", "review_at"}
    shown = [
        (
            {k: v for k, v in row._mapping.items() if k not in silent},
            row.review_at,
            ledgers[row.id],
            rises[row.id],
        )
        for row in live
        if ledgers[row.id]
    ]
    return {
        "as_of": await current_horizon(conn),
        "themes": sorted(shown, key=lambda one: (one[0]["service"], one[2][0]["source_id"])),
    }


@settings(
    max_examples=6,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32), count=st.integers(6, 16))
def test_neither_batches_nor_order_nor_engine_change_what_is_stored(
    sqlite_store: Store, store: Store, seed: int, count: int
) -> None:
    rng = random.Random(seed)
    stories = [story(rng, f"inc_{n:03}") for n in range(count)]
    by_time = merge(*map(known_at, stories), key=itemgetter(0))
    at_once = asyncio.run(state_after(sqlite_store, [interleaved(rng, stories)]))
    in_order = asyncio.run(state_after(store, [[one] for _, one in by_time]))
    shuffled = asyncio.run(state_after(store, batches(rng, interleaved(rng, stories), 7)))
    assert in_order == at_once
    assert shuffled == at_once


def test_the_stories_do_make_themes_rise_and_fall(store: Store) -> None:
    rng = random.Random(7)
    stories = [story(rng, f"inc_{n:03}") for n in range(40)]
    found = asyncio.run(state_after(store, batches(rng, interleaved(rng, stories), 9)))
    rises = [rise for _, _, _, some in found["themes"] for rise in some]
    assert any(fell is not None for _, _, fell, _, _ in rises)
    assert len(found["themes"]) >= 2
