"""What is silenced is kept, and is evidence of nothing until it is heard: then from its opening on."""

import random
from datetime import datetime
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import select

from services.feedback.evidence.store import current_horizon, evidence
from services.feedback.metrics import evidence_silenced, measure
from services.feedback.outcomes.store import outcomes
from shared.contracts import incidents
from shared.envelope import Event
from tests.feedback.conftest import (
    Feedback,
    day,
    delivered,
    of_incident,
    opened,
    reassigned,
    recurring,
    redated,
    resolved,
)


def hushed(incident_id: str, at: datetime, **said: Any) -> Event:
    return opened(incident_id, at, silenced_by="sil_1", **said)


def unsilenced(
    incident_id: str, version: int, at: datetime, opened_at: datetime | None = None
) -> Event:
    said = {"was_silenced_by": "sil_1", "opened_at": opened_at or at}
    return of_incident(incidents.IncidentUnsilenced, incident_id, version, at, **said)


def silenced(incident_id: str, version: int, at: datetime) -> Event:
    return of_incident(incidents.IncidentSilenced, incident_id, version, at, silenced_by="sil_1")


async def rows(feedback: Feedback) -> list[Any]:
    async with feedback.db.read() as conn:
        return list((await conn.execute(select(evidence).order_by(evidence.c.source_id))).all())


async def as_of(feedback: Feedback) -> datetime | None:
    async with feedback.db.read() as conn:
        return await current_horizon(conn)


async def test_a_silenced_incident_is_kept_and_makes_no_theme(feedback: Feedback) -> None:
    await feedback.hear(hushed("inc_1", day(0)))
    (row,) = await rows(feedback)
    assert (row.theme_id, row.silenced) == (None, True)
    assert await feedback.themes() == []
    assert await feedback.rows() == []
    assert (await feedback.get("/v1/themes/summary"))["evidence"] == 0
    async with feedback.db.read() as conn:
        await measure(conn)
    assert evidence_silenced._value.get() == 1


async def test_nothing_that_happens_to_it_makes_it_evidence(feedback: Feedback) -> None:
    severity = of_incident(
        incidents.IncidentSeverityChanged, "inc_1", 3, day(1), severity="critical", was="medium"
    )
    earlier = redated("inc_1", 2, day(-1), day(0))
    for one in (
        hushed("inc_1", day(0)),
        earlier,
        severity,
        resolved("inc_1", 4, day(1.5), day(-1)),
        of_incident(incidents.IncidentReopened, "inc_1", 5, day(1.6)),
        reassigned("inc_1", 6, day(2), "search", "Search"),
    ):
        await feedback.hear(one)
    assert await feedback.themes() == []
    assert await feedback.rows() == []


async def test_so_many_silenced_incidents_make_no_theme_rise(feedback: Feedback) -> None:
    await feedback.hear(*recurring(12, silenced_by="sil_1"))
    await feedback.settle()
    assert await feedback.themes() == []
    await feedback.hear(*[unsilenced(f"inc_{n}", 2, day(n)) for n in range(12)])
    assert (await feedback.the_theme())["state"] == "escalated"


async def test_once_heard_it_is_evidence_as_of_its_opening_with_all_that_was_said(
    feedback: Feedback,
) -> None:
    await feedback.hear(hushed("inc_1", day(0)))
    await feedback.hear(resolved("inc_1", 2, day(0.2), day(0)))
    await feedback.hear(unsilenced("inc_1", 3, day(0.1), day(0)))
    theme = await feedback.the_theme()
    (row,) = await rows(feedback)
    assert (row.theme_id, row.silenced) == (theme["id"], False)
    assert (row.at, row.ended_at) == (day(0), day(0.2))
    assert await feedback.types() == ["evidence.recorded"]
    (said,) = await feedback.said()
    assert said[1]["incident_ids"] == ["inc_1"]


async def test_it_goes_to_the_theme_of_the_service_that_it_was_given_meanwhile(
    feedback: Feedback,
) -> None:
    await feedback.hear(hushed("inc_1", day(0)))
    await feedback.hear(reassigned("inc_1", 2, day(0.1), "search", "Search"))
    await feedback.hear(unsilenced("inc_1", 3, day(0.2), day(0)))
    assert (await feedback.the_theme())["service"] == "search"


