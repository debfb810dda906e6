"""HTTP of feedback."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.feedback import commands, queries
from services.feedback.feedback.domain import GiveFeedback, Kind
from services.feedback.feedback.queries import Asked, FeedbackView
from shared.context import Context
from shared.http import command
from shared.http.context import Db, IdempotencyKey, IfMatch, needs
from shared.http.fields import Amount, Body, Happened, Name, Prose
from shared.http.pages import Cursor, Limit, Page

router = APIRouter(tags=["feedback"])

Reader = Annotated[Context, needs("feedback:read")]
Writer = Annotated[Context, needs("feedback:write")]
FeedbackId = Annotated[str, Path(min_length=1, max_length=100, pattern=r"^[^\x00]+$")]
Filter = Annotated[str | None, Query(max_length=200)]


class FeedbackBody(Body):
    """Something that was said. `customer` is the account, `author` the person; `happened_at` is when
    it was said, now if left out."""

    text: Annotated[Prose, Field(min_length=1)]
    kind: Kind
    author: Name
    segment: Name | None = None
    customer: Name | None = None
    product: Name | None = None
    service: Name | None = None
    theme_id: Name | None = None
    revenue_at_risk: Amount | None = None
    happened_at: Happened | None = None


class FeedbackVoteBody(Body):
    """Who votes."""

    voter: Name


class FeedbackLinkBody(Body):
    """The theme that this is about; null takes it from its theme."""

    theme_id: Name | None


@router.post("/v1/feedback", response_model=FeedbackView, status_code=201, summary="Give feedback")
async def give_feedback(
    request: Request, body: FeedbackBody, ctx: Writer, key: IdempotencyKey = None
) -> Response:
    wanted = GiveFeedback(
        **body.model_dump(exclude={"happened_at"}), happened_at=body.happened_at or ctx.now
    )

    async def work(conn: AsyncConnection) -> FeedbackView:
        said = await commands.receive(conn, wanted, ctx)
        return await queries.one(conn, said.id)

    return await command.run(request, ctx, work, _same, body=body, key=key, status=201)


@router.get("/v1/feedback", summary="List feedback, newest first")
async def list_feedback(
    ctx: Reader,
    db: Db,
    theme_id: Filter = None,
    kind: Kind | None = None,
    product: Filter = None,
    author: Filter = None,
    voter: Annotated[str | None, Query(max_length=200, description="who voted for it")] = None,
    q: Annotated[str | None, Query(max_length=200, description="part of the text")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[FeedbackView]:
    asked = Asked(theme_id, kind, product, author, voter, q)
    async with db.read() as conn:
        return await queries.list_feedback(conn, asked, limit=limit, cursor=cursor)


@router.get("/v1/feedback/{feedback_id}", summary="Read feedback, and what became of it")
async def read_feedback(
    feedback_id: FeedbackId, ctx: Reader, db: Db, response: Response
) -> FeedbackView:
    async with db.read() as conn:
        found = await queries.one(conn, feedback_id)
    response.headers["ETag"] = f'"{found.version}"'
    return found


@router.post(
    "/v1/feedback/{feedback_id}/votes",
    response_model=FeedbackView,
    summary="Vote for feedback; a second vote of the same voter changes nothing",
)
async def vote_for_feedback(
    request: Request,
    feedback_id: FeedbackId,
    body: FeedbackVoteBody,
    ctx: Writer,
    key: IdempotencyKey = None,
) -> Response:
    async def work(conn: AsyncConnection) -> FeedbackView:
        said = await commands.vote(conn, feedback_id, body.voter, ctx)
        return await queries.one(conn, said.id)

    return await command.run(request, ctx, work, _same, body=body, key=key)


@router.post(
    "/v1/feedback/{feedback_id}/link",
    response_model=FeedbackView,
    summary="Link feedback to a theme, or take it from its theme",
)
async def link_feedback(
    request: Request,
    feedback_id: FeedbackId,
    body: FeedbackLinkBody,
    ctx: Writer,
    if_match: IfMatch,
    key: IdempotencyKey = None,
) -> Response:
    async def work(conn: AsyncConnection) -> FeedbackView:
        said = await commands.link(conn, feedback_id, body.theme_id, ctx, expected=if_match)
        return await queries.one(conn, said.id)

    return await command.run(request, ctx, work, _same, body=body, key=key)


def _same(view: FeedbackView) -> FeedbackView:
    return view
