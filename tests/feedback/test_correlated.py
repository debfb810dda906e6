"""What is part of another incident is kept, and is evidence of nothing until it stands by itself again."""

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import select

from services.feedback.evidence.store import current_horizon, evidence
from services.feedback.metrics import evidence_correlated, measure
from shared.contracts import incidents
from shared.envelope import Event
from tests.feedback.conftest import Feedback, day, of_incident, opened, recurring, resolved


def correlated(incident_id: str, version: int, at: datetime, parent: str = "inc_0") -> Event:
    said = {"parent_id": parent, "rule": "storm", "why": "By rule storm, it shares much."}
    return of_incident(incidents.IncidentCorrelated, incident_id, version, at, **said)


def uncorrelated(incident_id: str, version: int, at: datetime) -> Event:
    said = {"was_parent_id": "inc_0", "was_rule": "storm"}
    return of_incident(incidents.IncidentUncorrelated, incident_id, version, at, **said)


def silenced(incident_id: str, version: int, at: datetime) -> Event:
    return of_incident(incidents.IncidentSilenced, incident_id, version, at, silenced_by="sil_1")


def unsilenced(incident_id: str, version: int, at: datetime) -> Event:
    said = {"was_silenced_by": "sil_1", "opened_at": at}
    return of_incident(incidents.IncidentUnsilenced, incident_id, version, at, **said)


async def rows(feedback: Feedback) -> list[Any]:
    async with feedback.db.read() as conn:
        return list((await conn.execute(select(evidence).order_by(evidence.c.source_id))).all())


async def test_of_a_parent_and_its_children_the_parent_is_evidence(feedback: Feedback) -> None:
    await feedback.hear(*recurring(12))
    assert (await feedback.the_theme())["state"] == "escalated"
    await feedback.hear(*[correlated(f"inc_{n}", 2, day(n)) for n in range(1, 12)])
    theme = await feedback.the_theme()
    assert theme["state"] == "quiet"
    listed = (await feedback.get(f"/v1/themes/{theme['id']}/evidence"))["items"]
    assert [one["source_id"] for one in listed] == ["inc_0"]
    assert len(await rows(feedback)) == 12
    assert (await feedback.get("/v1/themes/summary"))["evidence"] == 1
    async with feedback.db.read() as conn:
        await measure(conn)
    assert evidence_correlated._value.get() == 11


async def test_what_stands_by_itself_again_is_evidence_with_all_that_was_said(
    feedback: Feedback,
) -> None:
    await feedback.hear(opened("inc_1", day(0)), correlated("inc_1", 2, day(0)))
    await feedback.hear(resolved("inc_1", 3, day(0.5), day(0)))
    assert [(row.theme_id, row.parent_id) for row in await rows(feedback)] == [(None, "inc_0")]
    await feedback.hear(uncorrelated("inc_1", 4, day(0)))
    (row,) = await rows(feedback)
    assert row.theme_id == (await feedback.the_theme())["id"]
    assert (row.parent_id, row.at, row.ended_at) == (None, day(0), day(0.5))


@pytest.mark.parametrize("first", ["silence", "parent"])
async def test_what_is_silenced_and_a_child_counts_only_once_it_is_neither(
    feedback: Feedback, first: str
) -> None:
    await feedback.hear(
        opened("inc_1", day(0)), silenced("inc_1", 2, day(0)), correlated("inc_1", 3, day(0))
    )
    ends = [unsilenced, uncorrelated] if first == "silence" else [uncorrelated, unsilenced]
    await feedback.hear(ends[0]("inc_1", 4, day(0)))
    assert (await rows(feedback))[0].theme_id is None
    await feedback.hear(ends[1]("inc_1", 5, day(0)))
    assert (await rows(feedback))[0].theme_id == (await feedback.the_theme())["id"]


async def test_neither_moves_the_horizon(feedback: Feedback) -> None:
    await feedback.hear(opened("inc_1", day(0)))
    await feedback.hear(correlated("inc_1", 2, day(0.9)), uncorrelated("inc_1", 3, day(0.9)))
    async with feedback.db.read() as conn:
        assert await current_horizon(conn) == day(0)


LIFE: list[Event] = [
    opened("inc_1", day(0)),
    correlated("inc_1", 2, day(0)),
    silenced("inc_1", 3, day(0)),
    correlated("inc_1", 4, day(0), parent="inc_9"),
    unsilenced("inc_1", 5, day(0)),
    uncorrelated("inc_1", 6, day(0)),
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
    assert row.theme_id == (await feedback.the_theme())["id"]
    assert (row.silenced, row.parent_id, row.source_version) == (False, None, 6)
