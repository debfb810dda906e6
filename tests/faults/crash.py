"""The crash walk: kill the process at every failpoint, at its first, second … n-th hit, and check.

    python -m tests.faults.crash                      # every point, on both engines
    python -m tests.faults.crash --engine embedded --points 60 --seed 7
    python -m tests.faults.crash --engine embedded --at relay.sent:3

A point is one life of the whole system, ended by SIGKILL at its failpoint while a sender works with
it; the next life goes on with the same data. Ends with 1 on any violation, naming what repeats it.
"""

import argparse
import json
import os
import random
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.crash_points import (
    PLANTED,
    PORTS,
    PORTS_PER_WORKER,
    Point,
    chains,
    names_on,
    planted_points,
    walk,
)

WALK = {"embedded": 1400, "distributed": 800}
"""Points of a full walk."""
WORKERS = 2
REACH_SECONDS = 180.0
STOP_SECONDS = 240.0
PLANTED_SECONDS = 900.0
NARROWING_SECONDS = 600.0
MOST_NARROWED = 3
"""Chains that went wrong and are narrowed down to their points."""


@dataclass
class Tally:
    """What one engine's chains came to."""

    planned: int = 0
    points: int = 0
    missed: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    seconds: float = 0.0
    crashed: Counter[str] = field(default_factory=Counter[str])
    missed_at: Counter[str] = field(default_factory=Counter[str])
    hits: Counter[str] = field(default_factory=Counter[str])
    violations: list[str] = field(default_factory=list[str])

    def add(self, result: dict[str, Any], again: str) -> None:
        self.points += len(result["crashed"])
        self.missed += len(result["missed"])
        self.acknowledged += result["acknowledged"]
        self.lost += result["lost"]
        self.doubled += result["doubled"]
        self.seconds += result["seconds"]
        self.crashed.update(name for name, *_ in result["crashed"])
        self.missed_at.update(name for name, *_ in result["missed"])
        self.hits.update(result["hits"])
        self.violations += [f"{what} [{again}]" for what in result["violations"]]

    def to_json(self) -> dict[str, Any]:
        kept = ("planned", "points", "missed", "acknowledged", "lost", "doubled")
        return {
            **{name: getattr(self, name) for name in kept},
            "violations": len(self.violations),
            "seconds": round(self.seconds, 1),
        }


Numbered = tuple[int, list[Point]]


def play(
    engine: str,
    seed: int,
    numbered: Sequence[Numbered],
    deadline: float,
    planted: str | None = None,
    *,
    mock: bool = False,
) -> Iterator[dict[str, Any]]:
    """Have the workers play these chains; yields what each came to. Stops at the deadline."""
    folder = Path(tempfile.mkdtemp(prefix="groundswell-crash-"))
    workers: list[subprocess.Popen[str]] = []
    broken = False
    first_port = random.choice(PORTS)
    try:
        for number in range(min(WORKERS, len(numbered)) or 1):
            own = folder / f"worker-{number}"
            own.mkdir()
            orders = {
                "engine": engine,
                "seed": seed,
                "chains": list(numbered[number::WORKERS]),
                "port": first_port + number * PORTS_PER_WORKER,
                "folder": str(own),
                "planted": planted,
                "mock": mock,
            }
            with (own / "worker.log").open("w") as log:
                command = [sys.executable, "-m", "tests.faults.crash_worker", json.dumps(orders)]
                workers.append(
                    subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
                )
        for result in _results(workers, deadline):
            broken |= bool(result.get("violations")) and planted is None
            yield result
        if time.monotonic() < deadline:
            _check_ended(workers, folder)
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.terminate()
        for worker in workers:
            worker.wait(STOP_SECONDS)
            if worker.stdout is not None:
                worker.stdout.close()
        if not broken and sys.exc_info()[0] is None:
            shutil.rmtree(folder, ignore_errors=True)


def _check_ended(workers: Sequence[subprocess.Popen[str]], folder: Path) -> None:
    for number, worker in enumerate(workers):
        if worker.wait(60):
            said = (folder / f"worker-{number}" / "worker.log").read_text()[-3000:]
            raise SystemExit(f"a worker failed (its files are in {folder}):\n{said}")


