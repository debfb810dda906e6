"""Keeps a process's background work running: restarts what fails, and says who is still alive."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog

from shared import metrics

logger = structlog.get_logger(__name__)

Beat = Callable[[], None]
"""Called by a job each time it goes round; a job that stops calling it is stuck."""

Job = Callable[[Beat], Awaitable[None]]
"""Runs until cancelled. What it raises is logged, and it is started again after a pause."""

LONGEST_PAUSE = 30.0
STUCK_SECONDS = 60.0


@dataclass
class Supervisor:
    """Runs named jobs. `alive()` is the truth behind /livez."""

    jobs: Mapping[str, Job]
    _beats: dict[str, float] = field(default_factory=dict[str, float])
    _tasks: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._keep(name, job), name=name) for name, job in self.jobs.items()
        ]

    async def stop(self) -> None:
        """Cancel every job and wait until each has left its transaction."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def stuck(self) -> list[str]:
        """The jobs that have not gone round for a minute."""
        now = time.monotonic()
        return [name for name, beat in self._beats.items() if now - beat > STUCK_SECONDS]

    async def _keep(self, name: str, job: Job) -> None:
        pause = 0.1

        def beat() -> None:
            self._beats[name] = time.monotonic()

        while True:
            beat()
            started = time.monotonic()
            try:
                await job(beat)
            except asyncio.CancelledError:
                raise
            except Exception:
                metrics.job_failures.labels(name).inc()
                logger.exception("job failed; starting it again", job=name, pause_seconds=pause)
            pause = (
                0.1 if time.monotonic() - started > LONGEST_PAUSE else min(pause * 2, LONGEST_PAUSE)
            )
            await asyncio.sleep(pause)


def every(seconds: float, work: Callable[[], Awaitable[None]]) -> Job:
    """A job that does `work` now and again every `seconds`."""

    async def job(beat: Beat) -> None:
        while True:
            beat()
            await work()
            await asyncio.sleep(seconds)

    return job
