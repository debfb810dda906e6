"""HTTP of a service's dead letters: list, read, replay, and let a run of them pass.

Every service serves it under a path of its own, so that the gateway knows whose they are.
"""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import dead_letters, replaying, runs
from shared.consumer import Subscription
from shared.context import Context
from shared.dead_letters import dead_letters as letters
from shared.http import command
from shared.http.context import Db, IdempotencyKey, needs
from shared.http.fields import Body, Name, View
from shared.http.pages import Cursor, Limit, Page, page_of
from shared.refusals import Conflict, NotFound, Refusal

logger = structlog.get_logger(__name__)

Reader = Annotated[Context, needs("operations:read")]
Writer = Annotated[Context, needs("operations:write")]
LetterId = Annotated[str, Path(min_length=1, max_length=100, pattern=r"^[^\x00]+$")]
Filter = Annotated[
    str | None, Query(max_length=200, pattern=r"^[^\x00]+$", description="name of a consumer")
]
AT_ONCE = 100


class DeadLetterView(View):
    """A record that could not be read, without what it holds."""

    id: str
    consumer: str
    topic: str
    partition: int
    offset: int
    event_type: str | None
    event_id: str | None
    reason: str
    recorded_at: datetime
    replayed_at: datetime | None
    replayed_by: str | None


class DeadLetterDetail(DeadLetterView):
    """The whole record. A backslash, a NUL or a byte that isn't UTF-8 in key and headers is `\\u…`."""

    key: str
    headers: dict[str, str]
    value: str
    value_encoding: Annotated[
        Literal["utf-8", "base64"], Field(description="how `value` says the bytes")
    ]
    traceback: str | None


class DeadLettersReplayBody(Body):
    """Which letters to replay."""

    consumer: Name | None = None
    after: Annotated[
        Name | None, Field(description="`next` of the answer before: go on behind that letter")
    ] = None


class DeadLettersReplayed(View):
    """What became of them; with a `next` there are more to try."""

    replayed: int
    refused: int
    next: str | None = None


class DeadLettersResumeBody(Body):
    """Whose run to let pass."""

    consumer: Name | None = None


class DeadLetterRun(View):
    """A run that was let pass."""

    consumer: str
    length: int
    stopped: bool
    stopped_at: datetime | None


class DeadLetterRuns(View):
    """The runs that were let pass; empty where no dead letter was the last."""

    runs: list[DeadLetterRun]


class ConsumerUnknown(NotFound):
    """The service has no such consumer."""


