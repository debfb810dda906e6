"""HTTP of the catalog."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.catalog import backstage, commands, queries
from services.incidents.catalog.domain import DEFAULT_TIER, RegisterService, Service
from services.incidents.catalog.queries import ServiceView
from services.incidents.incidents.adoption import adopt
from shared.context import Context
from shared.http import command
from shared.http.context import Db, IfMatch, needs
from shared.http.fields import Body, Name, View
from shared.http.pages import Cursor, Limit, Page
from shared.refusals import Invalid

router = APIRouter(tags=["catalog"])

Reader = Annotated[Context, needs("incidents:read")]
Writer = Annotated[Context, needs("incidents:write")]
ServiceName = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]


COMPONENT = "kind: Component\nmetadata: {name: payments}\nspec: {system: shop, owner: team-a}\n"


class ServiceBody(Body):
    """A catalog entry, whole: what is left out takes its default."""

    product: Name
    owner: Name | None = None
    tier: Annotated[int, Field(ge=1, le=4, description="1 is the most vital")] = DEFAULT_TIER
    dependencies: Annotated[list[Name], Field(max_length=200)] = []
    aliases: Annotated[
        list[Name], Field(max_length=50, description="other names that senders use")
    ] = []


class NothingToImport(Invalid):
    """The file is well-formed and names no service."""


class Imported(View):
    """What an import entered or found unchanged."""

    services: list[ServiceView]


@router.put(
    "/v1/catalog/services/{name}",
    response_model=ServiceView,
    summary="Register or replace a service",
)
async def register_service(
    request: Request, name: ServiceName, body: ServiceBody, ctx: Writer, if_match: IfMatch
) -> Response:
    """Incidents that claimed this name, or an alias, before the catalog knew it become its own."""
    wanted = RegisterService(
        name, body.product, body.owner, body.tier, tuple(body.dependencies), tuple(body.aliases)
    )

    async def work(conn: AsyncConnection) -> Service:
        entry = await commands.register(conn, wanted, ctx, expected=if_match)
        await adopt(conn, ctx)
        return entry

    return await command.run(request, ctx, work, ServiceView.model_validate)


@router.post(
    "/v1/catalog/import",
    response_model=Imported,
    summary="Import a Backstage catalog-info.yaml",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/yaml": {"schema": {"type": "string"}, "example": COMPONENT}},
        }
    },
)
async def import_catalog(request: Request, ctx: Writer) -> Response:
    """Every Component of the file becomes a service; all of them, or none when one is invalid."""
    # Half a megabyte of YAML takes seconds to read, for which the others must not wait.
    wanted = await asyncio.to_thread(backstage.parse, await request.body())
    if not wanted:
        raise NothingToImport(
            "The file holds no document of kind Component; send a Backstage catalog-info.yaml."
        )

    async def work(conn: AsyncConnection) -> list[Service]:
        entered = [await commands.register(conn, one, ctx) for one in wanted]
        await adopt(conn, ctx)
        return entered

    return await command.run(
        request,
        ctx,
        work,
        lambda entered: Imported(services=[ServiceView.model_validate(e) for e in entered]),
    )


@router.get("/v1/catalog/services/{name}", summary="Read a service")
async def read_service(name: ServiceName, ctx: Reader, db: Db, response: Response) -> ServiceView:
    async with db.read() as conn:
        found = await queries.service(conn, name)
    response.headers["ETag"] = f'"{found.version}"'
    return found


@router.get("/v1/catalog/services", summary="List services")
async def list_services(
    ctx: Reader,
    db: Db,
    product: Annotated[str | None, Query(max_length=200)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ServiceView]:
    async with db.read() as conn:
        return await queries.list_services(conn, product=product, limit=limit, cursor=cursor)
