"""Making and revoking API keys, in the caller's transaction."""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.access import store
from services.gateway.access.domain import (
    ApiKey,
    KeyExpiresInThePast,
    KeyUnknown,
    LastAdminKey,
    Presented,
    fingerprint,
    generate,
    is_last_admin,
    text_of,
)
from shared.context import Context
from shared.ids import new_id


@dataclass(frozen=True, slots=True)
class CreateKey:
    name: str
    scopes: frozenset[str]
    expires_at: datetime | None = None


async def create(
    conn: AsyncConnection,
    command: CreateKey,
    ctx: Context,
    *,
    pepper: bytes,
    presented: Presented | None = None,
    integration_id: str | None = None,
) -> tuple[ApiKey, str]:
    """A new key, and its text, which is nowhere kept. Two keys may share a name: that is rotation.

    Its text is made here, unless the caller brings one that nobody else has used.
    """
    if command.expires_at is not None and command.expires_at <= ctx.now:
        raise KeyExpiresInThePast(
            "expires_at has passed already; send a later time, or leave it out."
        )
    presented = presented or generate()
    key = ApiKey(
        id=new_id("key"),
        name=command.name,
        prefix=presented.prefix,
        hash=fingerprint(pepper, presented.secret),
        scopes=command.scopes,
        created_at=ctx.now,
        created_by=ctx.actor,
        expires_at=command.expires_at,
        integration_id=integration_id,
    )
    await store.add(conn, key)
    return key, text_of(presented)


async def revoke(conn: AsyncConnection, key_id: str, ctx: Context) -> ApiKey:
    """Close the door to this key, for good. Idempotent: the first revocation stands.

    Raises KeyUnknown, and LastAdminKey for the only lasting key with `admin`.
    """
    key = await store.load(conn, key_id)
    if key is None:
        raise KeyUnknown(f"There is no key {key_id!r}; GET /v1/keys lists those there are.")
    if key.revoked_at is not None:
        return key
    if is_last_admin(await store.load_unrevoked(conn), key_id, ctx.now):
        raise LastAdminKey(
            "This is the last lasting key with the scope 'admin'; create another one first."
        )
    await store.revoke(conn, key_id, ctx.actor, ctx.now)
    return replace(key, revoked_at=ctx.now, revoked_by=ctx.actor)
