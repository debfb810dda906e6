"""Records changes, in the caller's transaction."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.changes import store
from services.incidents.changes.domain import Change, Recorded, begun, retold
from services.incidents.changes.store import reference_of
from shared.context import Context
from shared.ids import new_id


class Outcome(NamedTuple):
    """What became of one telling. `new`: nobody had told of that change before."""

    recorded: Recorded
    new: bool


async def record(conn: AsyncConnection, changes: Sequence[Change], ctx: Context) -> list[Outcome]:
    """Record these tellings, at a bulk: the same (source, external_ref) is the same change.

    Returns an outcome for each, in their order. Idempotent, and the order of arrival decides
    nothing: `domain` says what a repeated telling does. `ctx.now` is their arrival. Publishes
    nothing.
    """
    known = await store.find(conn, {reference_of(change) for change in changes})
    held = dict(known)
    first: list[bool] = []
    for change in changes:
        key = reference_of(change)
        before = held.get(key)
        held[key] = retold(before, change) if before else begun(new_id("chg"), change, ctx.now)
        first.append(before is None)
    await store.add(conn, [one for key, one in held.items() if key not in known])
    await store.rewrite(
        conn, [one for key, one in held.items() if key in known and one is not known[key]]
    )
    return [
        Outcome(held[reference_of(change)], new) for change, new in zip(changes, first, strict=True)
    ]
