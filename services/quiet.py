"""Waits until everything sent has had its effect: nothing in an outbox, nothing behind on the bus."""

import asyncio
from collections.abc import Mapping

import httpx
from prometheus_client.parser import text_string_to_metric_families

DEADLINE_SECONDS = 60.0
POLL_SECONDS = 0.25
WAITING = ("outbox_pending", "consumer_lag_records")
MOVED = ("outbox_events_sent_total", "consumer_events_total", "inbox_duplicates_total")


class StillBusy(Exception):
    """It took too long; says what still waits."""


async def until_quiet(client: httpx.AsyncClient, deadline: float = DEADLINE_SECONDS) -> None:
    """Return once two scrapes in a row show nothing waiting and nothing moved between them.

    One scrape is not enough: it looks at the outboxes and the bus one after the other, and an event
    on its way from a consumer to an outbox can slip past it. Raises StillBusy after `deadline` s.
    """
    seen: dict[str, float] | None = None
    try:
        async with asyncio.timeout(deadline):
            while True:
                totals = sums((await client.get("/metrics")).text)
                if not any(totals[name] for name in WAITING) and totals == seen:
                    return
                seen = totals
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as late:
        raise StillBusy(f"After {deadline:.0f} s there still waits: {seen}") from late


def sums(exposition: str) -> dict[str, float]:
    """Each interesting metric, summed over its labels."""
    totals: Mapping[str, float] = dict.fromkeys((*WAITING, *MOVED), 0.0)
    totals = dict(totals)
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if sample.name in totals:
                totals[sample.name] += sample.value
    return totals
