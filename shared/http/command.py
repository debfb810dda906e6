"""Runs a command for an endpoint: one transaction, then the answer. Nothing is said before the commit."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.context import Context
from shared.database import Database
from shared.http import idempotency
from shared.refusals import Conflict

ATTEMPTS = 3

Result = TypeVar("Result")


async def run(
    request: Request,
    ctx: Context,
    work: Callable[[AsyncConnection], Awaitable[Result]],
    view: Callable[[Result], BaseModel],
    *,
    body: BaseModel | None = None,
    key: str | None = None,
    status: int = 200,
) -> Response:
    """Do `work` in one write transaction and answer with `view` of what it returns, after the commit.

    A Conflict is tried again, twice, before it is answered. With an Idempotency-Key the first answer
    is kept in the same transaction and given again; `body` is what the repeat must equal. An answer
    that has a `version` carries it as its ETag.
    """
    db: Database = request.app.state.db
    operation = f"{request.method} {request.url.path}"
    once = idempotency.once(ctx.actor, key, operation, body) if key else None
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with db.begin() as conn:
                if once and (kept := await idempotency.find(conn, once)):
                    # failpoint: command.answered_before
                    return _answer(kept[1], kept[0], _version_in(kept[1]))
                # failpoint: command.begun
                shown = view(await work(conn))
                # failpoint: command.worked
                text = shown.model_dump_json()
                if once:
                    await idempotency.keep(conn, once, status, text)
        except Conflict:
            if attempt == ATTEMPTS:
                raise
        else:
            # failpoint: command.committed
            return _answer(text, status, getattr(shown, "version", None))
    raise AssertionError("unreachable: the last attempt answers or raises")


def _version_in(kept: str) -> int | None:
    """The version that a kept answer carries, so that given again it has its ETag again."""
    shown: Any = json.loads(kept)
    return shown.get("version") if isinstance(shown, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def _answer(text: str, status: int, version: int | None) -> Response:
    headers = {"ETag": f'"{version}"'} if version is not None else None
    return Response(text, status, headers, media_type="application/json")
