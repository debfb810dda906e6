"""Is this process alive, can it take work, and what do its metrics say."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.database import BUSY_SECONDS, Database

logger = structlog.get_logger(__name__)

PING_SECONDS = 2.0
"""How long a probe waits for a write that is on its way."""
PATIENCE_SECONDS = float(BUSY_SECONDS)
"""A write that waits for another is no sign that none can be: not until every write would be refused."""


CANT_WRITE = "its database can't write"


async def _nothing() -> None:
    return None


@dataclass
class Health:
    """What the probes look at. `draining` is set once, when the process was told to stop."""

    databases: Mapping[str, Database]
    """By service: those that this process writes."""
    stuck: Callable[[], list[str]] = list
    measure: Callable[[], Awaitable[None]] = _nothing
    """Brings the gauges up to date before a scrape."""
    draining: bool = False
    _measuring: asyncio.Lock = field(default_factory=asyncio.Lock)
    _pings: dict[str, "asyncio.Task[str | None]"] = field(
        default_factory=dict[str, "asyncio.Task[str | None]"]
    )
    """One for each database, which probes wait for together: it keeps its place behind other writes."""
    _wrote: dict[str, float] = field(default_factory=dict[str, float])

    async def unready(self) -> list[str]:
        """Why no work should be sent here now; [] when it may. Never looks at a broker or a peer."""
        if self.draining:
            return ["stopping"]
        names = list(self.databases)
        results = await asyncio.gather(*(self._writable(name) for name in names))
        return [f"{n}: {why}" for n, why in zip(names, results, strict=True) if why]

    async def _writable(self, name: str) -> str | None:
        ping = self._pings.get(name)
        if ping is None or ping.done():
            ping = self._pings[name] = asyncio.create_task(self._ping(name), name=f"ping {name}")
        done, _ = await asyncio.wait({ping}, timeout=PING_SECONDS)
        if done:
            return ping.result()
        if monotonic() - self._wrote.get(name, float("-inf")) < PATIENCE_SECONDS:
            return None
        logger.warning("a database takes too long to write", service=name)
        return CANT_WRITE

    async def _ping(self, name: str) -> str | None:
        try:
            await self.databases[name].ping()
        except (SQLAlchemyError, TimeoutError, OSError) as error:
            logger.warning("a database can't write", service=name, error=str(error))
            return CANT_WRITE
        self._wrote[name] = monotonic()
        return None

    async def measured(self) -> None:
        """Measure, one scrape at a time. A failure leaves the last values and is logged."""
        async with self._measuring:
            try:
                await self.measure()
            except (SQLAlchemyError, OSError):
                logger.exception("the gauges could not be measured")
