"""What feedback and roadmap have stored, by what things are called: without ids, versions and whatever
says when or how often something was heard."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, Table, select

from services.feedback.detection.store import escalations
from services.feedback.evidence.store import current_horizon, evidence
from services.feedback.outcomes.store import outcomes
from services.feedback.themes.store import themes
from services.roadmap.candidates.store import candidates
from services.roadmap.items.store import items
from services.roadmap.themes.store import themes as themes_heard_of
from shared.database import Database
from tests.equality.plain import plain

Rows = list[Row[Any]]


async def stored(feedback: Database, roadmap: Database) -> dict[str, Any]:
    """All that two worlds must agree on."""
    async with feedback.read() as conn:
        as_of = await current_horizon(conn)
    names = _names(await _all(feedback, themes))
    return plain(
        {
            "as_of": as_of,
            "themes": await _themes(feedback, names),
            "outcomes": await _outcomes(feedback, names),
            "candidates": await _candidates(roadmap, names),
            "items": await _items(roadmap, names),
            "told": await _told(roadmap, names),
        },
        names,
    )


async def _all(db: Database, table: Table) -> Rows:
    async with db.read() as conn:
        return list((await conn.execute(select(table))).all())


def _names(rows: Rows) -> dict[str, str]:
    """What every theme is called, also one that was merged: as what it is part of."""
    called = {row.id: f"{row.service}/{row.template}".casefold() for row in rows}
    return {row.id: called[row.merged_into or row.id] for row in rows}


async def _themes(db: Database, names: dict[str, str]) -> dict[str, Any]:
    ledgers: dict[str, dict[str, Any]] = {}
    for row in await _all(db, evidence):
        ledgers.setdefault(row.theme_id, {})[row.source_id] = _without(row, "id", "theme_id")
    rises: dict[str, list[Any]] = {}
    for row in await _all(db, escalations):
        rises.setdefault(row.theme_id, []).append(_without(row, "theme_id"))
    said = ("title", "state", "rose_at", "first_at", "last_at", "dismissed_at", "review_at")
    return {
        names[row.id]: {
            **{name: getattr(row, name) for name in said},
            "ledger": ledgers[row.id],
            "rises": sorted(rises.get(row.id, []), key=lambda one: str(one["rose_at"])),
        }
        for row in await _all(db, themes)
        if row.state != "merged" and row.id in ledgers
    }


async def _outcomes(db: Database, names: dict[str, str]) -> list[Any]:
    rows = await _all(db, outcomes)
    found = [_without(row, "id", "item_id", "version", "due_at") for row in rows]
    return sorted(found, key=lambda one: (str(one["delivered_at"]), str(one["title"])))


async def _candidates(db: Database, names: dict[str, str]) -> list[Any]:
    """Those that are or were decided about; what was raised in error, and what the services merged
    because a theme moved, is as if it had never been."""
    found: list[dict[str, Any]] = []
    for row in await _all(db, candidates):
        by_service = (row.decided_by or "").startswith("service:")
        if row.state == "withdrawn" or (row.state == "merged" and by_service):
            continue
        measured = any(reason["detector"] == "outcome" for reason in row.reasons)
        found.append(
            {
                "theme": names[row.theme_id],
                "state": row.state,
                "title": row.title,
                "product": row.product,
                "service": row.service,
                # When an outcome was found bad depends on when one looked.
                "raised_at": None if measured else row.raised_at,
                "returned": row.previous_id is not None,
                "reasons": row.reasons,
                "quiet_since": row.quiet_since,
                "method": row.scored["method"],
                "score": row.score,
                "parts": [{**part, "text": ""} for part in row.scored["parts"]],
                "evidence": _numbers(row.evidence),
                "confirmed": row.confirmed,
                "decision": row.decision,
                "decided_at": row.decided_at,
            }
        )
    return sorted(found, key=lambda one: (one["theme"], str(one["decided_at"]), one["state"]))


async def _items(db: Database, names: dict[str, str]) -> list[Any]:
    said = ("title", "state", "horizon", "delivered_at", "verdict", "expected_reduction", "score")
    found = [{name: getattr(row, name) for name in said} for row in await _all(db, items)]
    return sorted(found, key=lambda one: (one["title"], str(one["delivered_at"])))


async def _told(db: Database, names: dict[str, str]) -> dict[str, Any]:
    """What the roadmap was told last of each theme that it deals with."""
    dealt_with = {row.theme_id for row in await _all(db, candidates) if row.state != "withdrawn"}
    return {
        names[row.theme_id]: [row.state, row.rises, _numbers(row.evidence)]
        for row in await _all(db, themes_heard_of)
        if row.state != "merged" and row.theme_id in dealt_with
    }


def _numbers(evidence: dict[str, Any] | None) -> dict[str, Any]:
    """Without what only says as of when they are: equal numbers are not told again."""
    if evidence is None:
        return {}
    left_out = {"as_of"} if evidence["opened_14d"] else {"as_of", "earlier_days"}
    return {name: value for name, value in evidence.items() if name not in left_out}


def _without(row: Row[Any], *names: str) -> dict[str, Any]:
    values: dict[str, datetime | Any] = dict(row._mapping)
    return {name: value for name, value in values.items() if name not in names}
