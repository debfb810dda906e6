"""Takes events off the bus and hands them to a service, each with effect exactly once.

Per batch, in this order: one database transaction that claims the inbox, sets aside what nobody can
read, runs the handler and writes its effects and outbox rows; then the offsets. A crash in between
delivers again, and the inbox drops what was done.

What goes wrong, and what becomes of it:

- *A handler fails*: roll back, try the events one by one, and hold the partition of the one that
  still fails, for ever if need be. An event is never skipped. Gauge `consumer_held`.
- *A record can't be read* (`UnreadableEvent`): a dead letter, in the transaction of its neighbours,
  and on. `shared/http/dead_letters.py` shows and replays them.
- *Too many of those in a row* (`runs`): that is a bad release, not bad records. The one too many is
  not set aside; everything before it is done, the consumer stops there, says so once, and looks again
  every half minute. It goes on once it can read that record (mend the code, restart), or once a
  person lets the run pass (`POST /v1/dead-letters/{service}/resume`). Gauge `consumer_halted`.
- *The database is away*: nothing of the batch is done; all of it comes again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import dead_letters, metrics, runs
from shared.bus.bus import Bus, Consumer, Delivered, Partition
from shared.clock import utc_now
from shared.contracts import EVENTS, Contract
from shared.database import UNAVAILABLE, Database
from shared.dead_letters import Unreadable, place_of
from shared.envelope import Event, Record, UnreadableEvent, decode
from shared.ids import made_at
from shared.inbox import claim
from shared.supervisor import Beat

logger = structlog.get_logger(__name__)

Handle = Callable[[AsyncConnection, Sequence[Event]], Awaitable[None]]
"""Applies events, in order, in the transaction it is given. Must not commit or do other I/O."""

BATCH = 1_000
FIRST_BATCH = 100
LEAST_BATCH = 100
POLL_SECONDS = 1.0
TURN_SECONDS = 0.5
"""How long one transaction may hold the database, about: others want to write as well."""

LAG_SECONDS = 5.0
LONGEST_PAUSE = 10.0
LOOK_AGAIN_SECONDS = 30.0
"""Between two looks of a halted consumer; well below the time without a beat that counts as stuck."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """`group` names the consumer; `types` are the events that `handle` knows, the rest is passed by."""

    group: str
    topics: tuple[str, ...]
    types: frozenset[str]
    handle: Handle


class Progress(IntEnum):
    """What became of a batch; only DONE is false."""

    DONE = 0
    HELD = 1
    """Some of it has to come again."""
    HALTED = 2
    """The consumer stopped at a run of dead letters."""


@dataclass
class Back:
    """Where each partition goes on that is not done, and why."""

    to: dict[Partition, int] = field(default_factory=dict[Partition, int])
    failed: set[Partition] = field(default_factory=set[Partition])
    away: bool = False
    halted: bool = False

    def leave(self, batch: Sequence[Delivered]) -> "Back":
        """None of this is done."""
        for delivered in batch:
            self.to.setdefault(delivered.partition, delivered.offset)
        return self

    def beside(self, other: "Back") -> "Back":
        """Both, of partitions that differ."""
        return Back(
            self.to | other.to,
            self.failed | other.failed,
            self.away or other.away,
            self.halted or other.halted,
        )


class RunOfDeadLetters(Exception):
    """The record at `index` of the batch would be one dead letter too many in a row."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


def types_of(*contracts: type[Contract]) -> frozenset[str]:
    """The wire names of these contracts, for `Subscription.types`."""
    return frozenset(contract.TYPE for contract in contracts)


async def consume_forever(
    db: Database, bus: Bus, sub: Subscription, beat: Beat, in_a_row: int = runs.LIMIT
) -> None:
    """Consume until cancelled. Backs off, up to 10 s, while a partition is held."""
    consumer = await bus.join(sub.group, sub.topics)
    metrics.consumer_halted.labels(sub.group).set(0)
    pause, measured, progress, limit = 0.1, 0.0, Progress.DONE, FIRST_BATCH
    shown: set[Partition] = set()
    try:
        while True:
            beat()
            batch = await consumer.poll(limit, POLL_SECONDS)
            if batch:
                # failpoint: consumer.polled
                began = time.monotonic()
                before, progress = progress, await consume_batch(db, consumer, sub, batch, in_a_row)
                limit = fitting(limit, len(batch), time.monotonic() - began)
                _tell(sub, before, progress, in_a_row)
            if time.monotonic() - measured > LAG_SECONDS:
                shown = await _measure_lag(sub, consumer, shown)
                measured = time.monotonic()
            match progress:
                case Progress.DONE:
                    pause = 0.1
                case Progress.HELD:
                    pause = min(pause * 2, LONGEST_PAUSE)
                    await asyncio.sleep(pause)
                case Progress.HALTED:
                    await asyncio.sleep(LOOK_AGAIN_SECONDS)
    finally:
        await consumer.close()


