"""Events a second through the relay and the consumers, as the services run them, on one core.

    python -m bench.events --count 20000 [--database URL] [--kafka SERVERS]

prints them as JSON; `measure` starts that on the server's core.
"""

import argparse
import asyncio
import json
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import uvloop
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.figures import Figure, Outcome, Table, number
from bench.load import SERVER_CORE, BenchFailed, pinned
from bench.place import place
from bench.server import ROOT, module
from services.engines import MIGRATIONS, TOPICS, bus_of
from services.feedback.consumers import subscriptions
from shared import logs
from shared.clock import utc_now
from shared.consumer import Subscription, consume_forever
from shared.contracts.incidents import IncidentOpened
from shared.database import Database
from shared.envelope import Event
from shared.ids import new_id
from shared.migrations import upgrade
from shared.outbox import outbox, publish, relay_forever
from shared.settings import Settings
from tests.engines.kafka_broker import VERSION, Broker, jars_folder
from tests.engines.kafka_broker import free_port as free_ports

FLOOR = 20_000
PARTS = {
    "relay": "relay: outbox to bus, deleted once sent",
    "consumer": "consumer: inbox and offsets, with a handler that does nothing",
    "feedback": "consumer of feedback: evidence, detection and all",
}
SECONDS = 240.0
THEMES = 200


def measure(*, quick: bool) -> Outcome:
    count = 5_000 if quick else 50_000
    shown = Table("Events, on one core", ("engines", *PARTS.values()))
    figures: list[Figure] = []
    with place() as here:
        setups: dict[str, list[str]] = {
            "SQLite, embedded bus": [],
            "PostgreSQL, embedded bus": ["--database", here.database()],
        }
        broker = _broker(here.fresh("kafka"))
        if broker is not None:
            broker.start()
            setups["PostgreSQL, Kafka"] = ["--database", here.database(), "--kafka", broker.servers]
        else:
            shown.notes.append("No files of Kafka here (`make test-kafka` fetches them): left out.")
        try:
            for name, options in setups.items():
                rates = _run(count, options)
                shown.rows.append((name, *(number(rates[part]) for part in PARTS)))
                for part, what in PARTS.items():
                    floor = None if part == "feedback" else FLOOR
                    figures.append(Figure(f"{what}: {name}", rates[part], "events/s", "", floor))
        finally:
            if broker is not None:
                broker.stop()
    shown.notes.append(
        f"{count:,} `incident.opened` of {THEMES} themes in one backlog. The floor is asked of the"
        " relay and of the consumer itself; what a service makes of an event is shown beside it."
        " Engines that are processes of their own may run on either core."
    )
    return Outcome([shown], figures)


def _broker(folder: Path) -> Broker | None:
    jars = jars_folder()
    return Broker(folder, free_ports(), jars) if (jars / f"libs-{VERSION}").exists() else None


def _run(count: int, options: list[str]) -> dict[str, float]:
    command = pinned(SERVER_CORE, *module("bench.events", "--count", str(count), *options))
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=4 * SECONDS, check=False
    )
    if done.returncode:
        raise BenchFailed(f"events could not be measured: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


async def rates(settings: Settings, count: int) -> dict[str, float]:
    """Events a second of each of PARTS."""
    for name in ("incidents", "feedback"):
        await upgrade(settings.database_url(name), MIGRATIONS[name])
    incidents = Database(settings.database_url("incidents"))
    feedback = Database(settings.database_url("feedback"))
    bus = bus_of(settings)
    await bus.start()
    if servers := settings.kafka_servers():
        from shared.bus.kafka import KafkaBus

        await KafkaBus(servers).ensure_topics(TOPICS)
    try:
        await _fill(incidents, count)
        relaying = relay_forever("incidents", incidents, bus, _beat)
        relayed = await _timed(relaying, lambda: _is_empty(incidents))
        sub = subscriptions(utc_now)[0]

        async def nothing(_: AsyncConnection, __: Sequence[Event]) -> None: ...

        idle = replace(sub, group="bench", handle=nothing)
        taken = {
            "consumer": await _consumed(incidents, bus, idle, count),
            "feedback": await _consumed(feedback, bus, sub, count),
        }
        return {"relay": count / relayed, **{name: count / t for name, t in taken.items()}}
    finally:
        await bus.stop()
        await incidents.close()
        await feedback.close()


async def _fill(db: Database, count: int) -> None:
    began = utc_now() - timedelta(days=20)
    for first in range(0, count, 1000):
        events = [
            _event(n, began + timedelta(minutes=n % 25_000)) for n in range(first, first + 1000)
        ]
        async with db.begin() as conn:
            await publish(conn, events)


def _event(n: int, at: object) -> Event:
    theme = n % THEMES
    opened = IncidentOpened.model_validate(
        {
            "incident_id": new_id("inc"),
            "at": at,
            "source": "bench",
            "title": f"Bench{theme}",
            "alert_name": f"Bench{theme}",
            "service": f"bench-{theme % 20}",
            "product": f"product-{theme % 20}",
            "severity": "high",
            "labels": {"instance": str(n)},
        }
    )
    ids = new_id("evt"), opened.incident_id
    return Event(ids[0], "incidents", ids[1], opened.at, 1, ids[0], None, None, opened)


async def _is_empty(db: Database) -> bool:
    async with db.read() as conn:
        return not (await conn.execute(select(func.count()).select_from(outbox))).scalar_one()


async def _consumed(db: Database, bus: object, sub: Subscription, count: int) -> float:
    handled = 0

    async def counted(conn: AsyncConnection, events: Sequence[Event]) -> None:
        nonlocal handled
        await sub.handle(conn, events)
        handled += len(events)

    async def all_done() -> bool:
        return handled >= count

    watched = replace(sub, handle=counted)
    return await _timed(consume_forever(db, bus, watched, _beat), all_done)  # pyright: ignore[reportArgumentType]


async def _timed(work: Awaitable[None], done: Callable[[], Awaitable[bool]]) -> float:
    """Seconds until it is done; the work itself never ends."""
    began = time.perf_counter()
    task = asyncio.ensure_future(work)
    try:
        async with asyncio.timeout(SECONDS):
            while not await done():
                if task.done():
                    task.result()
                await asyncio.sleep(0.02)
        return time.perf_counter() - began
    finally:
        task.cancel()
        await asyncio.wait({task})


def _beat() -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--database")
    parser.add_argument("--kafka")
    chosen = parser.parse_args()
    logs.configure("console", "WARNING")
    with tempfile.TemporaryDirectory(prefix="groundswell-bench-") as folder:
        stated = {"data": folder, "database": chosen.database}
        stated["bus"] = f"kafka://{chosen.kafka}" if chosen.kafka else None
        settings = Settings.model_validate(stated)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            print(json.dumps(runner.run(rates(settings, chosen.count))))


if __name__ == "__main__":
    main()
