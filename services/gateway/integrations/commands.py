"""Making, changing and ending integrations, in the caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.access import commands as access
from services.gateway.access import store as keys
from services.gateway.access.commands import CreateKey
from services.gateway.access.domain import generate_for_integration, parse
from services.gateway.integrations import store
from services.gateway.integrations.domain import (
    MOST_KEYS,
    SENDS,
    Integration,
    IntegrationEnded,
    IntegrationUnknown,
    SourceTaken,
    TooManyKeys,
)
from services.gateway.integrations.sealing import seal
from shared.context import Context
from shared.ids import new_id
from shared.refusals import VersionMismatch


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person says an integration is."""

    name: str
    source: str
    service: str | None
    signals_per_minute: int | None


async def create(
    conn: AsyncConnection, wanted: Wanted, ctx: Context, *, pepper: bytes
) -> tuple[Integration, str]:
    """A new integration with its first key, whose text is nowhere kept. Raises SourceTaken."""
    await _free(conn, wanted.source, None)
    one = Integration(
        id=new_id("int"),
        name=wanted.name,
        source=wanted.source,
        service=wanted.service,
        signals_per_minute=wanted.signals_per_minute,
        secrets=(),
        created_at=ctx.now,
        created_by=ctx.actor,
    )
    await store.add(conn, one)
    return one, await add_key(conn, one.id, ctx, pepper=pepper)


async def change(
    conn: AsyncConnection,
    integration_id: str,
    wanted: Wanted,
    ctx: Context,
    *,
    expected: int | None = None,
) -> Integration:
    """Replace what it is. Idempotent. Raises IntegrationUnknown, SourceTaken, VersionMismatch."""
    one = await _load(conn, integration_id)
    if expected is not None and one.version != expected:
        raise VersionMismatch(
            f"Integration {integration_id!r} is not at version {expected}; read it again."
        )
    await _free(conn, wanted.source, one.id)
    changed = replace(
        one,
        name=wanted.name,
        source=wanted.source,
        service=wanted.service,
        signals_per_minute=wanted.signals_per_minute,
    )
    return await _saved(conn, one, changed)


async def sign_with(
    conn: AsyncConnection,
    integration_id: str,
    secrets: Sequence[str],
    ctx: Context,
    *,
    pepper: bytes,
) -> Integration:
    """From now on what it sends must be signed with one of these; with none, nothing need be."""
    one = await _load(conn, integration_id)
    return await _saved(conn, one, replace(one, secrets=tuple(seal(pepper, s) for s in secrets)))


async def add_key(
    conn: AsyncConnection, integration_id: str, ctx: Context, *, pepper: bytes
) -> str:
    """A further key, to move to before the other is revoked. Raises TooManyKeys at a third."""
    one = await _load(conn, integration_id)
    active = [k for k in await keys.load_of_integration(conn, one.id) if k.active(ctx.now)]
    if len(active) >= MOST_KEYS:
        raise TooManyKeys(
            f"It has {MOST_KEYS} keys already; revoke one by POST /v1/keys/{active[0].id}/revoke."
        )
    text = generate_for_integration()
    wanted = CreateKey(one.name, SENDS)
    presented = parse(text)
    await access.create(
        conn, wanted, ctx, pepper=pepper, presented=presented, integration_id=one.id
    )
    return text


async def end(conn: AsyncConnection, integration_id: str, ctx: Context) -> Integration:
    """Take nothing from it any more, for good; its keys are revoked. Idempotent."""
    one = await store.load(conn, integration_id)
    if one is None:
        raise _unknown(integration_id)
    if one.ended_at is not None:
        return one
    for key in await keys.load_of_integration(conn, one.id):
        await keys.revoke(conn, key.id, ctx.actor, ctx.now)
    return await _saved(conn, one, replace(one, ended_at=ctx.now, secrets=()))


async def _load(conn: AsyncConnection, integration_id: str) -> Integration:
    one = await store.load(conn, integration_id)
    if one is None:
        raise _unknown(integration_id)
    if one.ended_at is not None:
        raise IntegrationEnded("This integration has ended; create another one.")
    return one


def _unknown(integration_id: str) -> IntegrationUnknown:
    return IntegrationUnknown(
        f"There is no integration {integration_id!r}; GET /v1/integrations lists those there are."
    )


async def _saved(conn: AsyncConnection, one: Integration, changed: Integration) -> Integration:
    if changed == one:
        return one
    changed = replace(changed, version=one.version + 1)
    await store.save(conn, changed)
    return changed


async def _free(conn: AsyncConnection, source: str, own: str | None) -> None:
    taken = await store.by_source(conn, source)
    if taken is not None and taken != own:
        raise SourceTaken(f"The source {source!r} belongs to {taken}; choose another name.")