def fitting(limit: int, taken: int, seconds: float) -> int:
    """How many to poll next, after `taken` of at most `limit` took so long: as many as fit into a
    turn. It halves and doubles with the work, so that costly events can't hold the database long."""
    if seconds > TURN_SECONDS:
        return max(LEAST_BATCH, min(limit, int(taken * TURN_SECONDS / seconds)))
    if taken >= limit and seconds < TURN_SECONDS / 2:
        return min(limit * 2, BATCH)
    return limit


def _tell(sub: Subscription, before: Progress, now: Progress, in_a_row: int) -> None:
    """Say once that the consumer stopped, and once that it goes on."""
    halted = now is Progress.HALTED
    metrics.consumer_halted.labels(sub.group).set(int(halted))
    if halted and before is not Progress.HALTED:
        logger.error(
            f"{in_a_row} records in a row could not be read, and the next one can't be either: this"
            " consumer stopped, and skips nothing. See why with `groundswell dead-letters list`; mend"
            " what reads or wrote them, deploy, and it goes on by itself. To let them pass unread:"
            " `groundswell dead-letters resume SERVICE`.",
            group=sub.group,
        )
    if before is Progress.HALTED and not halted:
        logger.info("this consumer goes on", group=sub.group)


async def consume_batch(
    db: Database,
    consumer: Consumer,
    sub: Subscription,
    batch: Sequence[Delivered],
    in_a_row: int = runs.LIMIT,
) -> Progress:
    """Apply a polled batch and commit the offsets of what is done; the rest is polled again."""
    back = await _take(db, consumer, sub, batch, in_a_row)
    for partition in {delivered.partition for delivered in batch} if not back.away else ():
        labels = (sub.group, partition.topic, str(partition.number))
        metrics.consumer_held.labels(*labels).set(int(partition in back.failed))
    if back.to:
        consumer.rewind(back.to)
    if back.halted:
        return Progress.HALTED
    return Progress.HELD if back.to else Progress.DONE


async def _take(
    db: Database, consumer: Consumer, sub: Subscription, batch: Sequence[Delivered], in_a_row: int
) -> Back:
    try:
        await _apply(db, sub, batch, in_a_row)
    except RunOfDeadLetters as run:
        return await _up_to(db, consumer, sub, batch, run.index, in_a_row)
    except UNAVAILABLE:
        logger.warning("the database is away; the batch comes again", group=sub.group)
        return Back(away=True).leave(batch)
    except Exception:
        logger.warning("batch failed; trying its events one by one", group=sub.group, exc_info=True)
        return await _one_by_one(db, consumer, sub, batch, in_a_row)
    # failpoint: consumer.before_offset
    await consumer.commit(_after(batch))
    # failpoint: consumer.offsets_kept
    return Back()


async def _up_to(
    db: Database,
    consumer: Consumer,
    sub: Subscription,
    batch: Sequence[Delivered],
    index: int,
    in_a_row: int,
) -> Back:
    """Do what stands before the record at `index`; stop there if that still makes a run."""
    back = await _take(db, consumer, sub, batch[:index], in_a_row) if index else Back()
    rest = batch[index:]
    if back.away or back.halted:
        return back.leave(rest)
    if back.to:  # what was held back may be what made the run
        others = [delivered for delivered in rest if delivered.partition not in back.to]
        return back.beside(await _take(db, consumer, sub, others, in_a_row) if others else Back())
    async with db.begin() as conn:
        await runs.stop(conn, sub.group, place_of(rest[0]), utc_now())
    return Back(halted=True).leave(rest)


async def _one_by_one(
    db: Database, consumer: Consumer, sub: Subscription, batch: Sequence[Delivered], in_a_row: int
) -> Back:
    back = Back()
    for index, delivered in enumerate(batch):
        if delivered.partition in back.to:
            continue
        try:
            await _apply(db, sub, [delivered], in_a_row)
        except RunOfDeadLetters:
            stopped = await _up_to(db, consumer, sub, [delivered], 0, in_a_row)
            return back.beside(stopped).leave(batch[index:])
        except UNAVAILABLE:
            logger.warning("the database is away; the rest comes again", group=sub.group)
            back.away = True
            return back.leave(batch[index:])
        except Exception:
            back.to[delivered.partition] = delivered.offset
            back.failed.add(delivered.partition)
            _log_failure(sub, delivered)
        else:
            await consumer.commit(_after([delivered]))
    return back


