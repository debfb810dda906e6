"""Replays a dead letter: read with the code of today, and handled as if it had just been delivered.

The same claim of the inbox guards it as guards a delivery, so that a letter, however often it is
replayed, and whatever is delivered meanwhile, has its effect once.
"""

from collections.abc import Mapping
from typing import Any

import structlog
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import dead_letters
from shared.consumer import Subscription
from shared.context import Context
from shared.database import UNAVAILABLE
from shared.envelope import Event, UnreadableEvent, decode
from shared.inbox import claim
from shared.refusals import Conflict, NotFound, Refusal

logger = structlog.get_logger(__name__)

Subscriptions = Mapping[str, Subscription]
"""A service's subscriptions, by group."""


class DeadLetterUnknown(NotFound):
    """No dead letter has this id."""


class DeadLetterStillUnreadable(Refusal):
    """The code of today can't read it either."""


class DeadLetterHasNoConsumer(Refusal):
    """Nobody here listens for it."""


class DeadLetterNotHandled(Refusal):
    """It can be read, and the consumer could not take it; nothing was changed."""


async def replay(
    conn: AsyncConnection, subs: Subscriptions, letter_id: str, ctx: Context
) -> Row[Any]:
    """Handle the letter and note its replay, in the caller's transaction; returns it as it is then.

    Replaying again changes nothing. Raises a refusal, having changed nothing, for what can't be
    replayed; roll back then.
    """
    letter = await find(conn, letter_id)
    if letter.replayed_at is not None:
        return letter
    sub, event = readable(letter, subs)
    fresh = await claim(conn, sub.group, [event.id])
    if fresh:
        await _handle(conn, sub, event, letter)
    await dead_letters.mark_replayed(conn, letter_id, ctx.actor, ctx.now)
    logger.info(
        "dead letter replayed",
        dead_letter=letter_id,
        group=sub.group,
        event_type=event.type,
        event_id=event.id,
        handled_before=not fresh,
        by=ctx.actor,
    )
    return await find(conn, letter_id)


async def find(conn: AsyncConnection, letter_id: str) -> Row[Any]:
    """The letter of this id. Raises DeadLetterUnknown."""
    letter = await dead_letters.find(conn, letter_id)
    if letter is None:
        raise DeadLetterUnknown(
            f"There is no dead letter {letter_id!r} in this service; list them to see which are."
        )
    return letter


def readable(letter: Row[Any], subs: Subscriptions) -> tuple[Subscription, Event]:
    """The letter's event, and who is to handle it. Raises a refusal where there is neither."""
    sub = subs.get(letter.consumer)
    if sub is None:
        raise DeadLetterHasNoConsumer(
            f"No consumer is called {letter.consumer!r} any more; it can only be kept."
        )
    try:
        event = decode(dead_letters.record_of(letter))
    except UnreadableEvent as why:
        reason = dead_letters.escaped(str(why))[:500]
        raise DeadLetterStillUnreadable(
            f"It still can't be read: {reason}. Deploy what can read it, and replay it then."
        ) from why
    if event.type not in sub.types:
        raise DeadLetterHasNoConsumer(
            f"{sub.group} does not listen to {event.type}; it can only be kept."
        )
    return sub, event


async def _handle(conn: AsyncConnection, sub: Subscription, event: Event, letter: Row[Any]) -> None:
    try:
        await sub.handle(conn, [event])
    except (Conflict, *UNAVAILABLE):
        raise
    except Refusal as refusal:
        raise DeadLetterNotHandled(f"{sub.group} refuses it: {refusal}") from refusal
    except Exception as error:
        logger.exception("a replayed event failed", dead_letter=letter.id, group=sub.group)
        raise DeadLetterNotHandled(
            f"{sub.group} can read it and fails at it ({type(error).__name__}, logged under"
            f" {letter.id}). Mend the cause, deploy, and replay it then."
        ) from error
