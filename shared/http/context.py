"""What an endpoint is handed: its database, and the context of an authenticated, allowed caller."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Security
from fastapi.security import HTTPBearer, SecurityScopes
from starlette.exceptions import HTTPException

from shared.auth import SCOPES, principal_of
from shared.clock import Clock
from shared.context import Context
from shared.database import Database
from shared.ids import new_id

api_key = HTTPBearer(
    scheme_name="ApiKey",
    description="An API key, as a bearer token. Also taken: the header X-API-Key, or HTTP Basic"
    " with the key as password.",
    auto_error=False,
)


async def _database(request: Request) -> Database:
    return request.app.state.db


Db = Annotated[Database, Depends(_database)]


async def _authorized(
    request: Request,
    scopes: SecurityScopes,
    _documented: Annotated[Any, Security(api_key)],
    traceparent: Annotated[str | None, Header(max_length=100)] = None,
) -> Context:
    return authorize(request, scopes.scopes, traceparent)


def authorize(request: Request, scopes: Sequence[str], traceparent: str | None) -> Context:
    """The context of an authenticated caller who has all these scopes. Raises 401 or 403."""
    principal = principal_of(request.scope)
    if principal is None:
        raise HTTPException(
            401,
            "No valid API key came with this request; send `Authorization: Bearer <key>`.",
            {"WWW-Authenticate": "Bearer"},
        )
    lacking = [scope for scope in scopes if not principal.may(scope)]
    if lacking:
        raise HTTPException(
            403,
            f"This key lacks the scope {lacking[0]!r}; ask an administrator for one that has it.",
        )
    clock: Clock = request.app.state.clock
    request_id = request.scope.get("groundswell.request_id") or new_id("req")
    return Context(
        service=request.app.state.service,
        actor=principal.name,
        now=clock(),
        correlation_id=request_id,
        causation_id=request_id,
        traceparent=traceparent,
    )


def needs(scope: str) -> Any:
    """The dependency that lets only callers with `scope` in, and hands the endpoint its Context.

    Use: `ctx: Annotated[Context, needs("incidents:write")]`.
    """
    if scope not in SCOPES:
        raise ValueError(f"unknown scope {scope!r}; declare it in shared.auth.SCOPES")
    return Security(_authorized, scopes=[scope])


async def _if_match(if_match: Annotated[str | None, Header(max_length=100)] = None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    number = if_match.strip().removeprefix("W/").strip('"')
    if not number.isascii() or not number.isdigit() or len(number) > 15:
        raise HTTPException(
            400, 'If-Match must be the ETag of an earlier answer, such as "3", or *.'
        )
    return int(number)


IfMatch = Annotated[int | None, Depends(_if_match)]
"""The version the caller has seen, or None when it doesn't care."""

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="repeat a POST safely: the same key and body get the first answer again, for a week",
    ),
]
