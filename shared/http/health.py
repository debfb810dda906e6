"""Is this process alive, can it take work, and what do its metrics say."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.database import Database

logger = structlog.get_logger(__name__)

PING_SECONDS = 2.0


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

    async def unready(self) -> list[str]:
        """Why no work should be sent here now; [] when it may. Never looks at a broker or a peer."""
        if self.draining:
            return ["stopping"]
        names = list(self.databases)
        results = await asyncio.gather(*(self._writable(name) for name in names))
        return [f"{n}: {why}" for n, why in zip(names, results, strict=True) if why]

    async def _writable(self, name: str) -> str | None:
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self.databases[name].ping()
        except (SQLAlchemyError, TimeoutError, OSError) as error:
            logger.warning("a database can't write", service=name, error=str(error))
            return "its database can't write"
        return None

    async def measured(self) -> None:
        """Measure, one scrape at a time. A failure leaves the last values and is logged."""
        async with self._measuring:
            try:
                await self.measure()
            except (SQLAlchemyError, OSError):
                logger.exception("the gauges could not be measured")
