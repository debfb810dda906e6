"""HTTP of items: reading, planning and editing them."""

from typing import Annotated, Self

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field, model_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap.items import commands, queries
from services.roadmap.items.commands import Wanted
from services.roadmap.items.fields import Duration, Effort, Quarter
from services.roadmap.items.queries import ItemDetail, ItemEntry, ItemSort, ItemsSummary, ItemView
from shared.context import Context
from shared.contracts.roadmap import Horizon, ItemState
from shared.http import command
from shared.http.context import Db, IdempotencyKey, IfMatch, needs
from shared.http.fields import Body, Happened, Line, Name
from shared.http.pages import Cursor, Limit, Page
from shared.ids import new_id

router = APIRouter(tags=["items"])

Reader = Annotated[Context, needs("roadmap:read")]
Writer = Annotated[Context, needs("roadmap:write")]
ItemId = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
Themes = Annotated[list[Name], Field(max_length=100)]


class ItemBody(Body):
    """A new item. Candidates come in by being accepted; themes without one may be named here."""

    title: Line
    product: Name
    horizon: Horizon = "next"
    quarter: Quarter | None = None
    theme_ids: Themes = []
    objective_id: Name | None = None
    owner: Name | None = None
    effort_person_months: Effort | None = None
    duration_weeks: Duration | None = None
    at: Happened | None = None


class ItemChange(Body):
    """What to change; what is left out stays, and null clears what may be empty."""

    title: Line | None = None
    horizon: Horizon | None = None
    quarter: Quarter | None = None
    objective_id: Name | None = None
    owner: Name | None = None
    effort_person_months: Effort | None = None
    duration_weeks: Duration | None = None
    add_theme_ids: Themes = []
    at: Happened | None = None

    @model_validator(mode="after")
    def _never_empty(self) -> Self:
        for name in ("title", "horizon"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} can't be empty: leave it out to keep it")
        return self


@router.post(
    "/v1/items", status_code=201, response_model=ItemDetail, summary="Plan an item by hand"
)
async def plan_item(
    request: Request, body: ItemBody, ctx: Writer, key: IdempotencyKey = None
) -> Response:
    async def work(conn: AsyncConnection) -> ItemDetail:
        wanted = Wanted(
            item_id=new_id("itm"),
            title=body.title,
            product=body.product,
            at=body.at or ctx.now,
            horizon=body.horizon,
            quarter=body.quarter,
            theme_ids=tuple(body.theme_ids),
            objective_id=body.objective_id,
            owner=body.owner,
            effort_person_months=body.effort_person_months,
            duration_weeks=body.duration_weeks,
        )
        planned = await commands.plan(conn, wanted, ctx)
        return await queries.item(conn, planned.item_id)

    return await command.run(
        request, ctx, work, lambda shown: shown, body=body, key=key, status=201
    )


@router.patch("/v1/items/{item_id}", response_model=ItemDetail, summary="Change an item's plan")
async def change_item(
    request: Request, item_id: ItemId, body: ItemChange, ctx: Writer, if_match: IfMatch
) -> Response:
    changes = body.model_dump(exclude_unset=True, exclude={"at"})

    async def work(conn: AsyncConnection) -> ItemDetail:
        at = body.at or ctx.now
        await commands.change(conn, item_id, changes, at, ctx, expected=if_match)
        return await queries.item(conn, item_id)

    return await command.run(request, ctx, work, lambda shown: shown)


@router.get("/v1/items", summary="List items")
async def list_items(
    ctx: Reader,
    db: Db,
    state: ItemState | None = None,
    horizon: Horizon | None = None,
    quarter: Annotated[Quarter | None, Query()] = None,
    product: Annotated[str | None, Query(max_length=200)] = None,
    objective_id: Annotated[str | None, Query(max_length=200)] = None,
    sort: Annotated[ItemSort, Query(description="planned last or highest score first")] = "planned",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ItemView]:
    async with db.look() as conn:
        return await queries.list_items(
            conn,
            state=state,
            horizon=horizon,
            quarter=quarter,
            product=product,
            objective_id=objective_id,
            sort=sort,
            limit=limit,
            cursor=cursor,
        )


@router.get("/v1/items/summary", summary="Count items")
async def summarize_items(ctx: Reader, db: Db) -> ItemsSummary:
    async with db.read() as conn:
        return await queries.summary(conn)


@router.get("/v1/items/{item_id}", summary="Read an item, what it shall achieve and what it did")
async def read_item(item_id: ItemId, ctx: Reader, db: Db, response: Response) -> ItemDetail:
    async with db.read() as conn:
        found = await queries.item(conn, item_id)
    response.headers["ETag"] = f'"{found.version}"'
    return found


@router.get("/v1/items/{item_id}/history", summary="Read what happened to an item")
async def read_item_history(
    item_id: ItemId, ctx: Reader, db: Db, limit: Limit = 50, cursor: Cursor = None
) -> Page[ItemEntry]:
    async with db.read() as conn:
        return await queries.history(conn, item_id, limit=limit, cursor=cursor)
