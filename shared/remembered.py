"""What the database says, in memory: asking it costs nothing, and it is two seconds old at most.

The database is asked again by the first who comes after that, and at once after a change in this
process: a change that was made elsewhere holds here two seconds later.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import UNAVAILABLE, Database

logger = structlog.get_logger(__name__)

RELOAD_SECONDS = 2.0

Value = TypeVar("Value")


class Remembered(Generic[Value]):
    """`read` is handed what is remembered, or None at first, so that it can read only what changed."""

    def __init__(
        self,
        name: str,
        db: Database,
        read: Callable[[AsyncConnection, Value | None], Awaitable[Value]],
    ) -> None:
        self.name = name
        self.db = db
        self._read = read
        self._value: Value | None = None
        self._asked_at = float("-inf")
        self._changed = False
        self._asking = asyncio.Lock()

    async def get(self) -> Value:
        """As it was two seconds ago or later.

        Where the database is away it stays as it was. Raises DatabaseUnavailable if it was never read.
        """
        if self._value is None or self._is_old():
            async with self._asking:
                if (
                    self._value is None or self._is_old()
                ):  # whoever waited has it from the one before
                    await self._keep_up()
        assert self._value is not None, "it was read, or that raised"
        return self._value

    def forget(self) -> None:
        """Ask the database again before the next answer: something changed."""
        self._changed = True

    def _is_old(self) -> bool:
        return self._changed or _now() - self._asked_at >= RELOAD_SECONDS

    async def _keep_up(self) -> None:
        asked_at, self._changed = _now(), False
        try:
            async with self.db.read() as conn:
                self._value = await self._read(conn, self._value)
        except UNAVAILABLE as away:
            if self._value is None:
                raise
            logger.warning("this can't be read again just now", what=self.name, error=str(away))
        self._asked_at = asked_at


def _now() -> float:
    return asyncio.get_running_loop().time()
