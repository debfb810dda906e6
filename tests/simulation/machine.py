"""The machine that the services run on: its clock and its ids come from the seed, not from the world.

So a run is a function of its seed, down to every id, and a failure can be replayed.
"""

import random
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from unittest.mock import patch

import shared.clock
import shared.ids

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
"""When a run begins. What it tells of lies well before, so that no clock is too slow for it."""

MOST_SKEW = timedelta(hours=1)


class Machine:
    """One wall clock for all, and how far the clock of the service at work is off."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.now = START
        self.skews: dict[str, timedelta] = {}
        self.at_work = ""

    def clock(self, service: str) -> Callable[[], datetime]:
        """The clock that this service reads."""
        return lambda: self.now + self.skews.get(service, timedelta())

    def utc_now(self) -> datetime:
        """What `shared.clock.utc_now` says: the clock of the service at work."""
        self.now += timedelta(microseconds=137)
        return self.clock(self.at_work)()

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def skew(self, service: str) -> None:
        """Set this service's clock up to an hour fast or slow; the next minute it may be another's."""
        self.skews[service] = MOST_SKEW * self.dice.uniform(-1, 1)

    def _uuid7(self) -> SimpleNamespace:
        """A UUIDv7 by the clock of the service at work."""
        milliseconds = int(self.utc_now().timestamp() * 1000)
        chance = self.dice.getrandbits(74)
        number = (
            milliseconds << 80 | 7 << 76 | (chance >> 62) << 64 | 2 << 62 | chance & (1 << 62) - 1
        )
        return SimpleNamespace(hex=f"{number:032x}")

    @contextmanager
    def running(self) -> Generator[None]:
        """While the block runs, every clock and every new id of this process is the machine's."""
        clock = SimpleNamespace(
            now=lambda _zone=UTC: self.utc_now(), fromisoformat=datetime.fromisoformat
        )
        with (
            patch.object(shared.clock, "datetime", clock),
            patch.object(shared.ids, "uuid_utils", SimpleNamespace(uuid7=self._uuid7)),
        ):
            yield
