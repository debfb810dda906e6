"""Whole batches against the database: the same incidents, however signals are grouped and ordered."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from services.incidents.incidents import commands, store
from services.incidents.incidents.episodes import episodes
from services.incidents.incidents.incident import OPEN_STATES, begin
from services.incidents.incidents.store import incidents, timeline
from services.incidents.signals.store import signals
from shared.clock import rfc3339
from shared.database import Database
from tests.incidents.conftest import outbox_rows

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ALERTS = ("f1", "f2", "f3")
SPANS = ((0, 5), (12, 14), (60, 90), (130, 131))
"""In minutes: two that are one incident, and two that stand alone."""


def told(alert: str, start: int, end: int | None) -> dict[str, Any]:
    stated = {"title": alert, "fingerprint": alert, "starts_at": rfc3339(NOON + minutes(start))}
    if end is None:
        return stated
    return {**stated, "status": "resolved", "ends_at": rfc3339(NOON + minutes(end))}


def minutes(number: int) -> timedelta:
    return timedelta(minutes=number)


def everything(seed: int) -> list[list[dict[str, Any]]]:
    """Each signal twice, shuffled, in posts of one to six."""
    chance = random.Random(seed)
    spans = [(alert, *span) for alert in ALERTS for span in SPANS]
    sent = [told(a, start, end) for a, start, e in spans for end in (None, e)] * 2
    chance.shuffle(sent)
    posts: list[list[dict[str, Any]]] = []
    while sent:
        size = chance.randint(1, 6)
        posts.append(sent[:size])
        sent = sent[size:]
    return posts


@pytest.mark.parametrize("seed", range(6))
async def test_any_order_and_any_grouping_store_the_same(
    client: httpx.AsyncClient, db: Database, seed: int
) -> None:
    for post in everything(seed):
        assert (await client.post("/v1/signals", json=post)).status_code == 202
    async with db.read() as conn:
        rows = (await conn.execute(select(incidents))).all()
        owned = select(episodes.c.incident_id, func.count()).group_by(episodes.c.incident_id)
        held = {row[0]: row[1] for row in await conn.execute(owned)}
        stored = (await conn.execute(select(signals))).all()
    found = sorted((r.fingerprint, r.opened_at, r.resolved_at, r.state, held[r.id]) for r in rows)
    wanted = [(0, 14, 2), (60, 90, 1), (130, 131, 1)]
    assert found == [
        (alert, NOON + minutes(start), NOON + minutes(end), "resolved", count)
        for alert in ALERTS
        for start, end, count in wanted
    ]
    assert len(stored) == len(ALERTS) * len(SPANS) * 2
    assert sum(row.repeats for row in stored) == len(stored)
    assert {row.incident_id for row in stored} == {row.id for row in rows}


async def test_versions_have_no_gap_and_each_incident_is_the_fold_of_its_log(
    client: httpx.AsyncClient, db: Database
) -> None:
    for post in everything(42):
        await client.post("/v1/signals", json=post)
    async with db.begin() as conn:
        ids = (await conn.execute(select(incidents.c.id))).scalars().all()
        stored = await store.load(conn, ids)
        for incident_id in ids:
            first, *rest = await store.entries_of(conn, incident_id)
            assert commands.folded(begin(first), rest) == stored[incident_id]
        entries = (await conn.execute(select(timeline))).all()
    published = [
        (row.headers["ce_subject"], int(row.headers["ce_aggregateversion"]))
        for row in await outbox_rows(db)
    ]
    assert sorted(published) == sorted((row.incident_id, row.version) for row in entries)
    for incident_id in ids:
        versions = [version for subject, version in published if subject == incident_id]
        assert versions == list(range(1, stored[incident_id].version + 1))


async def test_the_database_itself_keeps_a_second_open_incident_out(
    client: httpx.AsyncClient, db: Database
) -> None:
    """The last guard, should the rules ever fail."""
    await client.post("/v1/signals", json=told("f1", 0, None))
    async with db.read() as conn:
        row = (await conn.execute(select(incidents))).one()._asdict()
    assert row["state"] in OPEN_STATES
    with pytest.raises(IntegrityError):
        async with db.begin() as conn:
            await conn.execute(incidents.insert().values({**row, "id": "inc_other"}))
    async with db.begin() as conn:
        over = {**row, "id": "inc_other", "state": "resolved"}
        assert (await conn.execute(incidents.insert().values(over))).rowcount == 1


async def test_one_incident_may_end_as_another_of_its_alert_reopens(
    client: httpx.AsyncClient, db: Database
) -> None:
    """The end of the first episode parts what fires from it, and an older incident takes that in."""
    sent = [(30, 31), (50, None), (0, None), (35, None), (0, 1)]
    for start, end in sent:
        answer = await client.post("/v1/signals", json=told("f1", start, end))
        assert answer.status_code == 202, answer.text
    async with db.read() as conn:
        rows = (await conn.execute(select(incidents).order_by(incidents.c.opened_at))).all()
    assert [(row.opened_at, row.resolved_at) for row in rows] == [
        (NOON, NOON + minutes(1)),
        (NOON + minutes(30), None),
    ]