def _log_failure(sub: Subscription, delivered: Delivered) -> None:
    metrics.events_handled.labels(sub.group, "failed").inc()
    logger.exception(
        "event failed; holding its partition",
        group=sub.group,
        topic=delivered.partition.topic,
        partition=delivered.partition.number,
        offset=delivered.offset,
        event_type=delivered.record.headers.get("ce_type"),
        event_id=delivered.record.headers.get("ce_id"),
    )


Read = Event | Unreadable


async def _apply(
    db: Database, sub: Subscription, batch: Sequence[Delivered], in_a_row: int
) -> None:
    """All of the batch in one transaction, or nothing of it."""
    read: list[tuple[int, Read]] = [
        (index, _read(delivered))
        for index, delivered in enumerate(batch)
        if concerns(sub, delivered.record)
    ]
    if not read:
        return
    events = {one.id: one for _, one in read if isinstance(one, Event)}
    letters = [one for _, one in read if isinstance(one, Unreadable)]

    async def work(conn: AsyncConnection) -> tuple[set[dead_letters.Place], set[str]]:
        kept = await dead_letters.set_aside(conn, sub.group, letters)
        fresh = await claim(conn, sub.group, list(events))
        # failpoint: consumer.claimed
        if kept or fresh:
            run = await runs.load(conn, sub.group)
            usual = run == runs.Run() and not letters
            ended = run if usual else _run_after(run, read, batch, kept, fresh, in_a_row)
            if ended != run:
                await runs.save(conn, sub.group, ended)
        if fresh:
            await sub.handle(conn, [event for event in events.values() if event.id in fresh])
        # failpoint: consumer.before_commit
        return kept, fresh

    kept, fresh = await db.write(work)
    duplicates = len(read) - len(letters) - len(fresh)
    _count(sub, handled=fresh, duplicates=duplicates)
    for topic, _, _ in kept:
        metrics.dead_letters.labels(topic, "unreadable").inc()


def concerns(sub: Subscription, record: Record) -> bool:
    """Is this record for the subscription to read? What it doesn't know is passed by, save what says
    no type at all, and a version of one of its types that this code has never heard of."""
    name = record.headers.get("ce_type")
    if not name or name in sub.types:
        return True
    stem = name.rpartition(".")[0]
    return name not in EVENTS and any(known.rpartition(".")[0] == stem for known in sub.types)


def _read(delivered: Delivered) -> Read:
    try:
        return decode(delivered.record)
    except UnreadableEvent as why:
        return Unreadable(delivered, why)


def _run_after(
    run: runs.Run,
    read: Sequence[tuple[int, Read]],
    batch: Sequence[Delivered],
    kept: set[dead_letters.Place],
    fresh: set[str],
    in_a_row: int,
) -> runs.Run:
    """The run at the end of the batch, by what is new in it. Raises RunOfDeadLetters."""
    new = set(fresh)
    for index, one in read:
        place = place_of(batch[index])
        if isinstance(one, Event):
            if one.id in new:
                new.remove(one.id)
                run = runs.after_event(run, place)
        elif place in kept:
            if run.length >= in_a_row:
                raise RunOfDeadLetters(index)
            run = runs.after_letter(run, place)
    return run


def _count(sub: Subscription, *, handled: set[str], duplicates: int) -> None:
    metrics.events_handled.labels(sub.group, "handled").inc(len(handled))
    metrics.inbox_duplicates.labels(sub.group).inc(duplicates)
    now, ages = utc_now(), metrics.event_age.labels(sub.group)
    for event_id in handled:
        try:
            age = (now - made_at(event_id)).total_seconds()
        except ValueError:
            continue  # another's id says nothing of its age
        ages.observe(max(age, 0.0))


def _after(batch: Sequence[Delivered]) -> dict[Partition, int]:
    return {d.partition: d.offset + 1 for d in batch}


async def _measure_lag(
    sub: Subscription, consumer: Consumer, shown: set[Partition]
) -> set[Partition]:
    """Set the gauges of this member's partitions, and forget those that it had before."""
    lags = await consumer.lag()
    for topic, number in shown - set(lags):
        metrics.consumer_lag.remove(sub.group, topic, str(number))
        metrics.consumer_held.remove(sub.group, topic, str(number))
    for partition, lag in lags.items():
        metrics.consumer_lag.labels(sub.group, partition.topic, str(partition.number)).set(lag)
    return set(lags)
