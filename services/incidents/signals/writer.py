"""Group commit: concurrent requests share one transaction, and are answered once it is on the disk.

The batch is whatever arrived while the last commit ran: there is no timer. What waits is bounded,
and beyond the bound a request is refused before anything of it is written.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

import structlog

from services.incidents.settings import IncidentsSettings
from services.incidents.signals.continuing import Post
from services.incidents.signals.recording import Written, record
from services.incidents.signals.silencing import by_silences
from services.incidents.silences.current import CurrentSilences
from shared.database import UNAVAILABLE, Database
from shared.refusals import Overloaded

logger = structlog.get_logger(__name__)

MOST_REQUESTS = 256
MOST_SIGNALS = 2_000
"""Bounds of one batch; a single larger request still goes through, by itself."""

QUIET_TURNS = 3
"""In the first the last batch's answers go out, in the next their senders can come again."""


class TooManySignalsWaiting(Overloaded):
    """The queue is full."""


class SignalStoreUnavailable(Overloaded):
    """The database can't be written just now."""


@dataclass(slots=True, eq=False)
class _Waiting:
    post: Post
    answer: "asyncio.Future[list[Written]]"


@dataclass(slots=True)
class Writer:
    """One per process and database. Works as soon as somebody writes; `stop` drains it."""

    db: Database
    settings: IncidentsSettings
    silences: CurrentSilences
    _queue: deque[_Waiting] = field(default_factory=deque[_Waiting])
    _signals: int = 0
    _stopping: bool = False
    _took: float = 0.0
    """Seconds that the last batch took."""
    _work: "asyncio.Task[None] | None" = None

    async def write(self, post: Post) -> list[Written]:
        """Record the post, all of it or none. Returns once it is durable.

        Raises Overloaded when there is no room or no database. Nothing is written then, unless the
        database went away in the middle of the commit: sent again, the post is a repeat.
        """
        count = len(post.signals)
        if self._stopping or (
            self._signals and self._signals + count > self.settings.max_waiting_signals
        ):
            raise TooManySignalsWaiting(
                "Too many signals are waiting to be written; send it again."
            )
        if not count:
            return []
        answer: asyncio.Future[list[Written]] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(post, answer))
        self._signals += count
        if self._work is None:
            self._work = asyncio.create_task(self._drain(), name="signals writer")
        return await answer

    @property
    def waiting(self) -> int:
        """Signals that are neither written nor refused yet."""
        return self._signals

    async def stop(self) -> None:
        """Refuse what comes from now on; write and answer what waits."""
        self._stopping = True
        if self._work is not None:
            await self._work

    async def _drain(self) -> None:
        try:
            while self._queue:
                await self._gather()
                batch = self._next()
                began = monotonic()
                await self._write(batch)
                self._took = monotonic() - began
                self._signals -= sum(len(one.post.signals) for one in batch)
        except BaseException:
            for one in self._queue:
                _fail(one, SignalStoreUnavailable("We are stopping; send it again."))
            self._queue.clear()
            self._signals = 0
            raise
        finally:
            self._work = None

    async def _gather(self) -> None:
        """Let in who is at the door: until some turns of the event loop in a row bring nobody.

        A commit costs nearly the same for one request as for many, and those that the last one
        answered come back at once. At most for as long as that took: then waiting costs more.
        """
        until, waiting, quiet = monotonic() + self._took, 0, 0
        while quiet < QUIET_TURNS and len(self._queue) < MOST_REQUESTS and monotonic() < until:
            quiet = quiet + 1 if len(self._queue) == waiting else 0
            waiting = len(self._queue)
            await asyncio.sleep(0)

    def _next(self) -> list[_Waiting]:
        batch = [self._queue.popleft()]
        room = MOST_SIGNALS - len(batch[0].post.signals)
        while self._queue and len(batch) < MOST_REQUESTS:
            room -= len(self._queue[0].post.signals)
            if room < 0:
                break
            batch.append(self._queue.popleft())
        return batch

    async def _write(self, batch: Sequence[_Waiting]) -> None:
        """Write the batch and answer each; when it fails, one by one, so that one spares the rest."""
        try:
            # failpoint: ingest.taken
            is_silenced = by_silences(await self.silences.load())
            posts = [one.post for one in batch]
            window = self.settings.reopen_window
            answers = await self.db.write(lambda conn: record(conn, posts, window, is_silenced))
        except UNAVAILABLE as error:
            logger.error("signals can't be written", requests=len(batch), exc_info=error)
            for one in batch:
                _fail(one, SignalStoreUnavailable("The database can't be written; send it again."))
        except asyncio.CancelledError:
            for one in batch:
                _fail(one, SignalStoreUnavailable("We are stopping; send it again."))
            raise
        except Exception as error:
            if len(batch) == 1:
                _fail(batch[0], error)
                return
            logger.warning("batch failed; writing its requests one by one", exc_info=error)
            for one in batch:
                await self._write([one])
        else:
            # failpoint: ingest.committed
            for one, answer in zip(batch, answers, strict=True):
                if not one.answer.done():  # its caller may have gone
                    one.answer.set_result(answer)


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)
