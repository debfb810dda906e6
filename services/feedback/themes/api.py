"""HTTP of themes."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from services.feedback.themes import commands, queries
from services.feedback.themes.queries import (
    EscalationView,
    EvidenceView,
    ThemeDetailView,
    ThemesSummary,
    ThemeView,
    view,
)
from shared.context import Context
from shared.http import command
from shared.http.context import Db, IdempotencyKey, IfMatch, needs
from shared.http.fields import Body, Line
from shared.http.pages import Cursor, Limit, Page

router = APIRouter(tags=["themes"])

Reader = Annotated[Context, needs("feedback:read")]
Writer = Annotated[Context, needs("feedback:write")]
ThemeId = Annotated[str, Path(min_length=1, max_length=100, pattern=r"^[^\x00]+$")]
Filter = Annotated[str | None, Query(max_length=200)]


class ThemeMergeBody(Body):
    """What to merge a theme into, and why."""

    into: Annotated[Line, Field(description="id of the theme that stays")]
    reason: Line


class ThemeSplitBody(Body):
    """Which evidence becomes a theme of its own, what it is called, and why."""

    evidence_ids: Annotated[list[Line], Field(min_length=1, max_length=5000)]
    title: Line
    reason: Line


@router.get("/v1/themes", summary="List themes, those with the newest evidence first")
async def list_themes(
    ctx: Reader,
    db: Db,
    product: Filter = None,
    service: Filter = None,
    state: Literal["quiet", "escalated", "merged"] | None = None,
    q: Annotated[str | None, Query(max_length=200, description="part of the title")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ThemeView]:
    async with db.look() as conn:
        return await queries.list_themes(
            conn, product=product, service=service, state=state, q=q, limit=limit, cursor=cursor
        )


@router.get("/v1/themes/summary", summary="Count themes and evidence")
async def summarize_themes(ctx: Reader, db: Db, product: Filter = None) -> ThemesSummary:
    async with db.read() as conn:
        return await queries.summary(conn, product)


@router.get("/v1/themes/{theme_id}", summary="Read a theme, with its numbers and reasons")
async def read_theme(theme_id: ThemeId, ctx: Reader, db: Db, response: Response) -> ThemeDetailView:
    async with db.read() as conn:
        found = await queries.detail(conn, theme_id)
    response.headers["ETag"] = f'"{found.version}"'
    return found


@router.get("/v1/themes/{theme_id}/evidence", summary="List a theme's evidence, newest first")
async def list_evidence(
    theme_id: ThemeId,
    ctx: Reader,
    db: Db,
    kind: Annotated[str | None, Query(max_length=50)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[EvidenceView]:
    async with db.read() as conn:
        return await queries.list_evidence(conn, theme_id, kind=kind, limit=limit, cursor=cursor)


@router.get("/v1/themes/{theme_id}/escalations", summary="List when a theme rose, and why")
async def list_escalations(
    theme_id: ThemeId, ctx: Reader, db: Db, limit: Limit = 50, cursor: Cursor = None
) -> Page[EscalationView]:
    async with db.read() as conn:
        return await queries.list_escalations(conn, theme_id, limit=limit, cursor=cursor)


@router.post(
    "/v1/themes/{theme_id}/merge",
    response_model=ThemeView,
    summary="Merge a theme into another; answers with the other",
)
async def merge_theme(
    request: Request,
    theme_id: ThemeId,
    body: ThemeMergeBody,
    ctx: Writer,
    if_match: IfMatch,
    key: IdempotencyKey = None,
) -> Response:
    """Evidence and keys follow, and the candidate too; what comes in later belongs to the target."""
    return await command.run(
        request,
        ctx,
        lambda conn: commands.merge(conn, theme_id, body.into, body.reason, ctx, expected=if_match),
        view,
        body=body,
        key=key,
    )


@router.post(
    "/v1/themes/{theme_id}/split",
    response_model=ThemeView,
    status_code=201,
    summary="Make a theme of part of another's evidence; answers with the new one",
)
async def split_theme(
    request: Request,
    theme_id: ThemeId,
    body: ThemeSplitBody,
    ctx: Writer,
    if_match: IfMatch,
    key: IdempotencyKey = None,
) -> Response:
    """What comes in later belongs to the old theme still: a split sorts the past."""
    return await command.run(
        request,
        ctx,
        lambda conn: commands.split(
            conn, theme_id, body.evidence_ids, body.title, body.reason, ctx, expected=if_match
        ),
        view,
        body=body,
        key=key,
        status=201,
    )
