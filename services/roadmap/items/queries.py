"""Reads of items, straight from SQL to the answer."""

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap.items.refusals import ItemUnknown
from services.roadmap.items.store import item_candidates, item_log, item_themes, items
from shared.contracts.feedback import Verdict
from shared.contracts.roadmap import Horizon, ItemState
from shared.http.fields import View
from shared.http.pages import Page, page_of, values_of

ItemSort = Literal["planned", "score"]

MOST_LINKED = 1000


class ItemView(View):
    """An item, as a list shows it. `score` is that of its heaviest theme, 0 without evidence."""

    id: str
    title: str
    product: str
    state: ItemState
    horizon: Horizon
    quarter: str | None
    objective_id: str | None
    owner: str | None
    effort_person_months: float | None
    duration_weeks: float | None
    expected_reduction: float | None
    expected_assumed: bool
    release: str | None
    score: float
    planned_at: datetime
    committed_at: datetime | None
    started_at: datetime | None
    delivered_at: datetime | None
    cancelled_at: datetime | None
    cancel_reason: str | None
    verdict: Verdict | None
    version: int


class ItemPower(View):
    """For how long one must watch until the expected reduction would show, from the time before."""

    count_before: int
    days_before: float
    expected_reduction: float
    dispersion: float
    weeks: int | None
    text: str
    as_of: datetime


class ItemOutcome(View):
    """What was measured. Until it is `final` the verdict is only what can be said so far."""

    outcome_id: str
    verdict: Verdict
    final: bool
    at: datetime
    text: str
    numbers: dict[str, float | None]


class ItemRank(View):
    """Where the score comes from: the heaviest theme and its parts."""

    theme_id: str
    method: str
    unit: str
    parts: list[dict[str, Any]]
    text: str


class ItemDetail(ItemView):
    """An item, whole: what was expected of it beside what was observed."""

    theme_ids: list[str]
    candidate_ids: list[str]
    power: ItemPower | None
    rank: ItemRank | None
    outcome: ItemOutcome | None
    observed_reduction: float | None
    """The share of incidents that went away, as measured; negative where there are more."""
    correlation_id: str


class ItemEntry(View):
    """One thing that happened to an item. `noted`: what changed beside the plan."""

    version: int
    kind: str
    at: datetime
    recorded_at: datetime
    actor: str
    data: dict[str, Any]
    noted: dict[str, Any]


class ItemsSummary(View):
    """How many items there are, by what matters."""

    by_state: dict[str, int]
    in_work_by_horizon: dict[str, int]
    delivered_by_verdict: dict[str, int]


async def list_items(
    conn: AsyncConnection,
    *,
    state: ItemState | None,
    horizon: Horizon | None,
    quarter: str | None,
    product: str | None,
    objective_id: str | None,
    sort: ItemSort,
    limit: int,
    cursor: str | None,
) -> Page[ItemView]:
    """Items, planned last or scored highest first."""
    query = select(items)
    for column, value in (
        (items.c.state, state),
        (items.c.horizon, horizon),
        (items.c.quarter, quarter),
        (items.c.product, product),
        (items.c.objective_id, objective_id),
    ):
        if value is not None:
            query = query.where(column == value)
    keys = [items.c.planned_at] if sort == "planned" else [items.c.block, items.c.score]
    order = [*keys, items.c.item_id]
    return await page_of(conn, query, order, limit=limit, cursor=cursor, view=view)


async def item(conn: AsyncConnection, item_id: str) -> ItemDetail:
    """One item with everything that explains it. Raises ItemUnknown."""
    row = (await conn.execute(select(items).where(items.c.item_id == item_id))).one_or_none()
    if row is None:
        raise unknown(item_id)
    themes = select(item_themes.c.theme_id).where(item_themes.c.item_id == item_id)
    linked = select(item_candidates.c.candidate_id).where(item_candidates.c.item_id == item_id)
    dealt_with = (await conn.execute(themes.order_by("theme_id"))).scalars()
    joined = (await conn.execute(linked.order_by("candidate_id").limit(MOST_LINKED))).scalars()
    numbers = (row.outcome or {"numbers": {}})["numbers"]
    more = {
        "theme_ids": list(dealt_with),
        "candidate_ids": list(joined),
        "rank": row.scored,
        "observed_reduction": numbers.get("observed_reduction"),
    }
    return ItemDetail.model_validate(_fields(row) | more)


async def history(
    conn: AsyncConnection, item_id: str, *, limit: int, cursor: str | None
) -> Page[ItemEntry]:
    """Everything that happened to it, newest first. Raises ItemUnknown."""
    known = select(items.c.item_id).where(items.c.item_id == item_id)
    if (await conn.execute(known)).one_or_none() is None:
        raise unknown(item_id)
    query = select(item_log).where(item_log.c.item_id == item_id)
    return await page_of(
        conn,
        query,
        [item_log.c.version],
        limit=limit,
        cursor=cursor,
        view=ItemEntry.model_validate,
    )


async def summary(conn: AsyncConnection) -> ItemsSummary:
    """Counts by state, by horizon of what is in work, and by verdict of what shipped."""
    query = select(
        items.c.state, items.c.horizon, items.c.verdict, func.count().label("n")
    ).group_by(items.c.state, items.c.horizon, items.c.verdict)
    states: dict[str, int] = {}
    horizons: dict[str, int] = {}
    verdicts: dict[str, int] = {}
    for row in await conn.execute(query):
        states[row.state] = states.get(row.state, 0) + row.n
        if row.state in ("planned", "committed", "started"):
            horizons[row.horizon] = horizons.get(row.horizon, 0) + row.n
        elif row.state != "cancelled":
            verdict = row.verdict or "not_assessed"
            verdicts[verdict] = verdicts.get(verdict, 0) + row.n
    return ItemsSummary(by_state=states, in_work_by_horizon=horizons, delivered_by_verdict=verdicts)


def view(row: Row[Any]) -> ItemView:
    return ItemView.model_validate(_fields(row))


def unknown(item_id: str) -> ItemUnknown:
    return ItemUnknown(f"There is no item {item_id!r}; list them with GET /v1/items.")


def _fields(row: Row[Any]) -> dict[str, Any]:
    return values_of(row) | {"id": row.item_id}
