"""An item's rank and its power check, from what its themes went through so far."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap.items import store
from services.roadmap.items.power import dispersion, power
from services.roadmap.scores import store as policies
from services.roadmap.scores.evidence import block_of, score_of
from services.roadmap.themes import store as themes
from shared.contracts.feedback import EvidenceNumbersData

FEWEST_WEEKS, MOST_WEEKS = 4, 8
"""How far an outcome looks back from the delivery."""


async def weigh(conn: AsyncConnection, item_id: str) -> None:
    """Give the item the score of its heaviest theme, by the current policy and its own estimate.

    Not the sum: what attention counts are logarithms, and these don't add up. A person decided on
    the item, so its evidence counts as confirmed. An item without evidence has the score 0.
    """
    item, notes = await store.load(conn, item_id)
    policy = await policies.current(conn)
    ranked = [
        (block_of(scored, policy), scored.value, theme.theme_id, scored)
        for theme in await themes.load_many(conn, item.theme_ids)
        if theme.evidence
        for scored in [
            score_of(
                theme.evidence,
                policy,
                at=theme.at,
                effort_person_months=notes.effort_person_months,
                duration_weeks=notes.duration_weeks,
                confirmed=True,
            )
        ]
    ]
    if not ranked:
        await store.note_score(conn, item_id, block=0, score=0.0, scored=None)
        return
    block, value, theme_id, scored = max(ranked, key=lambda entry: entry[:3])
    shown = {
        "theme_id": theme_id,
        "method": scored.method,
        "unit": scored.unit,
        "parts": [asdict(part) for part in scored.parts],
        "text": scored.text,
    }
    await store.note_score(conn, item_id, block=block, score=value, scored=shown)


async def power_check(
    conn: AsyncConnection, theme_ids: Sequence[str], reduction: float, at: datetime
) -> dict[str, Any]:
    """For how long one must watch until `reduction` would show, from the themes' last weeks.

    It looks back as far as an outcome will: eight weeks, or as long as the themes are known, but
    four at the least.
    """
    known = [theme.evidence for theme in await themes.load_many(conn, theme_ids) if theme.evidence]
    weekly = _weekly(known)[-_weeks_back(known) :]
    count, days = sum(weekly), 7 * len(weekly)
    if not weekly:
        count, days = sum(evidence.opened_28d for evidence in known), 7 * FEWEST_WEEKS
    phi = dispersion(weekly)
    found = power(count, days, reduction, phi)
    return {
        "count_before": count,
        "days_before": days,
        "expected_reduction": reduction,
        "dispersion": phi,
        "weeks": found.weeks,
        "text": found.text,
        "as_of": max((evidence.as_of for evidence in known), default=at).isoformat(),
    }


def _weeks_back(known: Sequence[EvidenceNumbersData]) -> int:
    ages = [e.as_of - e.first_at for e in known if e.first_at is not None]
    weeks = math.ceil(max(ages, default=timedelta()) / timedelta(days=7))
    return min(max(weeks, FEWEST_WEEKS), MOST_WEEKS)


def _weekly(known: Sequence[EvidenceNumbersData]) -> list[int]:
    """The themes' weekly counts, added up; a shorter history counts as nothing before it began."""
    histories = [evidence.weekly_counts for evidence in known]
    longest = max((len(history) for history in histories), default=0)
    padded = [[0] * (longest - len(history)) + history for history in histories]
    return [sum(week) for week in zip(*padded, strict=True)]
