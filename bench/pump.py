"""How many events a second relay and consumers carry, each in one process on one core.

`python -m bench.pump [PART…]` prints a table. `--beside TREE` runs the same parts with the code of
another checkout, in turns with this one, and prints the ratio. PostgreSQL and the mock Kafka cluster
run beside the measured process. `cpu` is what the measured process alone burned: on a machine that
others use it is the figure to read.
"""

import argparse
import asyncio
import cProfile
import gc
import json
import os
import pstats
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback import app as feedback_app
from services.feedback.consumers import subscriptions as feedback_subscriptions
from services.roadmap import app as roadmap_app
from services.roadmap.consumers import SUBSCRIPTION as ROADMAP
from shared import logs
from shared.bus import Bus
from shared.bus.embedded import EmbeddedBus
from shared.bus.kafka import KafkaBus
from shared.clock import utc_now
from shared.consumer import Subscription, consume_forever, types_of
from shared.contracts import Contract, feedback, incidents
from shared.database import Database, sqlite_url
from shared.envelope import Event, encode
from shared.ids import new_id
from shared.migrations import upgrade
from shared.outbox import outbox, publish, relay_forever
from tests.engines.postgres import Postgres, free_port, new_folder

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
MEASURED_CORE = 0
LONGEST_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Figure:
    """`events` in `seconds` of the clock, and in `cpu` seconds of this process. `longest`: the
    longest that another writer would have waited for the database, in seconds."""

    name: str
    events: int
    seconds: float
    cpu: float
    longest: float = 0.0


@dataclass(frozen=True, slots=True)
class Engines:
    """Where tables and records go."""

    name: str
    db: Database
    bus: Bus


# -- events ----------------------------------------------------------------------------------------


def event(data: Contract, subject: str, version: int, at: datetime) -> Event:
    return Event(
        id=new_id("evt"),
        source="/groundswell/bench",
        subject=subject,
        time=at,
        version=version,
        correlation_id=new_id("cor"),
        causation_id=None,
        traceparent=None,
        data=data,
    )


def stories(count: int, themes: int, *, days: float = 60.0) -> list[Event]:
    """`count` events of incidents that open and end, over so many themes, some of them far larger."""
    rng = random.Random(1)
    found: list[Event] = []
    for n in range(count // 2):
        at = START + timedelta(days=rng.random() * days)
        theme = int(rng.random() ** 2 * themes)
        opened = incidents.IncidentOpened(
            incident_id=f"inc_{n}",
            at=at,
            source="bench",
            title=f"Service pain {theme} took {n} ms",
            alert_name=f"Alert{theme}x",
            service=f"svc-{theme % 37}",
            product="Checkout",
            severity="medium",
            customers_affected=rng.randrange(50),
        )
        end = at + timedelta(hours=2)
        resolved = incidents.IncidentResolved(incident_id=f"inc_{n}", at=end, opened_at=at)
        found += [event(opened, f"inc_{n}", 1, at), event(resolved, f"inc_{n}", 2, end)]
    return sorted(found, key=lambda one: one.time)


def rises(count: int) -> list[Event]:
    """So many themes that rose, once each."""
    found: list[Event] = []
    for n in range(count):
        at = START + timedelta(seconds=n)
        reason = feedback.ReasonData(detector="recurrence", name="count", text="Five in 28 days.")
        rise = feedback.RiseData(
            detector="recurrence", rose_at=at, fell_at=None, last_at=at, reasons=[reason]
        )
        numbers = feedback.EvidenceNumbersData(
            as_of=at, total=5 + n % 40, opened_28d=5 + n % 40, weekly_counts=[0] * 11 + [5]
        )
        said = feedback.ThemeEscalated(
            theme_id=f"thm_{n}",
            at=at,
            product="Checkout",
            service=f"svc-{n % 37}",
            title=f"Pain {n}",
            reasons=[reason],
            evidence=numbers,
            rises=[rise],
        )
        found.append(event(said, f"thm_{n}", 1, at))
    return found


# -- measuring -------------------------------------------------------------------------------------


async def _until(done: Callable[[], Awaitable[bool]], pause: float = 0.02) -> None:
    async with asyncio.timeout(LONGEST_SECONDS):
        while not await done():
            await asyncio.sleep(pause)


@asynccontextmanager
async def _working(job: Awaitable[None]) -> AsyncGenerator[None]:
    task = asyncio.ensure_future(job)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _settled() -> None:
    """What the preparation left behind is nothing that the collector has to look through."""
    gc.collect()
    gc.freeze()


def _beat() -> None:
    return None


async def relay(on: Engines, count: int) -> Figure:
    """An outbox of `count` events is emptied onto the bus."""
    told = stories(count, 100)
    for start in range(0, count, 2_000):
        async with on.db.begin() as conn:
            await publish(conn, told[start : start + 2_000])

    told.clear()
    _settled()

    async def empty() -> bool:
        async with on.db.read() as conn:
            return not (await conn.execute(select(func.count()).select_from(outbox))).scalar_one()

    began, cpu = time.perf_counter(), time.process_time()
    async with _working(relay_forever("bench", on.db, on.bus, _beat)):
        await _until(empty, 0.05)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return Figure(f"relay, {on.name}", count, seconds, cpu)


async def _consumed(
    on: Engines, told: list[Event], sub: Subscription, name: str, *, probed: bool = False
) -> Figure:
    for start in range(0, len(told), 2_000):
        await on.bus.send([encode(one) for one in told[start : start + 2_000]])
    seen, count = 0, len(told)
    told.clear()
    _settled()
    handled = asyncio.Event()

    async def counting(conn: AsyncConnection, events: Sequence[Event]) -> None:
        nonlocal seen
        await sub.handle(conn, events)
        seen += len(events)
        if seen >= count:
            handled.set()

    counted = Subscription(sub.group, sub.topics, sub.types, counting)
    longest = [0.0]
    began, cpu = time.perf_counter(), time.process_time()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_working(consume_forever(on.db, on.bus, counted, _beat)))
        if probed:
            await stack.enter_async_context(_working(_another_writer(on.db, longest)))
        await asyncio.wait_for(handled.wait(), LONGEST_SECONDS)
        async with on.db.begin():  # the last batch is committed
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return Figure(name, count, seconds, cpu, longest[0])


