"""HTTP of an item's way: commit, start, deliver, cancel."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap.items import commands, queries
from services.roadmap.items.api import ItemId, Writer
from services.roadmap.items.domain import CancelItem, CommitItem, DeliverItem, Item, StartItem
from services.roadmap.items.fields import Reduction
from services.roadmap.items.queries import ItemDetail
from shared.context import Context
from shared.http import command
from shared.http.context import IdempotencyKey, IfMatch
from shared.http.fields import Body, Happened, Line, Name

router = APIRouter(tags=["items"])

Act = Callable[[AsyncConnection], Awaitable[Item]]


class ItemCommitment(Body):
    """The success criterion. It must be stated, and can't change afterwards."""

    expected_reduction: Reduction
    at: Happened | None = None


class ItemStart(Body):
    at: Happened | None = None


class ItemDelivery(Body):
    """When it shipped, by its own time (now when left out): the outcome is measured from there.

    `expected_reduction` is for an item that was never committed to; 0.5 is assumed when left out.
    """

    at: Happened | None = None
    release: Name | None = None
    expected_reduction: Reduction | None = None


class ItemCancellation(Body):
    reason: Line
    at: Happened | None = None


@router.post(
    "/v1/items/{item_id}/commit",
    response_model=ItemDetail,
    summary="Commit to an item and its success criterion",
)
async def commit_item(
    request: Request,
    item_id: ItemId,
    body: ItemCommitment,
    ctx: Writer,
    if_match: IfMatch,
    key: IdempotencyKey = None,
) -> Response:
    wanted = CommitItem(body.expected_reduction, body.at or ctx.now)

    def act(conn: AsyncConnection) -> Awaitable[Item]:
        return commands.commit(conn, item_id, wanted, ctx, expected=if_match)

    return await _answer(request, ctx, act, body, key)


@router.post("/v1/items/{item_id}/start", response_model=ItemDetail, summary="Start work")
async def start_item(
    request: Request,
    item_id: ItemId,
    ctx: Writer,
    if_match: IfMatch,
    body: ItemStart | None = None,
    key: IdempotencyKey = None,
) -> Response:
    wanted = StartItem((body and body.at) or ctx.now)

    def act(conn: AsyncConnection) -> Awaitable[Item]:
        return commands.handle(conn, item_id, wanted, ctx, expected=if_match)

    return await _answer(request, ctx, act, body, key)


@router.post(
    "/v1/items/{item_id}/deliver", response_model=ItemDetail, summary="Note that an item shipped"
)
async def deliver_item(
    request: Request,
    item_id: ItemId,
    ctx: Writer,
    if_match: IfMatch,
    body: ItemDelivery | None = None,
    key: IdempotencyKey = None,
) -> Response:
    said = body or ItemDelivery()
    wanted = DeliverItem(said.at or ctx.now, said.release, said.expected_reduction)

    def act(conn: AsyncConnection) -> Awaitable[Item]:
        return commands.deliver(conn, item_id, wanted, ctx, expected=if_match)

    return await _answer(request, ctx, act, body, key)


@router.post("/v1/items/{item_id}/cancel", response_model=ItemDetail, summary="Cancel an item")
async def cancel_item(
    request: Request,
    item_id: ItemId,
    body: ItemCancellation,
    ctx: Writer,
    if_match: IfMatch,
    key: IdempotencyKey = None,
) -> Response:
    wanted = CancelItem(body.reason, body.at or ctx.now)

    def act(conn: AsyncConnection) -> Awaitable[Item]:
        return commands.handle(conn, item_id, wanted, ctx, expected=if_match)

    return await _answer(request, ctx, act, body, key)


async def _answer(
    request: Request, ctx: Context, act: Act, body: Body | None, key: str | None
) -> Response:
    """Do it, and answer with the item as it is then."""

    async def work(conn: AsyncConnection) -> ItemDetail:
        return await queries.item(conn, (await act(conn)).item_id)

    return await command.run(request, ctx, work, lambda shown: shown, body=body, key=key)
