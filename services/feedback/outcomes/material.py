"""Gathers what a verdict looks at: when the delivered themes hurt, and their neighbours meanwhile."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.evidence.store import evidence
from services.feedback.items.store import item_themes, items
from services.feedback.outcomes.domain import Outcome
from services.feedback.themes import store
from services.feedback.themes.store import themes

WELL_COUNTED = 2
"""The product's own untreated themes will do when they hurt this many times as often before."""

MOST_SIBLINGS = 50
"""Siblings looked at, the most recently hurt first: each one weakens the test for all of them."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """Event times, each list in order. `untreated_themes`: whose those of the untreated are;
    `of_product`: they are of the item's product only."""

    treated: Sequence[datetime]
    untreated: Sequence[datetime]
    siblings: Mapping[str, Sequence[datetime]]
    untreated_themes: int
    of_product: bool


async def gather(conn: AsyncConnection, outcome: Outcome) -> Gathered:
    """What bears on this outcome, as far as it is known by now; by event time alone.

    Untreated are the other themes of the product for which nothing was delivered in the time
    watched, without the siblings, which are those of the same services. Where they are too few to
    be counted better than what they are held against, the other products' themes join them: a
    noisy yardstick would hide every effect.
    """
    live = await store.live_ids(conn, outcome.theme_ids)
    treated = sorted(set(live.values()))
    services = select(themes.c.service).where(themes.c.id.in_(treated))
    beside = _others(outcome, treated)
    near = and_(themes.c.product == outcome.product, themes.c.service.in_(services))
    siblings = await conn.execute(
        select(themes.c.id)
        .where(*beside, near)
        .order_by(themes.c.last_at.desc(), themes.c.id)
        .limit(MOST_SIBLINGS)
    )
    names = list(siblings.scalars())
    treated_times = _flat(await _times(conn, outcome, evidence.c.theme_id.in_(treated)))
    own = select(themes.c.id).where(*beside, themes.c.product == outcome.product, ~near)
    everybody = select(themes.c.id).where(*beside, ~near)
    untreated = await _times(conn, outcome, evidence.c.theme_id.in_(own))
    before = partial(_before, moment=outcome.delivered_at)
    enough = max(1, WELL_COUNTED * before(treated_times))
    of_product = before(_flat(untreated)) >= enough
    if not of_product:
        untreated = await _times(conn, outcome, evidence.c.theme_id.in_(everybody))
    first = await _first(conn, treated)
    return Gathered(
        # The first one of all tells how far back the theme's own past reaches.
        treated=([first] if first and first <= outcome.watch_from else []) + treated_times,
        untreated=_flat(untreated),
        siblings=await _times(conn, outcome, evidence.c.theme_id.in_(names)),
        untreated_themes=len(untreated),
        of_product=of_product,
    )


def _before(times: Sequence[datetime], moment: datetime) -> int:
    return sum(at <= moment for at in times)


def _others(outcome: Outcome, treated: Sequence[str]) -> tuple[ColumnElement[bool], ...]:
    """Live themes beside the treated ones, for which nothing was delivered in the time watched."""
    delivered = (
        select(item_themes.c.theme_id)
        .join(items, items.c.item_id == item_themes.c.item_id)
        .where(items.c.delivered_at.between(outcome.watch_from, outcome.watch_until))
    )
    return (
        themes.c.state != "merged",
        themes.c.id.not_in(treated),
        themes.c.id.not_in(delivered),
    )


async def _times(
    conn: AsyncConnection, outcome: Outcome, which: ColumnElement[bool]
) -> dict[str, list[datetime]]:
    query = (
        select(evidence.c.theme_id, evidence.c.at)
        .where(which, evidence.c.kind == "incident")
        .where(evidence.c.at.between(outcome.watch_from, outcome.watch_until))
        .order_by(evidence.c.at, evidence.c.source_id)
    )
    found: dict[str, list[datetime]] = {}
    for row in await conn.execute(query):
        found.setdefault(row.theme_id, []).append(row.at)
    return found


async def _first(conn: AsyncConnection, theme_ids: Sequence[str]) -> datetime | None:
    query = select(func.min(evidence.c.at)).where(
        evidence.c.theme_id.in_(theme_ids), evidence.c.kind == "incident"
    )
    return (await conn.execute(query)).scalar_one()


def _flat(times: Mapping[str, Sequence[datetime]]) -> list[datetime]:
    return sorted(at for some in times.values() for at in some)
