"""Faults of one kind each, under load, with what an operator was promised about them.

A scenario breaks something, says in `problems` what it saw against the promise, and mends it. What is
stored is judged afterwards by the caller. Each is for the engines that it names in SCENARIOS.
"""

import asyncio
import random
import subprocess
import sys
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack

import httpx

from shared.bus.bus import Delivered
from tests.engines.processes import COMMAND, ProcessFailed
from tests.faults.chaos_load import UNSURE
from tests.faults.chaos_next_version import next_version
from tests.faults.chaos_system import System
from tests.faults.chaos_walk import Outcome, everything_up
from tests.faults.client import Sender, new_signal
from tests.faults.history import History
from tests.faults.poison import poison_records

WORK_SECONDS = 2.0
SKEW_SECONDS = 3600
HANG_SECONDS = 13.0
"""Longer than a session of the group, and than the server keeps an idle transaction."""
MOST_COPIES = 300
SOON_SECONDS = 30.0

Scenario = Callable[[System, random.Random, Outcome, float], Awaitable[None]]


async def broker_away(
    system: System, chance: random.Random, outcome: Outcome, seconds: float
) -> None:
    """Ingest answers 202 as ever, everything stays ready; the outboxes drain afterwards."""
    assert system.broker is not None
    await asyncio.to_thread(system.broker.kill)
    outcome.kills += 1
    loop = asyncio.get_running_loop()
    over, posts = loop.time() + seconds, 0
    async with probing(system) as sender:
        while loop.time() < over:
            status = await sender.post([new_signal()])
            posts += 1
            if status != 202:
                outcome.problems.append(f"with no broker a signal was answered {status}")
            for process in system.processes.values():
                if (ready := await asyncio.to_thread(process.probe, "/readyz")) != 200:
                    outcome.problems.append(f"with no broker {process.name} said {ready}")
            await asyncio.sleep(0.3)
    await asyncio.to_thread(system.broker.start)
    outcome.facts |= {"away_seconds": seconds, "posts_while_away": posts}


async def database_away(
    system: System, chance: random.Random, outcome: Outcome, seconds: float
) -> None:
    """No 2xx without a database, 503 instead; not ready; and all by itself again afterwards."""
    assert system.postgres is not None
    await asyncio.to_thread(system.postgres.kill)
    outcome.kills += 1
    loop = asyncio.get_running_loop()
    over, refused = loop.time() + min(seconds, 20), 0
    async with probing(system) as sender:
        while loop.time() < over:
            status = await sender.post([new_signal()])
            refused += status == 503
            if status != 503:
                outcome.problems.append(f"with no database a signal was answered {status}")
            ready = await asyncio.to_thread(system.processes["incidents-api"].probe, "/readyz")
            if ready != 503:
                outcome.problems.append(f"with no database incidents-api said {ready}")
            await asyncio.sleep(0.3)
        await asyncio.to_thread(system.postgres.start)
        await until_accepted(sender, outcome)
    outcome.facts |= {"refused_while_away": refused}


async def poison_and_copies(
    system: System, chance: random.Random, outcome: Outcome, seconds: float
) -> None:
    """Unreadable records go aside and nothing else does; old events again, shuffled, change nothing."""
    async with AsyncExitStack() as stack:
        if system.broker is None:  # the embedded bus is one process's alone
            process = system.processes["groundswell"]
            await asyncio.to_thread(process.stop)
            stack.push_async_callback(everything_up, system)
        async with system.bus() as bus:
            log = list(await system.reader.log())
            copies = chance.sample(log, min(MOST_COPIES, len(log)))
            known = [one for one in copies if _known(one)]
            poison = poison_records()
            mixed = [one.record for one in known] + poison
            chance.shuffle(mixed)
            for record in mixed:
                await bus.send([record])
    system.poison |= {record.key for record in poison}
    outcome.facts |= {"copies": len(known), "poison": len(poison)}


