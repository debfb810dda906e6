"""HTTP of the API keys. A secret is answered once, by the request that made it, and never again."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import AfterValidator, Field, WithJsonSchema
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.access import commands, queries
from services.gateway.access.commands import CreateKey
from services.gateway.access.domain import ApiKey
from services.gateway.access.queries import KeyView
from services.gateway.keyring import Keyring
from shared.auth import SCOPES
from shared.context import Context
from shared.http import command
from shared.http.context import Db, needs
from shared.http.fields import Body, Name, Planned
from shared.http.pages import Cursor, Limit, Page

router = APIRouter(tags=["access"])

Admin = Annotated[Context, needs("admin")]
KeyId = Annotated[str, Path(min_length=1, max_length=100, pattern=r"^[^\x00]+$")]


def _known(scope: str) -> str:
    if scope not in SCOPES:
        raise ValueError(f"is no scope; there are {', '.join(SCOPES)}")
    return scope


ScopeName = Annotated[
    str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(SCOPES)})
]


class KeyBody(Body):
    """What a new key may do, and for how long."""

    name: Name
    scopes: Annotated[list[ScopeName], Field(min_length=1, max_length=20)]
    expires_at: Planned | None = None


class KeyCreated(KeyView):
    """A new key with its text, shown this once."""

    key: str


def _created(made: tuple[ApiKey, str]) -> KeyCreated:
    key, text = made
    shown = KeyView.model_validate(key).model_dump()
    return KeyCreated(**shown, key=text)


@router.post(
    "/v1/keys",
    response_model=KeyCreated,
    status_code=201,
    summary="Create an API key",
    description="The answer holds the key's text; it is shown this once. To rotate a key, create a"
    " second one, let its users move over, and revoke the first. There is no Idempotency-Key here:"
    " repeating an answer would mean keeping the secret.",
)
async def create_key(request: Request, body: KeyBody, ctx: Admin) -> Response:
    keyring: Keyring = request.app.state.keyring
    wanted = CreateKey(body.name, frozenset(body.scopes), body.expires_at)

    async def work(conn: AsyncConnection) -> tuple[ApiKey, str]:
        return await commands.create(conn, wanted, ctx, pepper=keyring.pepper)

    answer = await command.run(request, ctx, work, _created, status=201)
    answer.headers["Cache-Control"] = "no-store"
    await keyring.reload()
    return answer


@router.get("/v1/keys", summary="List API keys")
async def list_keys(ctx: Admin, db: Db, limit: Limit = 50, cursor: Cursor = None) -> Page[KeyView]:
    async with db.read() as conn:
        return await queries.list_keys(conn, limit=limit, cursor=cursor)


@router.post("/v1/keys/{key_id}/revoke", response_model=KeyView, summary="Revoke an API key")
async def revoke_key(request: Request, key_id: KeyId, ctx: Admin) -> Response:
    """From this answer on the key opens nothing. Revoking it again changes nothing."""
    keyring: Keyring = request.app.state.keyring
    answer = await command.run(
        request, ctx, lambda conn: commands.revoke(conn, key_id, ctx), KeyView.model_validate
    )
    await keyring.reload()
    return answer
