"""Waits until what was brought in has had its effect: nothing on its way, the candidates at rest."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx

from services.quiet import WAITING, sums
from services.replay.sending import sentence_of

POLL_SECONDS = 1.0
REST_SECONDS = 6.0
"""Longer than the pauses of the services' timers, which find out what has fallen quiet."""

Seen = tuple[float, list[tuple[Any, ...]]]


class CandidatesUnseen(Exception):
    """Everything was brought in, but the candidates can't be read; the sentence says what to do."""


async def settle(
    client: httpx.AsyncClient, patience: float, waiting: Callable[[int], None]
) -> bool:
    """True once nothing waited and no candidate changed for REST_SECONDS; False after `patience` s.

    `waiting` hears how many events are still on their way.
    """
    give_up = time.monotonic() + patience
    seen: Seen | None = None
    since = time.monotonic()
    while time.monotonic() < give_up:
        before, seen = seen, await look(client)
        waiting(int(seen[0]))
        if seen[0] or seen != before:
            since = time.monotonic()
        elif time.monotonic() - since >= REST_SECONDS:
            return True
        await asyncio.sleep(POLL_SECONDS)
    return False


async def look(client: httpx.AsyncClient) -> Seen:
    """How many events are on their way, as far as the metrics may be read; and the candidates' state."""
    scraped = await client.get("/metrics")
    totals = sums(scraped.text) if scraped.is_success else dict.fromkeys(WAITING, 0.0)
    page = await top_candidates(client, 50)
    state = [(one["id"], one["version"], one["score"]) for one in page]
    return sum(totals[name] for name in WAITING), state


async def top_candidates(client: httpx.AsyncClient, limit: int) -> list[dict[str, Any]]:
    """The open candidates with the highest scores. Raises CandidatesUnseen."""
    answer = await client.get("/v1/candidates", params={"limit": limit})
    if not answer.is_success:
        raise CandidatesUnseen(
            f"Everything was brought in, but the candidates can't be read: {sentence_of(answer)}"
            " To go without them, wait for 0 seconds."
        )
    return answer.json()["items"]