async def wrong_clocks(
    system: System, chance: random.Random, outcome: Outcome, seconds: float
) -> None:
    """Processes whose clocks are an hour ahead or behind, side by side with right ones."""
    chosen = [p for p in system.processes.values() if "gateway" not in p.name]
    right = {process.name: process.command for process in chosen}
    for number, process in enumerate(chosen):
        by = SKEW_SECONDS if number % 2 else -SKEW_SECONDS
        process.command = (sys.executable, "-m", "tests.faults.skewed", str(by))
        await asyncio.to_thread(process.restart)
    await asyncio.sleep(WORK_SECONDS)
    for process in chosen:
        process.command = right[process.name]
        await asyncio.to_thread(process.restart)


async def hung(system: System, chance: random.Random, outcome: Outcome, seconds: float) -> None:
    """Workers that hang for longer than anybody waits; others take over, and they come back."""
    workers = [p for p in system.processes.values() if "worker" in p.name] or [
        system.processes["groundswell"]
    ]
    chosen = chance.sample(workers, min(2, len(workers)))
    for process in chosen:
        process.pause()
    await asyncio.sleep(HANG_SECONDS)
    for process in chosen:
        process.resume()
    await everything_up(system)


async def orderly_stops(
    system: System, chance: random.Random, outcome: Outcome, seconds: float
) -> None:
    """SIGTERM to every process in turn: each ends by itself, with status 0."""
    for process in system.processes.values():
        status = await asyncio.to_thread(process.restart)
        if status != 0:
            outcome.problems.append(f"{process.name} ended with {status} on SIGTERM")


async def rolling_upgrade(
    system: System, chance: random.Random, outcome: Outcome, seconds: float
) -> None:
    """The schema of the next version under old code, then old and new code side by side."""
    with next_version(system.folder) as environment:
        some = next(iter(system.processes.values()))
        await asyncio.to_thread(_migrate, {**some.env, **environment})
        await asyncio.sleep(WORK_SECONDS)
        old = {name: process.env for name, process in system.processes.items()}
        for process in system.processes.values():
            process.env = {**process.env, **environment}
            if await asyncio.to_thread(process.restart) != 0:
                outcome.problems.append(f"{process.name} did not stop cleanly in the upgrade")
        await asyncio.sleep(WORK_SECONDS)
        for name, process in system.processes.items():  # and back: a rollout that was undone
            process.env = old[name]
            await asyncio.to_thread(process.restart)


SCENARIOS: Mapping[str, tuple[Scenario, tuple[str, ...]]] = {
    "broker away": (broker_away, ("distributed",)),
    "database away": (database_away, ("distributed",)),
    "poison, copies, disorder": (poison_and_copies, ("embedded", "distributed")),
    "wrong clocks": (wrong_clocks, ("embedded", "distributed")),
    "hung": (hung, ("embedded", "distributed")),
    "orderly stops": (orderly_stops, ("embedded", "distributed")),
    "rolling upgrade": (rolling_upgrade, ("distributed",)),
}


def _known(one: Delivered) -> bool:
    return one.record.headers.get("ce_id", "").startswith("evt_") and "poison" not in one.record.key


def _migrate(environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        [COMMAND, "migrate"], env=environment, capture_output=True, text=True, timeout=60
    )
    if done.returncode:
        raise ProcessFailed(f"the next version can't migrate: {done.stdout}{done.stderr}")


class probing:
    """A sender of its own, with one attempt a signal, whose history counts like everybody's."""

    def __init__(self, system: System) -> None:
        self.client = httpx.AsyncClient(
            base_url=system.url,
            headers={"Authorization": f"Bearer {system.key}"},
            trust_env=False,
        )
        self.history = History(system.histories / f"probe-{uuid.uuid4().hex[:8]}.jsonl")

    async def __aenter__(self) -> Sender:
        return Sender(self.client, self.history, timeout=40.0, attempts=1, unsure=UNSURE)

    async def __aexit__(self, *_: object) -> None:
        self.history.close()
        await self.client.aclose()


async def until_accepted(sender: Sender, outcome: Outcome) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() - began < SOON_SECONDS:
        if await sender.post([new_signal()]) == 202:
            outcome.facts["accepted_again_after_seconds"] = round(loop.time() - began, 2)
            return
        await asyncio.sleep(0.2)
    outcome.problems.append(f"nothing was accepted within {SOON_SECONDS:g} s of the return")
