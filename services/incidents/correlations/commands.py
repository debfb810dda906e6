"""Changes of the rules of correlations, in the caller's transaction. What they change of the past is
decided anew by the worker, step by step."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.correlations import store
from services.incidents.correlations.refusals import (
    CorrelationRuleUnknown,
    TooManyCorrelationRules,
)
from services.incidents.correlations.store import StoredRule
from shared.context import Context
from shared.refusals import VersionMismatch

MOST = 100
"""Rules. Each is asked about every incident that is opened."""


async def put(
    conn: AsyncConnection,
    name: str,
    document: Mapping[str, Any],
    since: datetime | None,
    ctx: Context,
    *,
    expected: int | None = None,
) -> StoredRule:
    """Enter or replace a rule. It is about what began `since` then: a new one from now on, another as
    it was, where nothing is said. Idempotent: an equal rule changes nothing.

    Raises VersionMismatch when `expected` is given and is not the stored version, and
    TooManyCorrelationRules.
    """
    current = await store.load_rule(conn, name)
    if expected is not None and (current is None or current.version != expected):
        raise VersionMismatch(f"Rule {name!r} is not at version {expected}; read it again.")
    if current is None:
        if await store.count_rules(conn) >= MOST:
            raise TooManyCorrelationRules(
                f"There are {MOST} rules; remove one, or say more with one of them."
            )
        made = StoredRule(name, dict(document), since or ctx.now, 1, ctx.actor, ctx.now)
        await store.save_rule(conn, made, was=None)
        await store.make_due(conn, made.since)
        return made
    if current.document == document and since in (None, current.since):
        return current
    changed = replace(
        current,
        document=dict(document),
        since=since or current.since,
        version=current.version + 1,
        by=ctx.actor,
        changed_at=ctx.now,
    )
    await store.save_rule(conn, changed, was=current.version)
    await _decide_anew(conn, name, changed.since)
    return changed


async def remove(conn: AsyncConnection, name: str, ctx: Context) -> StoredRule:
    """Remove a rule; what it made children of others is uncorrelated. Raises CorrelationRuleUnknown."""
    current = await store.load_rule(conn, name)
    if current is None:
        raise CorrelationRuleUnknown(name)
    await store.remove_rule(conn, name)
    await _decide_anew(conn, name, None)
    return current


async def _decide_anew(conn: AsyncConnection, name: str, since: datetime | None) -> None:
    began = await store.forget_groups(conn, name)
    moments = [one for one in (began, since) if one is not None]
    if moments:
        await store.make_due(conn, min(moments))