async def _another_writer(db: Database, longest: list[float]) -> None:
    """Somebody who wants to write now and then, and how long he waits for his turn at most."""
    while True:
        began = time.perf_counter()
        await db.ping()
        longest[0] = max(longest[0], time.perf_counter() - began)
        await asyncio.sleep(0.05)


async def consumer(on: Engines, count: int) -> Figure:
    """`count` records are claimed, handled for next to nothing, and committed."""

    async def cheap(_conn: AsyncConnection, _events: Sequence[Event]) -> None:
        return None

    types = types_of(incidents.IncidentOpened, incidents.IncidentResolved)
    sub = Subscription("bench", (incidents.TOPIC,), types, cheap)
    return await _consumed(on, stories(count, 100), sub, f"consumer, {on.name}")


async def ledger(on: Engines, count: int, themes: int) -> Figure:
    """`count` events become evidence of `themes` themes."""
    sub = feedback_subscriptions(utc_now)[0]
    name = f"feedback, {themes} themes, {on.name}"
    return await _consumed(on, stories(count, themes), sub, name, probed=True)


async def candidates(on: Engines, count: int) -> Figure:
    """`count` themes rise, and each gets a candidate."""
    return await _consumed(on, rises(count), ROADMAP, f"roadmap raises, {on.name}", probed=True)


# -- engines ---------------------------------------------------------------------------------------

FEEDBACK, ROADMAP_TABLES = feedback_app.MIGRATIONS, roadmap_app.MIGRATIONS


@asynccontextmanager
async def _alone(migrations: Path) -> AsyncGenerator[Engines]:
    """SQLite and the embedded bus."""
    with tempfile.TemporaryDirectory(prefix="pump-") as folder:
        url = sqlite_url(folder, "service.sqlite3")
        await upgrade(url, migrations)
        db, bus = Database(url), EmbeddedBus(sqlite_url(folder, "bus.sqlite3"))
        await bus.start()
        try:
            yield Engines("SQLite and embedded bus", db, bus)
        finally:
            await bus.stop()
            await db.close()


MOCK = """
import sys, tests.engines.mock_kafka as mock
one = mock.MockKafka()
for topic in sys.argv[1:]:
    one.create(topic, 4)
print(one.servers, flush=True)
sys.stdin.read()
one.stop()
"""


