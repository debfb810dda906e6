"""HTTP of objectives. One with its items is read through the board."""

from typing import Annotated, Self

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import model_validator

from services.roadmap.objectives import commands, queries
from services.roadmap.objectives.domain import Objective, ObjectiveState
from services.roadmap.objectives.queries import ObjectiveView
from shared.context import Context
from shared.http import command
from shared.http.context import Db, IdempotencyKey, IfMatch, needs
from shared.http.fields import Body, Happened, Line, Name
from shared.http.pages import Cursor, Limit, Page
from shared.ids import new_id

router = APIRouter(tags=["objectives"])

Reader = Annotated[Context, needs("roadmap:read")]
Writer = Annotated[Context, needs("roadmap:write")]
ObjectiveId = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]


class ObjectiveBody(Body):
    """A new objective. `target` says in words when it is reached."""

    title: Line
    product: Name | None = None
    target: Line | None = None
    at: Happened | None = None


class ObjectiveChange(Body):
    """What to change; what is left out stays, and null clears `product` and `target`."""

    title: Line | None = None
    product: Name | None = None
    target: Line | None = None
    state: ObjectiveState | None = None

    @model_validator(mode="after")
    def _never_empty(self) -> Self:
        for name in ("title", "state"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} can't be empty: leave it out to keep it")
        return self


@router.post(
    "/v1/objectives", status_code=201, response_model=ObjectiveView, summary="Set an objective"
)
async def set_objective(
    request: Request, body: ObjectiveBody, ctx: Writer, key: IdempotencyKey = None
) -> Response:
    objective = Objective(
        objective_id=new_id("obj"),
        title=body.title,
        product=body.product,
        target=body.target,
        state="active",
        set_at=body.at or ctx.now,
        correlation_id=ctx.correlation_id,
    )
    return await command.run(
        request,
        ctx,
        lambda conn: commands.set_objective(conn, objective, ctx),
        ObjectiveView.model_validate,
        body=body,
        key=key,
        status=201,
    )


@router.patch(
    "/v1/objectives/{objective_id}", response_model=ObjectiveView, summary="Change an objective"
)
async def change_objective(
    request: Request,
    objective_id: ObjectiveId,
    body: ObjectiveChange,
    ctx: Writer,
    if_match: IfMatch,
) -> Response:
    changes = body.model_dump(exclude_unset=True)
    return await command.run(
        request,
        ctx,
        lambda conn: commands.change_objective(conn, objective_id, changes, ctx, expected=if_match),
        ObjectiveView.model_validate,
    )


@router.get("/v1/objectives", summary="List objectives")
async def list_objectives(
    ctx: Reader,
    db: Db,
    product: Annotated[str | None, Query(max_length=200)] = None,
    state: ObjectiveState | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ObjectiveView]:
    async with db.look() as conn:
        return await queries.list_objectives(
            conn, product=product, state=state, limit=limit, cursor=cursor
        )
