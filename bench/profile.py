"""`make profile`: where the time of the hot road goes, by layer and by function.

    python -m bench.profile [--engine sqlite|postgresql] [--alerts 1] [--connections 16]

The server runs as in the bench, under load from wrk, with a deterministic profiler in its main thread:
calls cost more than they do without it, so read the shares. SQLite's own work is in a thread of its
own, PostgreSQL's in processes; here both are time in which something else runs, or nothing.
"""

import argparse
import pstats
import signal
import sys
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from bench.bodies import Shape, first_posts, script, starting_now
from bench.contestants import groundswell
from bench.load import BenchFailed, check_tools, wrk
from bench.place import place
from bench.rounds import prime
from bench.server import ROOT, module

TOP = 30
WRITE_SECONDS = 30.0
DEPTH = 3
"""Folders of our own code that make a layer: services/incidents/signals."""

Function = tuple[str, int, str]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make profile", description="Profile the hot road.")
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--alerts", type=int, default=1, help="alerts a request")
    parser.add_argument("--repeats", type=int, choices=(0, 90), default=90)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=8)
    chosen = parser.parse_args()
    try:
        check_tools()
        requests, stats = profile(chosen)
    except BenchFailed as wrong:
        print(wrong, file=sys.stderr)
        return 1
    print(shown(requests, own_times(stats)))
    return 0


def profile(chosen: argparse.Namespace) -> tuple[int, pstats.Stats]:
    """How many requests were answered under the profiler, and what it saw."""
    with place() as here:
        database = here.database() if chosen.engine == "postgresql" else None
        server = groundswell(here, database=database)
        file = here.folder / "profile"
        server = here.own(replace(server, command=module("bench.profiled", str(file)))).start()
        shape = Shape(chosen.alerts, chosen.repeats, starting_now())
        prime(server, first_posts(shape, server.form))
        url = server.url + server.path
        wrk(url, script(here.folder, shape, "warm-"), chosen.connections, 2, server.key)
        server.settle(WRITE_SECONDS)
        server.signal(signal.SIGUSR1)
        path = script(here.folder, shape, "seen-")
        seen = wrk(url, path, chosen.connections, chosen.seconds, server.key)
        server.signal(signal.SIGUSR2)
        deadline = time.monotonic() + WRITE_SECONDS
        while not (file.exists() and file.stat().st_size):
            if time.monotonic() > deadline:
                raise BenchFailed(f"the profiler wrote nothing: {server.said()}")
            time.sleep(0.1)
        time.sleep(0.5)  # it writes in one go, but not in one step
        return seen.requests, pstats.Stats(str(file))


def own_times(stats: pstats.Stats) -> dict[Function, tuple[int, float]]:
    """Function → how often it was called, and the seconds spent in itself."""
    every = stats.stats  # pyright: ignore[reportAttributeAccessIssue]
    return {function: (calls, own) for function, (_, calls, own, _, _) in every.items()}


def layer(function: Function) -> str:
    """Which part of the road a function belongs to: a folder of ours, or a library."""
    file, _, name = function
    path = Path(file)
    if path.is_relative_to(ROOT):
        return "/".join(path.relative_to(ROOT).parts[:-1][:DEPTH])
    if "site-packages" in path.parts:
        return path.parts[path.parts.index("site-packages") + 1]
    if file == "~":
        return f"built in: {name.strip('<>').split()[-1]}" if "method" not in name else "built in"
    return f"python: {path.parent.name if path.name == '__init__.py' else path.stem}"


def shown(requests: int, times: dict[Function, tuple[int, float]]) -> str:
    """Two tables: microseconds of a request by layer, and the functions with most time of their own."""
    layers: dict[str, float] = defaultdict(float)
    for function, (_, own) in times.items():
        layers[layer(function)] += own
    total = sum(layers.values())
    a_request = 1e6 / max(1, requests)
    lines = [f"{requests:,} requests, {total * a_request:,.0f} µs each under the profiler", ""]
    lines += ["| layer | µs a request | share |", "|---|---|---|"]
    for name, own in sorted(layers.items(), key=lambda entry: -entry[1])[:TOP]:
        lines.append(f"| {name} | {own * a_request:,.1f} | {own / total:.1%} |")
    lines += ["", "| function | calls a request | own µs a request |", "|---|---|---|"]
    for function, (calls, own) in sorted(times.items(), key=lambda entry: -entry[1][1])[:TOP]:
        file, line, name = function
        where = f"{layer(function)}: {Path(file).name}:{line} {name}" if line else name
        lines.append(f"| {where} | {calls / max(1, requests):.2f} | {own * a_request:,.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
