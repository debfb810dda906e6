"""Makes silences and ends them, in the caller's transaction."""

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.incidents import episodes
from services.incidents.silences import store
from services.incidents.silences.domain import Silence
from services.incidents.silences.refusals import SilenceOver, SilenceUnknown, TooManySilences
from shared.context import Context

MOST = 1_000
"""Silences that are not over. One without a matcher `=` costs every new episode its time."""


async def make(conn: AsyncConnection, silence: Silence, ctx: Context) -> Silence:
    """Make a silence. It holds for what begins in it and is recorded from now on, whenever that
    began; an incident that was heard of before stays heard. Raises TooManySilences."""
    if await store.count_not_over(conn, ctx.now) >= MOST:
        raise TooManySilences(
            f"There are {MOST:,} silences that are not over; end some, or match more with one."
        )
    await store.add(conn, silence)
    return silence


async def end(conn: AsyncConnection, silence_id: str, ctx: Context) -> Silence:
    """End a silence now; what still fires in it is looked at anew. Raises SilenceUnknown, SilenceOver
    and Conflict."""
    silence = await store.load(conn, silence_id)
    if silence is None:
        raise SilenceUnknown(silence_id)
    if silence.over_at <= ctx.now:
        raise SilenceOver(f"Silence {silence_id} is over already; make another if you need one.")
    ended = replace(silence, ended_at=ctx.now, ended_by=ctx.actor)
    await store.save_end(conn, ended)
    await episodes.question_all(conn, ctx.now)
    return ended
