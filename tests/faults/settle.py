"""Waits, within bounds, until a system is at rest, and says what still moved when it never came.

At rest: nothing in an outbox, nothing behind on the bus, twice in a row with nothing changed between,
since an event on its way from a consumer to an outbox can slip past one look.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import func, select

from shared.database import Database
from shared.inbox import inbox
from shared.outbox import outbox
from tests.faults.stored import SERVICES, SUBSCRIPTIONS, BusReader
from tests.faults.violation import Violation

WITHIN_SECONDS = 30.0
POLL_SECONDS = 0.25

WAITING = ("outbox_pending", "consumer_lag_records")
MOVED = ("outbox_events_sent_total", "consumer_events_total", "inbox_duplicates_total")


@dataclass(frozen=True)
class Seen:
    """One look: what waits, by where; and what only ever grows, to tell whether anything moved."""

    waiting: Mapping[str, float]
    moved: Mapping[str, float]

    @property
    def quiet(self) -> bool:
        return not any(self.waiting.values())


Look = Callable[[], Awaitable[Seen]]


@dataclass(frozen=True)
class Settled:
    """How long it took; and what S6 has against it, if it never came to rest."""

    seconds: float
    violations: tuple[Violation, ...] = ()


async def settle(look: Look, within: float = WITHIN_SECONDS, poll: float = POLL_SECONDS) -> Settled:
    """Look until all is at rest, at most `within` seconds. A look that fails counts as unrest."""
    began = time.monotonic()
    last: Seen | None = None
    why = "it was never seen"
    while time.monotonic() - began < within:
        try:
            async with asyncio.timeout(max(poll, within - (time.monotonic() - began))):
                seen = await look()
        except (httpx.TransportError, OSError, TimeoutError) as error:
            last, why = None, f"it could not be looked at: {error!r}"
        else:
            if seen.quiet and seen == last:
                return Settled(time.monotonic() - began)
            last, why = seen, f"there waits { ({k: v for k, v in seen.waiting.items() if v}) }"
        await asyncio.sleep(poll)
    return Settled(within, (Violation("S6", "rest", f"after {within:g} s {why}"),))


def metrics_of(clients: Sequence[httpx.AsyncClient], path: str = "/metrics") -> Look:
    """Look at the metrics of these processes."""

    async def look() -> Seen:
        waiting: dict[str, float] = {}
        moved: dict[str, float] = {}
        for number, client in enumerate(clients):
            answer = await client.get(path)
            if not answer.is_success:
                raise OSError(f"{client.base_url} answered {answer.status_code} to {path}")
            for family in text_string_to_metric_families(answer.text):
                for sample in family.samples:
                    into = waiting if sample.name in WAITING else moved
                    if sample.name in (*WAITING, *MOVED):
                        name = f"{number} {sample.name} {sorted(sample.labels.items())}"
                        into[name] = sample.value
        return Seen(waiting, moved)

    return look


def databases_of(dbs: Mapping[str, Database], bus: BusReader) -> Look:
    """Look at the databases and the bus themselves: metrics may be away, or wrong."""

    async def look() -> Seen:
        waiting: dict[str, float] = {}
        moved: dict[str, float] = {}
        for service in SERVICES:
            async with dbs[service].read() as conn:
                for into, table in ((waiting, outbox), (moved, inbox)):
                    count = await conn.execute(select(func.count()).select_from(table))
                    into[f"{service} {table.name}"] = count.scalar_one()
        log = await bus.log()
        committed = await bus.committed()
        for sub in (sub for some in SUBSCRIPTIONS.values() for sub in some):
            waiting[f"{sub.group} lag"] = sum(
                one.offset >= committed.get((sub.group, one.partition), 0)
                for one in log
                if one.partition.topic in sub.topics
            )
        moved["log"] = len(log)
        return Seen(waiting, moved)

    return look
