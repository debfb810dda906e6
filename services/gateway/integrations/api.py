"""HTTP of integrations. A key is answered once, by the request that made it; a secret never."""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Path, Request, Response
from pydantic import Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.integrations import commands, queries
from services.gateway.integrations.commands import Wanted
from services.gateway.integrations.domain import MOST_SECRETS, SOURCE
from services.gateway.integrations.queries import IntegrationView
from services.gateway.keyring import Keyring
from shared.context import Context
from shared.http import command
from shared.http.context import Db, IfMatch, needs
from shared.http.fields import Body, Name, View
from shared.http.pages import Cursor, Limit, Page

router = APIRouter(tags=["integrations"])

Admin = Annotated[Context, needs("admin")]
IntegrationId = Annotated[str, Path(min_length=1, max_length=100, pattern=r"^[^\x00]+$")]
Work: TypeAlias = Callable[[AsyncConnection], Awaitable[View]]
Secret = Annotated[str, StringConstraints(min_length=16, max_length=200, pattern=r"^[ -~]+$")]


class IntegrationBody(Body):
    """A sender's account, whole: what is left out takes its default."""

    name: Name
    source: Annotated[
        str,
        StringConstraints(pattern=SOURCE),
        Field(description="what its signals are said to come from; an alert is known within it"),
    ]
    service: Annotated[Name | None, Field(description="the service of signals that name none")] = (
        None
    )
    signals_per_minute: Annotated[
        int | None, Field(strict=True, ge=1, le=10_000_000, description="more is refused for now")
    ] = None

    def wanted(self) -> Wanted:
        return Wanted(self.name, self.source, self.service, self.signals_per_minute)


class SigningSecrets(Body):
    """The secrets that its sender signs with, whole: two while one replaces the other."""

    secrets: Annotated[list[Secret], Field(max_length=MOST_SECRETS)]


class KeyShown(View):
    """An integration with the text of its new key, shown this once."""

    integration: IntegrationView
    key: str


@router.post(
    "/v1/integrations",
    response_model=KeyShown,
    status_code=201,
    summary="Create an integration",
    description="A sender's account: what its signals come from, its default service and its limit."
    " The answer holds its key, shown this once: 32 letters and digits, to be used as a PagerDuty"
    " routing key, as Opsgenie's API key, or like any API key. There is no Idempotency-Key here:"
    " repeating an answer would mean keeping the secret.",
)
async def create_integration(request: Request, body: IntegrationBody, ctx: Admin) -> Response:
    keyring: Keyring = request.app.state.keyring

    async def work(conn: AsyncConnection) -> KeyShown:
        one, text = await commands.create(conn, body.wanted(), ctx, pepper=keyring.pepper)
        return KeyShown(integration=(await queries.shown(conn, [one]))[0], key=text)

    return await _secretly(request, ctx, work)


@router.post(
    "/v1/integrations/{integration_id}/keys",
    response_model=KeyShown,
    status_code=201,
    summary="Give an integration a second key",
    description="To rotate: make a second key, let the sender move over, revoke the first by"
    " `POST /v1/keys/{key_id}/revoke`. A third at once is refused.",
)
async def add_key(request: Request, integration_id: IntegrationId, ctx: Admin) -> Response:
    keyring: Keyring = request.app.state.keyring

    async def work(conn: AsyncConnection) -> KeyShown:
        text = await commands.add_key(conn, integration_id, ctx, pepper=keyring.pepper)
        one = await queries.integration(conn, integration_id)
        return KeyShown(integration=one, key=text)

    return await _secretly(request, ctx, work)


@router.get("/v1/integrations", summary="List integrations")
async def list_integrations(
    ctx: Admin, db: Db, limit: Limit = 50, cursor: Cursor = None
) -> Page[IntegrationView]:
    async with db.read() as conn:
        return await queries.list_integrations(conn, limit=limit, cursor=cursor)


@router.get("/v1/integrations/{integration_id}", summary="Read an integration")
async def read_integration(
    integration_id: IntegrationId, ctx: Admin, db: Db, response: Response
) -> IntegrationView:
    async with db.read() as conn:
        found = await queries.integration(conn, integration_id)
    response.headers["ETag"] = f'"{found.version}"'
    return found


@router.put(
    "/v1/integrations/{integration_id}",
    response_model=IntegrationView,
    summary="Change an integration",
)
async def change_integration(
    request: Request,
    integration_id: IntegrationId,
    body: IntegrationBody,
    ctx: Admin,
    if_match: IfMatch,
) -> Response:
    """With another source its alerts are other alerts: what is open under the old one stays open."""

    async def work(conn: AsyncConnection) -> IntegrationView:
        one = await commands.change(conn, integration_id, body.wanted(), ctx, expected=if_match)
        return (await queries.shown(conn, [one]))[0]

    return await _run(request, ctx, work)


@router.put(
    "/v1/integrations/{integration_id}/signing-secrets",
    response_model=IntegrationView,
    summary="Say with which secrets a sender signs",
)
async def sign_with(
    request: Request, integration_id: IntegrationId, body: SigningSecrets, ctx: Admin
) -> Response:
    """With any, what it sends must be signed, and needs no key: `?integration=<id>` names it.

    GitHub, Sentry and Grafana sign; two secrets at once are for changing them. An empty list: what
    it sends need not be signed any more.
    """
    keyring: Keyring = request.app.state.keyring

    async def work(conn: AsyncConnection) -> IntegrationView:
        one = await commands.sign_with(
            conn, integration_id, body.secrets, ctx, pepper=keyring.pepper
        )
        return (await queries.shown(conn, [one]))[0]

    return await _run(request, ctx, work)


@router.post(
    "/v1/integrations/{integration_id}/end",
    response_model=IntegrationView,
    summary="End an integration",
)
async def end_integration(request: Request, integration_id: IntegrationId, ctx: Admin) -> Response:
    """From this answer on it sends nothing; its keys are revoked, its secrets forgotten."""

    async def work(conn: AsyncConnection) -> IntegrationView:
        one = await commands.end(conn, integration_id, ctx)
        return (await queries.shown(conn, [one]))[0]

    return await _run(request, ctx, work)


async def _run(request: Request, ctx: Context, work: Work, status: int = 200) -> Response:
    """Do it, and let it hold at once in this process."""
    answer = await command.run(request, ctx, work, _itself, status=status)
    keyring: Keyring = request.app.state.keyring
    await keyring.reload()
    return answer


async def _secretly(request: Request, ctx: Context, work: Work) -> Response:
    answer = await _run(request, ctx, work, status=201)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _itself(shown: View) -> View:
    return shown
