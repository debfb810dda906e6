"""Interleaves contestants in rounds, A B C A B C, so that what drifts, drifts for all; takes medians."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx

from bench.bodies import Shape, first_posts, script
from bench.load import BenchFailed, Load, authorization, wrk
from bench.server import Server

SETTLE_SECONDS = 20.0
PRIME_SECONDS = 30.0
TOLERATED = 0.001
"""Share of requests that may fail before a rate says nothing."""


@dataclass(frozen=True)
class Effort:
    """How long to look."""

    rounds: int
    seconds: float
    warm_seconds: float = 1.0


@dataclass(frozen=True)
class Result:
    """Medians over the rounds; rates in requests a second, latencies in ms, memory in MB."""

    rate: float
    p50: float
    p99: float
    drained: float
    """Seconds until it had nothing left to do, after a round; what it puts off is not free."""
    memory: float
    busy: float


def interleave(
    servers: Sequence[Server], load: Callable[[Server, int, float], Load], effort: Effort
) -> dict[str, Result]:
    """Each server's result by its name. Who has no turn is paused, once it has nothing left to do.

    `load` takes the server, the number of the round, of which 0 is the warm-up, and the seconds.
    """
    loads: dict[str, list[Load]] = {server.name: [] for server in servers}
    drained: dict[str, list[float]] = {server.name: [] for server in servers}
    for turn in range(effort.rounds + 1):
        for server in servers:
            server.resume()
            seen = load(server, turn, effort.seconds if turn else effort.warm_seconds)
            took = server.settle(SETTLE_SECONDS)
            server.pause()
            if turn:
                check(server, seen)
                loads[server.name].append(seen)
                drained[server.name].append(took)
    return {s.name: _result(loads[s.name], drained[s.name], s.rss_mb()) for s in servers}


def compete(
    servers: Sequence[Server], folder: Path, shape: Shape, *, connections: int, effort: Effort
) -> dict[str, Result]:
    """Interleave servers that take in alerts, each in its own form; what repeats is known to all."""

    def posts(server: Server, turn: int, seconds: float) -> Load:
        if not turn and shape.repeats:
            prime(server, first_posts(shape, server.form))
        name = f"c{connections}a{shape.alerts}p{shape.repeats}r{turn}-"
        path = script(folder, shape, name, form=server.form)
        return wrk(server.url + server.path, path, connections, seconds, server.key)

    return interleave(servers, posts, effort)


def prime(server: Server, bodies: Sequence[bytes]) -> None:
    """Make known what will repeat. Raises BenchFailed when it isn't taken."""
    headers = {"Content-Type": "application/json", **authorization(server.key)}
    with httpx.Client(headers=headers, timeout=PRIME_SECONDS, trust_env=False) as client:
        for body in bodies:
            answer = client.post(server.url + server.path, content=body)
            if not answer.is_success:
                raise BenchFailed(
                    f"{server.name} refuses {answer.status_code}: {answer.text[:500]}"
                )


def check(server: Server, seen: Load) -> None:
    """Raises BenchFailed when more than next to nothing of the load was refused."""
    if seen.errors > TOLERATED * seen.requests:
        said = f"{seen.errors} of {seen.requests} requests failed"
        raise BenchFailed(f"{server.name} can't be measured, {said}: {server.said()}")


def _result(loads: Sequence[Load], drained: Sequence[float], memory: float) -> Result:
    return Result(
        median(one.rate for one in loads),
        median(one.p50 for one in loads),
        median(one.p99 for one in loads),
        median(drained),
        memory,
        median(one.busy for one in loads),
    )
