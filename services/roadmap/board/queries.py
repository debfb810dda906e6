"""Reads across the nouns: the roadmap as people look at it, and an objective with its items."""

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap.items import queries as item_queries
from services.roadmap.items.domain import IN_WORK
from services.roadmap.items.queries import ItemView
from services.roadmap.items.store import items
from services.roadmap.objectives import store as objectives
from services.roadmap.objectives.queries import ObjectiveView
from shared.http.fields import View

MOST_OF_A_COLUMN = 200


class RoadmapColumn(View):
    """Items in work, highest score first. `total` counts those that don't fit, too."""

    name: str
    total: int
    items: list[ItemView]


class RoadmapBoard(View):
    """What is in work, by horizon and by quarter, and what shipped last."""

    horizons: list[RoadmapColumn]
    quarters: list[RoadmapColumn]
    delivered: RoadmapColumn


class ObjectiveDetail(ObjectiveView):
    """An objective with the items that serve it, and how many are in each state."""

    items: list[ItemView]
    items_by_state: dict[str, int]


async def board(conn: AsyncConnection, *, product: str | None) -> RoadmapBoard:
    """The roadmap, of one product or of all."""
    work = select(items).where(items.c.state.in_(IN_WORK))
    shipped = select(items).where(items.c.delivered_at.is_not(None))
    if product is not None:
        work = work.where(items.c.product == product)
        shipped = shipped.where(items.c.product == product)
    heaviest = work.order_by(items.c.block.desc(), items.c.score.desc(), items.c.item_id)
    horizons = [
        await _column(conn, name, heaviest.where(items.c.horizon == name))
        for name in ("now", "next", "later")
    ]
    quarters = await conn.execute(
        work.with_only_columns(items.c.quarter)
        .where(items.c.quarter.is_not(None))
        .distinct()
        .order_by(items.c.quarter)
        .limit(40)
    )
    return RoadmapBoard(
        horizons=horizons,
        quarters=[
            await _column(conn, name, heaviest.where(items.c.quarter == name))
            for name in quarters.scalars().all()
        ],
        delivered=await _column(
            conn, "delivered", shipped.order_by(items.c.delivered_at.desc(), items.c.item_id)
        ),
    )


async def objective(conn: AsyncConnection, objective_id: str) -> ObjectiveDetail:
    """The objective and what is done about it. Raises ObjectiveUnknown."""
    found = await objectives.load(conn, objective_id)
    serving = select(items).where(items.c.objective_id == objective_id)
    newest = serving.order_by(items.c.planned_at.desc(), items.c.item_id).limit(MOST_OF_A_COLUMN)
    counted = (
        select(items.c.state, func.count())
        .where(items.c.objective_id == objective_id)
        .group_by(items.c.state)
    )
    return ObjectiveDetail(
        **ObjectiveView.model_validate(found).model_dump(),
        items=[item_queries.view(row) for row in await conn.execute(newest)],
        items_by_state={row[0]: row[1] for row in await conn.execute(counted)},
    )


async def _column(
    conn: AsyncConnection, name: str, query: Select[tuple[object, ...]]
) -> RoadmapColumn:
    total = select(func.count()).select_from(query.order_by(None).subquery())
    rows = await conn.execute(query.limit(MOST_OF_A_COLUMN))
    return RoadmapColumn(
        name=name,
        total=(await conn.execute(total)).scalar_one(),
        items=[item_queries.view(row) for row in rows],
    )
