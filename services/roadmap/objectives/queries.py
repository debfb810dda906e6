"""Reads of objectives, straight from SQL to the answer."""

from datetime import datetime

from pydantic import AliasChoices, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap.objectives.domain import ObjectiveState
from services.roadmap.objectives.store import objectives
from shared.http.fields import View
from shared.http.pages import Page, page_of


class ObjectiveView(View):
    """What the business wants. `product` is null for an objective of the whole business."""

    id: str = Field(validation_alias=AliasChoices("id", "objective_id"))
    title: str
    product: str | None
    target: str | None
    state: ObjectiveState
    set_at: datetime
    version: int


async def list_objectives(
    conn: AsyncConnection,
    *,
    product: str | None,
    state: ObjectiveState | None,
    limit: int,
    cursor: str | None,
) -> Page[ObjectiveView]:
    """Objectives, set last first."""
    query = select(objectives)
    if product is not None:
        query = query.where(objectives.c.product == product)
    if state is not None:
        query = query.where(objectives.c.state == state)
    order = [objectives.c.set_at, objectives.c.objective_id]
    return await page_of(
        conn, query, order, limit=limit, cursor=cursor, view=ObjectiveView.model_validate
    )
