"""Kills at random under load: which process, when, and for how long is drawn from a seed."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.engines.processes import Process, ProcessFailed
from tests.faults.chaos_load import Load
from tests.faults.chaos_system import System, Victim
from tests.faults.checker import check
from tests.faults.crash_marks import broken, lost_and_doubled
from tests.faults.history import read
from tests.faults.settle import databases_of, settle
from tests.faults.stored import Stored

WORK_SECONDS = (0.2, 1.5)
"""Between a start and the next kill."""
DOWN_SECONDS = (0.0, 0.8)
HANG_SECONDS = (1.0, 6.0)
HANGS = 0.12
"""Share of the blows that stop a process for a while instead of killing it."""
EARLY = 0.15
"""Share of the restarts that are not waited for: the next blow may fall into a start."""
READY_SECONDS = 90.0
SETTLE_SECONDS = 60.0


@dataclass
class Outcome:
    """What a part of the walk came to."""

    name: str
    kills: int = 0
    acknowledged: int = 0
    """So far, in this system: each part goes on where the one before ended."""
    lost: int = 0
    doubled: int = 0
    seconds: float = 0.0
    settled_seconds: float = 0.0
    blows: Counter[str] = field(default_factory=Counter[str])
    problems: list[str] = field(default_factory=list[str])
    facts: dict[str, object] = field(default_factory=dict[str, object])


async def walk(system: System, chance: random.Random, kills: int, until: float) -> Outcome:
    """Kill at random under load, until so many kills or the time `until`; then settle and check."""
    began = time.monotonic()
    outcome = Outcome(system.engine)
    async with Load(system, random.Random(chance.random())).running():
        while outcome.kills < kills and time.monotonic() < until:
            await asyncio.sleep(chance.uniform(*WORK_SECONDS))
            name = chance.choice(sorted(system.victims))
            await _blow(system.victims[name], name, chance, outcome)
        await everything_up(system)
        await asyncio.sleep(1)
    await judge(system, outcome)
    outcome.seconds = time.monotonic() - began
    return outcome


async def _blow(victim: Victim, name: str, chance: random.Random, outcome: Outcome) -> None:
    if chance.random() < HANGS:
        outcome.blows[f"hang {name}"] += 1
        victim.pause()
        await asyncio.sleep(chance.uniform(*HANG_SECONDS))
        victim.resume()
        return
    if not isinstance(victim, Process) or victim.up:
        outcome.blows[f"kill {name}"] += 1
        outcome.kills += 1
        await asyncio.to_thread(victim.kill)
    await asyncio.sleep(chance.uniform(*DOWN_SECONDS))
    if isinstance(victim, Process):
        victim.launch()
        if chance.random() < EARLY:
            return
        try:
            await asyncio.to_thread(victim.wait_until_ready)
        except ProcessFailed:
            # What it stands on may be away itself; it is looked after at the end.
            outcome.blows[f"not ready {name}"] += 1
    else:
        await asyncio.to_thread(victim.start)


async def everything_up(system: System) -> None:
    """Start again what ended, and wait until every process is ready. Raises ProcessFailed."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        for process in system.processes.values():
            if not process.up:
                process.launch()
        try:
            for process in system.processes.values():
                await asyncio.to_thread(process.wait_until_ready, READY_SECONDS)
        except ProcessFailed:
            if time.monotonic() > deadline:
                raise
        else:
            return


async def judge(system: System, outcome: Outcome) -> None:
    """Wait until all is at rest, and hold what clients ever saw against what is stored."""
    settled = await settle(databases_of(system.dbs, system.reader), within=SETTLE_SECONDS)
    outcome.settled_seconds = settled.seconds
    stored = await Stored.load(system.dbs, system.reader)
    report = check(read(system.histories), stored, poison=system.poison)
    lost, doubled = lost_and_doubled(system.acknowledged, stored)
    outcome.acknowledged = report.acknowledged + len(system.acknowledged)
    outcome.lost = report.lost + lost
    outcome.doubled = report.doubled + doubled
    outcome.problems += [
        f"{v.promise} {v.about}: {v.what}" for v in (*settled.violations, *report.violations)
    ]
    outcome.problems += broken(system.acknowledged, system.uncertain, stored)
    outcome.facts |= {"candidates": len(stored["candidates"]), "events": len(stored.log)}
