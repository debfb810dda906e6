"""HTTP of the detection policies."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AfterValidator, Field

from services.feedback.detection import commands, queries
from services.feedback.detection.queries import PolicyVersionView, PolicyView, policy_view
from shared.context import Context
from shared.http import command
from shared.http.context import Db, IfMatch, needs
from shared.http.fields import Body, JsonObject
from shared.http.pages import Cursor, Limit, Page

router = APIRouter(tags=["detection"])

Reader = Annotated[Context, needs("feedback:read")]
Writer = Annotated[Context, needs("policies:write")]
Detector = Annotated[str, Path(min_length=1, max_length=50, description="recurrence or demand")]


def _no_nul(text: str | None) -> str | None:
    if text is not None and "\x00" in text:
        raise ValueError("must not contain a NUL character; remove it")
    return text


Product = Annotated[
    str | None,
    Query(min_length=1, max_length=200, description="a product's own policy"),
    AfterValidator(_no_nul),
]


class PolicyBody(Body):
    """A policy, whole: a setting that is left out takes its default."""

    settings: Annotated[JsonObject, Field(max_length=50)]


@router.get("/v1/policies/{detector}", summary="Read a detection policy")
async def read_policy(
    detector: Detector, ctx: Reader, db: Db, response: Response, product: Product = None
) -> PolicyView:
    async with db.read() as conn:
        found = await queries.policy(conn, detector, product)
    response.headers["ETag"] = f'"{found.version}"'
    return found


@router.put(
    "/v1/policies/{detector}",
    response_model=PolicyView,
    summary="Set a detection policy, for all products or for one",
)
async def set_policy(
    request: Request,
    detector: Detector,
    body: PolicyBody,
    ctx: Writer,
    if_match: IfMatch,
    product: Product = None,
) -> Response:
    """Themes are assessed again within a minute: what there is already counts under the new policy."""
    return await command.run(
        request,
        ctx,
        lambda conn: commands.set_policy(
            conn, detector, product, body.settings, ctx, expected=if_match
        ),
        policy_view,
    )


@router.get("/v1/policies/{detector}/versions", summary="List what a detection policy was")
async def list_policy_versions(
    detector: Detector,
    ctx: Reader,
    db: Db,
    product: Product = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[PolicyVersionView]:
    async with db.read() as conn:
        return await queries.policy_versions(conn, detector, product, limit=limit, cursor=cursor)