async def test_a_redelivered_event_changes_nothing(feedback: Feedback) -> None:
    life = [hushed("inc_1", day(0)), unsilenced("inc_1", 2, day(0.1), day(0))]
    for _ in range(3):
        await feedback.hear(*life)
        await feedback.hear(life[0])
        await feedback.hear(life[1])
    assert len(await rows(feedback)) == 1
    assert await feedback.types() == ["evidence.recorded"]


async def test_what_was_heard_and_is_silenced_after_all_is_taken_from_its_theme(
    feedback: Feedback,
) -> None:
    await feedback.hear(*recurring(12))
    assert (await feedback.the_theme())["state"] == "escalated"
    await feedback.hear(*[silenced(f"inc_{n}", 2, day(n)) for n in range(11)])
    theme = await feedback.the_theme()
    assert theme["state"] == "quiet"
    assert [
        one["source_id"]
        for one in (await feedback.get(f"/v1/themes/{theme['id']}/evidence"))["items"]
    ] == ["inc_11"]
    assert "theme.quieted" in await feedback.types()


async def test_a_theme_may_lose_all_its_evidence_and_get_it_back(feedback: Feedback) -> None:
    await feedback.hear(opened("inc_1", day(0)))
    theme = await feedback.the_theme()
    await feedback.hear(silenced("inc_1", 2, day(0)))
    assert (await feedback.get(f"/v1/themes/{theme['id']}/evidence"))["items"] == []
    await feedback.hear(unsilenced("inc_1", 3, day(0)))
    assert (await feedback.the_theme())["id"] == theme["id"]
    assert len((await feedback.get(f"/v1/themes/{theme['id']}/evidence"))["items"]) == 1


async def test_a_silenced_opening_moves_the_horizon_as_any_and_what_a_silence_does_never(
    feedback: Feedback,
) -> None:
    await feedback.hear(opened("inc_1", day(0)))
    await feedback.hear(hushed("inc_2", day(90)))
    assert await as_of(feedback) == day(90)
    await feedback.hear(unsilenced("inc_2", 2, day(90.5), day(90)), silenced("inc_2", 3, day(90.9)))
    assert await as_of(feedback) == day(90)


async def test_an_outcome_does_not_count_what_is_silenced(feedback: Feedback) -> None:
    await feedback.hear(*recurring(12))
    theme = await feedback.the_theme()
    await feedback.hear_roadmap(delivered([theme["id"]], day(12)))
    await feedback.hear(*[hushed(f"inc_q{n}", day(13 + n)) for n in range(20)])
    await feedback.hear(opened("inc_other", day(60), service="mail"))
    await feedback.settle()
    async with feedback.db.read() as conn:
        (row,) = (await conn.execute(select(outcomes))).all()
    assert row.numbers["count_after"] == 0


LIFE: list[Event] = [
    hushed("inc_1", day(0)),
    resolved("inc_1", 2, day(0.5), day(0)),
    unsilenced("inc_1", 3, day(0.4), day(0)),
    silenced("inc_1", 4, day(0)),
    reassigned("inc_1", 5, day(1), "search"),
    unsilenced("inc_1", 6, day(0.4), day(0)),
]


@pytest.mark.parametrize("cut", range(1 << (len(LIFE) - 1)))
async def test_however_a_life_is_cut_into_batches_it_ends_the_same(
    feedback: Feedback, cut: int
) -> None:
    batch: list[Event] = []
    for n, one in enumerate(LIFE):
        batch.append(one)
        if cut >> n & 1:
            await feedback.hear(*batch)
            batch = []
    await feedback.hear(*batch, *LIFE)
    (row,) = await rows(feedback)
    (theme,) = await feedback.themes(service="search")
    assert (row.theme_id, row.silenced, row.service) == (theme["id"], False, "search")
    assert (row.at, row.ended_at, row.source_version) == (day(0), day(0.5), 6)


async def test_two_lives_end_the_same_however_they_are_mixed(feedback: Feedback) -> None:
    """Each keeps the order of its own events, as the bus does."""
    lives = {
        name: [
            hushed(name, day(0)),
            unsilenced(name, 2, day(0.1), day(0)),
            silenced(name, 3, day(0)),
        ]
        for name in ("inc_1", "inc_2")
    }
    mixes = sorted(set(permutations(["inc_1"] * 3 + ["inc_2"] * 3)))
    order = random.Random(7).choice(mixes)
    left = {name: iter(life) for name, life in lives.items()}
    for name in order:
        await feedback.hear(next(left[name]))
    assert [(row.theme_id, row.silenced) for row in await rows(feedback)] == [(None, True)] * 2