def _results(workers: Sequence[subprocess.Popen[str]], deadline: float) -> Iterator[dict[str, Any]]:
    """The lines of all workers, as they come."""
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            assert worker.stdout is not None
            selector.register(worker.stdout, selectors.EVENT_READ)
        while selector.get_map() and time.monotonic() < deadline:
            for key, _ in selector.select(1.0):
                line = key.fileobj.readline()  # type: ignore[union-attr]
                if line:
                    yield json.loads(line)
                else:
                    selector.unregister(key.fileobj)


def again(engine: str, seed: int, result: dict[str, Any], wanted: argparse.Namespace) -> str:
    """The command that plays just this chain, and so this point, once more."""
    points = f" --points {wanted.points}" if wanted.points is not None else ""
    points += " --mock" if wanted.mock else ""
    points += f" --plant {wanted.plant}" if wanted.plant else ""
    if wanted.at:
        points += "".join(f" --at {one}" for one in wanted.at)
    return f'make crash ARGS="--engine {engine} --seed {seed}{points} --chain {result["chain"]}"'


def reach(engine: str) -> list[str]:
    """The failpoints of this engine that the story, played once without a crash, does not come to."""
    (said,) = play(engine, 0, [], time.monotonic() + REACH_SECONDS, mock=True)
    return [name for name in names_on(engine) if not said["reached"].get(name)]


