"""HTTP of mappings: put them, read them, and try them on a body without storing anything."""

import asyncio
import json
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Request, Response
from pydantic import Field

from services.incidents.mappings import commands, queries
from services.incidents.mappings.current import Mappings
from services.incidents.mappings.document import MappingDocument
from services.incidents.mappings.mapping import SenderMapping, mapping_of
from services.incidents.mappings.queries import MappingView
from services.incidents.signals.adapters import generic
from services.incidents.signals.preview import Happens, Outcome, preview
from services.incidents.signals.signal import BadBody, Said
from services.incidents.signals.silencing import by_silences
from shared.context import Context
from shared.database import Database
from shared.http import command
from shared.http.context import Db, IfMatch, needs
from shared.http.fields import Body, JsonObject, View
from shared.http.pages import Cursor, Limit, Page
from shared.http.problems import FieldProblem

router = APIRouter(tags=["mappings"])

Reader = Annotated[Context, needs("incidents:read")]
Writer = Annotated[Context, needs("policies:write")]
MappingName = Annotated[
    str,
    Path(
        max_length=56,
        pattern=r"^[a-z0-9][a-z0-9_.-]*$",
        description="a-z, 0-9, dot, dash, underscore; its signals' source is `generic.` and this",
    ),
]
AnyJson = Annotated[Any, Field(description="what the sender posts, as JSON")]
Source = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$",
        description="what the sender's key gives as source; left out: `generic.` and the name",
    ),
]
UNSAVED = "tried"
"""The name of a mapping that needs not be stored."""


class TriedBody(Body):
    """A body to try a stored mapping on."""

    body: AnyJson
    source: Source | None = None


class TriedMapping(TriedBody):
    """A mapping that needs not be stored, and a body to try it on."""

    mapping: MappingDocument


class TriedSignal(View):
    """One signal or acknowledgement that the body would be, and what it would do."""

    signal: JsonObject
    happens: Happens
    says: str
    incident_id: str | None
    signal_id: str | None


class Tried(View):
    """What a post of this body would be. With errors nothing of it would be kept."""

    signals: list[TriedSignal]
    errors: list[FieldProblem]


@router.put(
    "/v1/mappings/{name}", response_model=MappingView, summary="Put or replace a sender's mapping"
)
async def put_mapping(
    request: Request, name: MappingName, body: MappingDocument, ctx: Writer, if_match: IfMatch
) -> Response:
    """Says how the bodies of a sender without an adapter become signals. Holds within two seconds."""
    answer = await command.run(
        request,
        ctx,
        lambda conn: commands.put(conn, name, body, ctx, expected=if_match),
        MappingView.model_validate,
    )
    mappings: Mappings = request.app.state.mappings
    mappings.forget()
    return answer


@router.get("/v1/mappings", summary="List mappings")
async def list_mappings(
    ctx: Reader, db: Db, limit: Limit = 50, cursor: Cursor = None
) -> Page[MappingView]:
    async with db.read() as conn:
        return await queries.list_mappings(conn, limit=limit, cursor=cursor)


@router.get("/v1/mappings/{name}", summary="Read a mapping")
async def read_mapping(name: MappingName, ctx: Reader, db: Db, response: Response) -> MappingView:
    async with db.read() as conn:
        found = await queries.mapping(conn, name)
    response.headers["ETag"] = f'"{found.version}"'
    return found


@router.post("/v1/mappings/try", summary="Try a mapping on a body; nothing is stored")
async def try_mapping(request: Request, body: TriedMapping, ctx: Reader, db: Db) -> Tried:
    return await _tried(request, mapping_of(UNSAVED, 0, body.mapping), body, ctx, db)


@router.post("/v1/mappings/{name}/try", summary="Try a stored mapping on a body; nothing is stored")
async def try_stored_mapping(
    request: Request, name: MappingName, body: TriedBody, ctx: Reader, db: Db
) -> Tried:
    async with db.read() as conn:
        stored = await queries.mapping(conn, name)
    document = MappingDocument.model_validate(stored.document)
    return await _tried(request, mapping_of(name, stored.version, document), body, ctx, db)


async def _tried(
    request: Request, mapping: SenderMapping, tried: TriedBody, ctx: Context, db: Database
) -> Tried:
    try:
        # The largest body with the widest mapping takes a while, for which the others must not wait.
        said = await asyncio.to_thread(
            lambda: generic.parse(json.dumps(tried.body).encode(), ctx.now, mapping)
        )
    except BadBody as error:
        errors = [FieldProblem(field=one.field, message=one.message) for one in error.errors]
        return Tried(signals=[], errors=errors)
    if tried.source is not None:
        said = [msgspec.structs.replace(one, source=tried.source) for one in said]
    state = request.app.state
    is_silenced = by_silences(await state.silences.load())
    async with db.read() as conn:
        outcomes = await preview(conn, said, ctx, state.settings, is_silenced)
    shown = [_shown(one, outcome) for one, outcome in zip(said, outcomes, strict=True)]
    return Tried(signals=shown, errors=[])


def _shown(said: Said, outcome: Outcome) -> TriedSignal:
    return TriedSignal(
        signal=msgspec.to_builtins(said),
        happens=outcome.happens,
        says=outcome.says,
        incident_id=outcome.incident_id,
        signal_id=outcome.signal_id,
    )