@contextmanager
def _mock_kafka(*topics: str) -> Any:
    """A mock cluster in a process of its own; its address."""
    process = subprocess.Popen(
        [sys.executable, "-c", MOCK, *topics],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdin
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(timeout=10)


@asynccontextmanager
async def _distributed(migrations: Path) -> AsyncGenerator[Engines]:
    """PostgreSQL, and Kafka's protocol."""
    cluster = Postgres(new_folder(), free_port(), fsync=True)
    cluster.guard()
    cluster.start()
    try:
        url = cluster.url("postgres", "bench")
        await upgrade(url, migrations)
        with _mock_kafka(incidents.TOPIC, feedback.TOPIC) as servers:
            db, bus = Database(url), KafkaBus(servers)
            await bus.start()
            try:
                yield Engines("PostgreSQL and Kafka's protocol", db, bus)
            finally:
                await bus.stop()
                await db.close()
    finally:
        cluster.remove()


Part = Callable[[Engines], Awaitable[Figure]]
PARTS: dict[str, tuple[Callable[..., Any], Path, Part]] = {
    "relay": (_alone, FEEDBACK, lambda on: relay(on, 40_000)),
    "relay-pg": (_distributed, FEEDBACK, lambda on: relay(on, 40_000)),
    "consumer": (_alone, FEEDBACK, lambda on: consumer(on, 40_000)),
    "consumer-pg": (_distributed, FEEDBACK, lambda on: consumer(on, 40_000)),
    "feedback": (_alone, FEEDBACK, lambda on: ledger(on, 20_000, 300)),
    "feedback-few": (_alone, FEEDBACK, lambda on: ledger(on, 20_000, 5)),
    "feedback-pg": (_distributed, FEEDBACK, lambda on: ledger(on, 20_000, 300)),
    "roadmap": (_alone, ROADMAP_TABLES, lambda on: candidates(on, 600)),
    "roadmap-pg": (_distributed, ROADMAP_TABLES, lambda on: candidates(on, 600)),
}


async def _measure(name: str, profiled: bool) -> Figure:
    engines, migrations, part = PARTS[name]
    async with engines(migrations) as on:
        os.sched_setaffinity(0, {MEASURED_CORE} & os.sched_getaffinity(0) or {0})
        if not profiled:
            return await part(on)
        profile = cProfile.Profile()
        profile.enable()
        figure = await part(on)
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)
        return figure


def _apart(name: str, tree: Path) -> Figure:
    """The part with this tree's code, in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "--one", name],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS * 2,
    )
    if done.returncode:
        raise RuntimeError(f"{name} failed in {tree.name}:\n{done.stderr[-3000:]}")
    return Figure(**json.loads(done.stdout.splitlines()[-1]))


def _row(name: str, figures: Sequence[Figure], before: Sequence[Figure]) -> str:
    rate = median(one.events / one.seconds for one in figures)
    cpu = median(one.events / one.cpu for one in figures)
    longest = max(one.longest for one in figures)
    cells = [figures[0].name, f"{rate:,.0f}", f"{cpu:,.0f}", f"{longest:.2f}" if longest else ""]
    if before:
        cells.append(f"{rate / median(one.events / one.seconds for one in before):.2f}")
        cells.append(f"{cpu / median(one.events / one.cpu for one in before):.2f}")
        waited = max(one.longest for one in before)
        cells.append(f"{waited:.2f}" if waited else "")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--beside", type=Path, help="another checkout to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="where the time goes; one round")
    parser.add_argument("--one", choices=PARTS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    logs.configure("console")
    if asked.one or asked.profile:
        for name in [asked.one] if asked.one else asked.parts or list(PARTS):
            print(json.dumps(asdict(asyncio.run(_measure(name, asked.profile)))))
        return
    here = Path(__file__).resolve().parents[1]
    heads = ["part", "events/s", "events/CPU s", "a writer waited, s"]
    heads += ["ratio", "CPU ratio", "waited before, s"] if asked.beside else []
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}", flush=True)
    for name in asked.parts or list(PARTS):
        mine: list[Figure] = []
        others: list[Figure] = []
        for _ in range(asked.rounds):
            mine.append(_apart(name, here))
            if asked.beside:
                others.append(_apart(name, asked.beside.resolve()))
        print(_row(name, mine, others), flush=True)


if __name__ == "__main__":
    main()