def chosen(engine: str, wanted: argparse.Namespace) -> list[Numbered]:
    """The chains to play on an engine."""
    if wanted.at:
        points = [
            Point(name, int(hit or 1)) for name, _, hit in (a.partition(":") for a in wanted.at)
        ]
    else:
        points = walk(engine, WALK[engine])
        if wanted.points is not None:
            share = -(-wanted.points // len(wanted.engines))
            points = random.Random(wanted.seed).sample(points, min(share, len(points)))
    numbered = list(enumerate(chains(points, wanted.seed)))
    return [one for one in numbered if wanted.chain is None or one[0] == wanted.chain]


def narrowed(
    engine: str, result: dict[str, Any], wanted: argparse.Namespace, deadline: float
) -> Iterator[str]:
    """Which points of a chain that went wrong go wrong by themselves, and what repeats each."""
    alone = [(0, [Point(*point)]) for point in result["crashed"]]
    options = " --mock" if wanted.mock else ""
    options += f" --plant {wanted.plant}" if wanted.plant else ""
    results = play(engine, wanted.seed, alone, deadline, wanted.plant, mock=wanted.mock)
    for single in results:
        for name, hit, _ in single.get("crashed", ()):
            if single["violations"]:
                at = f"--engine {engine} --seed {wanted.seed}{options} --at {name}:{hit}"
                yield (
                    f"failpoint {name}, hit {hit}, seed {wanted.seed}: {single['violations'][0]}\n"
                    f'    make crash ARGS="--no-planted {at}"'
                )


def find_planted(wanted: argparse.Namespace, deadline: float) -> tuple[int, int]:
    """How many bugs were planted into the embedded engine, and how many of them the walk found."""
    found = 0
    for name in PLANTED:
        numbered = [(0, planted_points(name))]
        results = play("embedded", wanted.seed, numbered, deadline, planted=name)
        caught = [what for result in results for what in result.get("violations", ())]
        found += bool(caught)
        print(f"planted {name}: {caught[0] if caught else 'NOT FOUND'}")
    return len(PLANTED), found


def checkers_own() -> dict[str, Any]:
    """The bugs that are planted to test the checker itself, in a process of its own."""
    command = [sys.executable, "-m", "tests.faults.planted"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if not done.stdout.strip():
        raise SystemExit(f"the checker's own planted bugs could not be run:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--engine", choices=[*WALK, "both"], default="both")
    parser.add_argument("--points", type=int, help="a sample of so many points; all without it")
    parser.add_argument("--at", action="append", metavar="NAME:HIT", help="just this point")
    parser.add_argument("--chain", type=int, help="just the chain of this number")
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="stop after so long, though points are left"
    )
    parser.add_argument("--no-planted", action="store_true", help="plant no bugs to find")
    parser.add_argument("--plant", metavar="BUG", choices=list(PLANTED), help="with this bug in it")
    parser.add_argument("--mock", action="store_true", help="no real Kafka, even if there is Java")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    wanted = parser.parse_args()
    wanted.engines = list(WALK) if wanted.engine == "both" else [wanted.engine]
    return wanted


def walked(engine: str, wanted: argparse.Namespace, deadline: float) -> Tally:
    """Play this engine's chains, say what they came to, and narrow down what went wrong."""
    tally = Tally()
    suspects: list[dict[str, Any]] = []
    numbered = chosen(engine, wanted)
    tally.planned = sum(len(points) for _, points in numbered)
    for result in play(engine, wanted.seed, numbered, deadline, wanted.plant, mock=wanted.mock):
        if "reached" in result:
            continue
        tally.add(result, again(engine, wanted.seed, result, wanted))
        print(_progress(engine, result, tally), file=sys.stderr, flush=True)
        for what in result["violations"]:
            print(f"VIOLATION {engine} chain {result['chain']}: {what}", flush=True)
        if result["violations"]:
            suspects.append(result)
    for result in suspects[:MOST_NARROWED]:
        for line in narrowed(engine, result, wanted, time.monotonic() + NARROWING_SECONDS):
            print(line, flush=True)
    for name in names_on(engine):
        print(
            f"{engine:12} {name:32} {tally.crashed[name]:4} crashes"
            f" {tally.missed_at[name]:3} missed {tally.hits[name]:7} hits"
        )
    return tally


def main() -> int:
    wanted = parsed()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads would not survive a fork
    began = time.monotonic()
    deadline = began + wanted.minutes * 60
    tallies: dict[str, Tally] = {}
    for left, engine in zip(range(len(wanted.engines), 0, -1), wanted.engines, strict=True):
        share = (deadline - time.monotonic()) / left
        tallies[engine] = walked(engine, wanted, time.monotonic() + share)
    planted, found = (0, 0)
    if not wanted.no_planted:
        planted, found = find_planted(wanted, time.monotonic() + PLANTED_SECONDS)
        more = checkers_own()
        planted, found = planted + more["planted"], found + more["planted_found"]
    violations = [what for tally in tallies.values() for what in tally.violations]
    total = {
        "points": sum(tally.points for tally in tallies.values()),
        "acknowledged": sum(tally.acknowledged for tally in tallies.values()),
        "lost": sum(tally.lost for tally in tallies.values()),
        "doubled": sum(tally.doubled for tally in tallies.values()),
        "violations": violations[:50],
        "planted": planted,
        "planted_found": found,
        "seconds": round(time.monotonic() - began, 1),
        "by_engine": {engine: tally.to_json() for engine, tally in tallies.items()},
        "seed": wanted.seed,
    }
    print(json.dumps(total) if wanted.json else _told(total))
    untried = [engine for engine, tally in tallies.items() if tally.planned and not tally.points]
    for engine in untried:
        print(f"{engine}: there was no time for even one chain; give it --points or more --minutes")
    return 1 if violations or untried or found < planted else 0


def _progress(engine: str, result: dict[str, Any], tally: Tally) -> str:
    return (
        f"{engine} chain {result['chain']}: {len(result['crashed'])} crashes in"
        f" {result['seconds']} s, {len(result['violations'])} violations; {tally.points} so far"
    )


def _told(total: dict[str, Any]) -> str:
    return (
        f"{total['points']} crashes, {total['acknowledged']} acknowledged, {total['lost']} lost,"
        f" {total['doubled']} doubled, {len(total['violations'])} violations,"
        f" {total['planted_found']} of {total['planted']} planted bugs found,"
        f" {total['seconds']} s"
    )


if __name__ == "__main__":
    sys.exit(main())