def router_of(service: str, subscriptions: Sequence[Subscription]) -> APIRouter:
    """The dead letters of a service whose consumers are these, under `/v1/dead-letters/<service>`."""
    subs = {sub.group: sub for sub in subscriptions}
    path = f"/v1/dead-letters/{service}"
    router = APIRouter(tags=["dead letters"])

    @router.get(path, summary=f"List dead letters of {service}, the newest first")
    async def list_dead_letters(  # pyright: ignore[reportUnusedFunction]
        ctx: Reader,
        db: Db,
        consumer: Filter = None,
        replayed: bool | None = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[DeadLetterView]:
        async with db.read() as conn:
            return await _page(conn, consumer, replayed, limit, cursor)

    @router.post(
        f"{path}/replay",
        response_model=DeadLettersReplayed,
        summary=f"Replay the dead letters of {service} that wait, up to {AT_ONCE} at once",
    )
    async def replay_dead_letters(  # pyright: ignore[reportUnusedFunction]
        body: DeadLettersReplayBody, ctx: Writer, db: Db
    ) -> DeadLettersReplayed:
        """The oldest first, each in a transaction of its own. What can't be replayed stays, and is
        counted as refused; replay it by itself to hear why. Repeating this is safe."""
        async with db.read() as conn:
            ids = await dead_letters.waiting(
                conn, consumer=body.consumer, after=body.after, limit=AT_ONCE
            )
        done = [await _try(db, subs, letter_id, ctx) for letter_id in ids]
        more = ids[-1] if len(ids) == AT_ONCE else None
        return DeadLettersReplayed(replayed=sum(done), refused=len(done) - sum(done), next=more)

    @router.post(
        f"{path}/resume",
        response_model=DeadLetterRuns,
        summary=f"Let a run of dead letters pass, so that consumers of {service} go on",
    )
    async def resume_consumers(  # pyright: ignore[reportUnusedFunction]
        request: Request, body: DeadLettersResumeBody, ctx: Writer, key: IdempotencyKey = None
    ) -> Response:
        """A stopped consumer looks again within half a minute. It sets aside what it can't read, up to
        a run of full length; then it stops again."""

        async def work(conn: AsyncConnection) -> DeadLetterRuns:
            return await _resume(conn, list(subs), body.consumer, ctx)

        return await command.run(request, ctx, work, lambda shown: shown, body=body, key=key)

    @router.get(path + "/{dead_letter_id}", summary=f"Read a dead letter of {service}, whole")
    async def read_dead_letter(  # pyright: ignore[reportUnusedFunction]
        dead_letter_id: LetterId, ctx: Reader, db: Db
    ) -> DeadLetterDetail:
        async with db.read() as conn:
            return _detail(await replaying.find(conn, dead_letter_id))

    @router.post(
        path + "/{dead_letter_id}/replay",
        response_model=DeadLetterView,
        summary=f"Replay a dead letter of {service}",
    )
    async def replay_dead_letter(  # pyright: ignore[reportUnusedFunction]
        request: Request, dead_letter_id: LetterId, ctx: Writer, key: IdempotencyKey = None
    ) -> Response:
        """Read it with the code of today and handle it, once: a letter that was replayed, and an event
        that was handled since, change nothing. 409 says why it can't be."""
        return await command.run(
            request,
            ctx,
            lambda conn: replaying.replay(conn, subs, dead_letter_id, ctx),
            DeadLetterView.model_validate,
            key=key,
        )

    return router


async def _page(
    conn: AsyncConnection,
    consumer: str | None,
    replayed: bool | None,
    limit: int,
    cursor: str | None,
) -> Page[DeadLetterView]:
    query = select(*(letters.c[name] for name in DeadLetterView.model_fields))
    if consumer is not None:
        query = query.where(letters.c.consumer == consumer)
    if replayed is not None:
        at = letters.c.replayed_at
        query = query.where(at.is_not(None) if replayed else at.is_(None))
    # Ids sort by when they were made.
    return await page_of(
        conn,
        query,
        [letters.c.id],
        limit=limit,
        cursor=cursor,
        view=DeadLetterView.model_validate,
    )


def _detail(row: Row[Any]) -> DeadLetterDetail:
    value, encoding = _shown(bytes(row.value))
    shown = DeadLetterView.model_validate(row).model_dump()
    return DeadLetterDetail(
        **shown,
        key=row.key,
        headers=row.headers,
        value=value,
        value_encoding=encoding,
        traceback=row.traceback,
    )


def _shown(value: bytes) -> tuple[str, Literal["utf-8", "base64"]]:
    try:
        return value.decode(), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(value).decode(), "base64"


async def _try(db: Db, subs: replaying.Subscriptions, letter_id: str, ctx: Context) -> bool:
    """Was it replayed? What it refuses it says when it is replayed by itself."""
    try:
        async with db.read() as conn:  # what can't be read needs no turn at writing
            replaying.readable(await replaying.find(conn, letter_id), subs)
        for _ in range(command.ATTEMPTS):
            try:
                async with db.begin() as conn:
                    await replaying.replay(conn, subs, letter_id, ctx)
            except Conflict:
                continue
            return True
    except Refusal as refusal:
        logger.info("dead letter not replayed", dead_letter=letter_id, why=refusal.slug)
    return False


async def _resume(
    conn: AsyncConnection, groups: Sequence[str], consumer: str | None, ctx: Context
) -> DeadLetterRuns:
    if consumer is not None and consumer not in groups:
        raise ConsumerUnknown(
            f"This service has no consumer {consumer!r}; its consumers are {', '.join(groups)}."
        )
    passed: list[DeadLetterRun] = []
    for group in groups if consumer is None else [consumer]:
        run = await runs.resume(conn, group)
        if run == runs.Run():
            continue
        passed.append(
            DeadLetterRun(
                consumer=group,
                length=run.length,
                stopped=run.stop is not None,
                stopped_at=run.stopped_at,
            )
        )
        logger.warning(
            "a run of dead letters is let pass", group=group, by=ctx.actor, stop=run.stop
        )
    return DeadLetterRuns(runs=passed)
