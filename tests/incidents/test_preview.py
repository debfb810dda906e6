"""The preview against what then happens: the same post, looked at first and made afterwards."""

import json
import random
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import httpx
from sqlalchemy import select

from services.incidents.incidents.store import incidents
from services.incidents.settings import IncidentsSettings
from services.incidents.signals.adapters import native
from services.incidents.signals.preview import Outcome, preview
from shared.clock import rfc3339
from shared.context import Context
from shared.database import Database

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=1)
CONTEXT = Context("incidents", "tester", LATER, "req_1")
SPANS = ((0, 5), (12, 14), (60, 90), (95, None), (70, 70), (130, 131))
"""In minutes. Two that are one incident, one that still fires, an end without a start."""


def posts(seed: int) -> list[list[dict[str, Any]]]:
    """Each signal twice, each somewhat early or late, mostly in posts of their own."""
    chance = random.Random(seed)
    told_all = [
        one for span in SPANS for alert in (f"a{seed}", f"b{seed}") for one in told(alert, *span)
    ]
    sent = [dict(one) for one in told_all for _ in range(2)]
    late = {id(one): place + chance.uniform(0, 8) for place, one in enumerate(sent)}
    sent.sort(key=lambda one: late[id(one)])
    grouped: list[list[dict[str, Any]]] = []
    while sent:
        size = chance.choice([1, 1, 1, 2, 3])
        grouped.append(sent[:size])
        sent = sent[size:]
    return grouped


def told(alert: str, start: int, end: int | None) -> list[dict[str, Any]]:
    began = rfc3339(NOON + timedelta(minutes=start))
    firing = {"title": alert, "fingerprint": alert, "starts_at": began}
    if end is None:
        return [firing]
    ended = {"status": "resolved", "ends_at": rfc3339(NOON + timedelta(minutes=end))}
    return [{**firing, **ended}] if start == end else [firing, {**firing, **ended}]


async def states(db: Database) -> dict[str, str]:
    async with db.read() as conn:
        rows = await conn.execute(select(incidents.c.id, incidents.c.state))
        return {row.id: row.state for row in rows}


async def looked_at(db: Database, post: list[dict[str, Any]]) -> list[Outcome]:
    signals = native.parse(json.dumps(post).encode(), LATER)
    async with db.read() as conn:
        return await preview(conn, signals, CONTEXT, IncidentsSettings())


async def test_a_post_does_what_its_preview_said(client: httpx.AsyncClient, db: Database) -> None:
    seen: set[str] = set()
    for post in chain.from_iterable(posts(seed) for seed in range(4)):
        before = await states(db)
        outcomes = await looked_at(db, post)
        assert await states(db) == before
        answer = await client.post("/v1/signals", json=post)
        after = await states(db)
        for outcome, written in zip(outcomes, answer.json()["signals"], strict=True):
            assert (outcome.happens == "repeats") == (written["status"] == "repeat")
            if len(post) == 1:  # what follows in the same post may change it again
                check(outcome, written, before, after)
                seen.add(outcome.happens)
    assert seen == {"opens", "over", "joins", "resolves", "reopens", "repeats"}


def check(
    outcome: Outcome, written: dict[str, str], before: dict[str, str], after: dict[str, str]
) -> None:
    incident_id = written["incident_id"]
    was, now = before.get(incident_id), after[incident_id]
    assert outcome.incident_id == (incident_id if was else None)
    match outcome.happens:
        case "opens":
            assert (was, now) == (None, "open")
        case "over":
            assert (was, now) == (None, "resolved")
        case "joins":
            assert was == now
        case "resolves":
            assert (was, now) == ("open", "resolved")
        case "reopens":
            assert (was, now) == ("resolved", "open")
        case "repeats":
            assert outcome.signal_id == written["id"]
            assert before == after
        case other:
            raise AssertionError(f"a signal does not do this: {other}")


async def test_nothing_said_is_nothing_done(db: Database) -> None:
    assert await looked_at(db, [{"title": "x"}]) != []
    async with db.read() as conn:
        assert await preview(conn, [], CONTEXT, IncidentsSettings()) == []
