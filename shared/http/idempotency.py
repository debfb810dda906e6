"""Idempotency-Key: the first answer is kept in the transaction of its effect and given again."""

import hashlib
from dataclasses import dataclass

from pydantic import BaseModel
from sqlalchemy import Column, Index, Integer, Table, Text, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.clock import utc_now
from shared.database import UtcDateTime
from shared.outbox import plumbing
from shared.refusals import Invalid

idempotency_keys = Table(
    "idempotency_keys",
    plumbing,
    Column("actor", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request_hash", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("answer", Text, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    Index("idempotency_keys_by_age", "recorded_at"),
)


class IdempotencyKeyReused(Invalid):
    """The same key came with another request."""


@dataclass(frozen=True, slots=True)
class Once:
    """One request that must have effect once: who, under which key, asking what."""

    actor: str
    key: str
    request_hash: str


def once(actor: str, key: str, operation: str, body: BaseModel | None) -> Once:
    """The identity of a request: the operation it calls and the body it sends."""
    asked = f"{operation}\n{body.model_dump_json() if body else ''}"
    return Once(actor, key, hashlib.sha256(asked.encode()).hexdigest())


async def find(conn: AsyncConnection, request: Once) -> tuple[int, str] | None:
    """The kept (status, answer) of this request, or None when it is new.

    Raises IdempotencyKeyReused when the key was used for another request.
    """
    query = select(idempotency_keys).where(
        idempotency_keys.c.actor == request.actor, idempotency_keys.c.key == request.key
    )
    row = (await conn.execute(query)).one_or_none()
    if row is None:
        return None
    if row.request_hash != request.request_hash:
        raise IdempotencyKeyReused(
            "This Idempotency-Key was used for another request; use a new key for a new request."
        )
    return row.status, row.answer


async def keep(conn: AsyncConnection, request: Once, status: int, answer: str) -> None:
    """Keep the answer in the caller's transaction."""
    # failpoint: idempotency.keeping
    await conn.execute(
        insert(idempotency_keys).values(
            actor=request.actor,
            key=request.key,
            request_hash=request.request_hash,
            status=status,
            answer=answer,
            recorded_at=utc_now(),
        )
    )
