"""The chaos walk: real processes on both engines, killed at random under load, then fault by fault.

    python -m tests.faults.chaos                              # all of it; 100 kills and more
    python -m tests.faults.chaos --engine distributed --kills 10 --seed 7
    python -m tests.faults.chaos --only "broker away" --outage 180
    python -m tests.faults.chaos --minutes 2 --json           # a sample

The distributed engine stands on a PostgreSQL from a wheel and an Apache Kafka, which are killed too.
Ends with 1 when anything acknowledged was lost or doubled, or a promise was broken; the folder with
all logs and histories is then kept and named.
"""

import argparse
import asyncio
import json
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from tests.engines.kafka_broker import NoBroker
from tests.engines.processes import ProcessFailed
from tests.faults.chaos_full_disk import full_disk
from tests.faults.chaos_load import Load
from tests.faults.chaos_scenarios import SCENARIOS
from tests.faults.chaos_system import ENGINES, System, system
from tests.faults.chaos_walk import Outcome, everything_up, judge, walk
from tests.faults.planted import run_planted

KILLS = 60
"""At random, on each engine."""
OUTAGE_SECONDS = 120.0
SAMPLED_OUTAGE_SECONDS = 6.0
SAMPLED = ("broker away", "database away", "poison, copies, disorder")
"""The faults of a sample: those that take seconds."""
WALK_SHARE = 0.4
"""Of the time that a sample has, how much goes to kills at random."""


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kill real processes at random, and check.")
    parser.add_argument("--engine", choices=sorted(ENGINES), help="one of the two; else both")
    parser.add_argument("--kills", type=int, default=KILLS, help="random kills on each engine")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--minutes", type=float, help="a sample that takes about so long")
    parser.add_argument("--outage", type=float, help="seconds that the broker is away")
    parser.add_argument("--only", choices=[*SCENARIOS, "walk", "full disk"], help="one part only")
    parser.add_argument("--json", action="store_true", help="end on one JSON object")
    return parser.parse_args(arguments)


async def on_engine(engine: str, chosen: argparse.Namespace, share: float) -> list[Outcome]:
    """Every part on one engine, on one system that is never made anew."""
    chance = random.Random(f"{chosen.seed} {engine}")
    outcomes: list[Outcome] = []
    async with system(engine) as made:
        if chosen.only in (None, "walk"):
            until = time.monotonic() + share
            outcomes.append(await walk(made, chance, chosen.kills, until))
            tell(engine, outcomes[-1])
        for name in parts(engine, chosen):
            outcomes.append(await scenario(made, name, chance, chosen))
            tell(engine, outcomes[-1])
        if any(outcome.problems for outcome in outcomes):
            raise Broken(outcomes, f"logs and histories: {made.folder}")
    return outcomes


class Broken(Exception):
    """A promise was: what came of it, and where to look. Raised so that the folder is kept."""

    def __init__(self, outcomes: list[Outcome], where: str) -> None:
        super().__init__(where)
        self.outcomes = outcomes


def parts(engine: str, chosen: argparse.Namespace) -> Iterator[str]:
    for name, (_, engines) in SCENARIOS.items():
        sampled = chosen.minutes is None or name in SAMPLED
        if engine in engines and (name == chosen.only or (chosen.only is None and sampled)):
            yield name


async def scenario(
    made: System, name: str, chance: random.Random, chosen: argparse.Namespace
) -> Outcome:
    """One fault under load, mended, and judged with all that happened before it."""
    began = time.monotonic()
    outcome = Outcome(name)
    sampled = SAMPLED_OUTAGE_SECONDS if chosen.minutes else OUTAGE_SECONDS
    async with Load(made, random.Random(chance.random())).running():
        await SCENARIOS[name][0](made, chance, outcome, chosen.outage or sampled)
        await everything_up(made)
        await asyncio.sleep(1)
    await judge(made, outcome)
    outcome.seconds = time.monotonic() - began
    return outcome


def tell(engine: str, outcome: Outcome) -> None:
    """A line for whoever waits, and what went wrong."""
    print(
        f"{engine:12} {outcome.name:26} {outcome.kills:3} kills, {outcome.acknowledged} acknowledged,"
        f" {outcome.lost} lost, {outcome.doubled} doubled, at rest after"
        f" {outcome.settled_seconds:.1f} s, {outcome.seconds:.0f} s in all {outcome.facts or ''}",
        flush=True,
    )
    for problem in outcome.problems[:20]:
        print(f"    {problem}", flush=True)


def summary(found: dict[str, list[Outcome]], seed: int, seconds: float) -> dict[str, Any]:
    """The counts, over all and by engine. `acknowledged` of an engine is what its last part saw."""
    by_engine: dict[str, dict[str, Any]] = {}
    for engine, outcomes in found.items():
        by_engine[engine] = {
            "kills": sum(one.kills for one in outcomes),
            "acknowledged": max((one.acknowledged for one in outcomes), default=0),
            "lost": max((one.lost for one in outcomes), default=0),
            "doubled": max((one.doubled for one in outcomes), default=0),
            "violations": sum(len(one.problems) for one in outcomes),
            "parts": {one.name: one.facts for one in outcomes},
        }
    counted = ("kills", "acknowledged", "lost", "doubled", "violations")
    total = {name: sum(one[name] for one in by_engine.values()) for name in counted}
    return {**total, "seed": seed, "seconds": round(seconds, 1), "by_engine": by_engine}


async def run(chosen: argparse.Namespace) -> tuple[dict[str, list[Outcome]], list[str]]:
    """All that was asked for. Says where to look where something was wrong."""
    whole = asyncio.current_task()
    assert whole is not None
    # Told to end, it must not leave its processes behind.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, whole.cancel)
    found: dict[str, list[Outcome]] = {}
    wrong: list[str] = []
    engines = [chosen.engine] if chosen.engine else list(ENGINES)
    for engine in engines:
        share = chosen.minutes * 60 * WALK_SHARE / len(engines) if chosen.minutes else 3600.0
        try:
            found[engine] = await on_engine(engine, chosen, share)
        except Broken as broken:
            found[engine] = broken.outcomes
            wrong.append(str(broken))
    if "embedded" in engines and chosen.only in (None, "full disk"):
        outcome = await full_disk()
        tell("embedded", outcome)
        found["embedded on a full disk"] = [outcome]
        wrong += outcome.problems
    return found, wrong


def main() -> None:
    chosen = parsed()
    began = time.monotonic()
    print(f"seed {chosen.seed}", flush=True)
    try:
        found, wrong = asyncio.run(run(chosen))
    except asyncio.CancelledError:
        raise SystemExit(f"Told to end. Again with --seed {chosen.seed}.") from None
    except (NoBroker, ProcessFailed) as failed:
        raise SystemExit(f"{failed}\nAgain with --seed {chosen.seed}.") from failed
    said = summary(found, chosen.seed, time.monotonic() - began)
    if chosen.only is None:  # a checker that sees nothing wrong must be one that would
        said |= run_planted()
    if chosen.json:
        print(json.dumps(said))
    missed = said.get("planted") != said.get("planted_found")
    if wrong or missed:
        for where in wrong:
            print(where, file=sys.stderr)
        raise SystemExit(f"Promises were broken. Again with --seed {chosen.seed}.")


if __name__ == "__main__":
    main()
