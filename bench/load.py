"""Load from Debian's `wrk`, on a core of its own: runs it, and reads what it prints."""

import math
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SERVER_CORE, GENERATOR_CORE = "0", "1"
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0, "h": 3_600_000.0}
LATE = 30
"""Seconds that a run may take beyond its time."""


class BenchFailed(Exception):
    """It can't be measured here; the sentence says what to do about it."""


@dataclass(frozen=True)
class Load:
    """What a run of wrk saw. Latencies in milliseconds; `errors` are requests that got no 2xx."""

    rate: float
    p50: float
    p99: float
    requests: int
    errors: int
    busy: float = 0.0
    """The generator's share of its own core; near 1 it was the generator that was measured."""


def pinned(core: str, *command: str) -> list[str]:
    """The command, on one core."""
    return ["taskset", "-c", core, *command]


def check_tools() -> None:
    """Raises BenchFailed with what to install."""
    for tool in ("taskset", "setpriv"):
        if not shutil.which(tool):
            raise BenchFailed(f"No `{tool}` here: `apt-get install util-linux`.")
    if not shutil.which("wrk"):
        raise BenchFailed("No `wrk` here: `apt-get install wrk` (a Debian package).")
    if not {int(SERVER_CORE), int(GENERATOR_CORE)} <= os.sched_getaffinity(0):
        raise BenchFailed(f"The bench needs two cores, {SERVER_CORE} and {GENERATOR_CORE}.")


def wrk(url: str, script: Path | None, connections: int, seconds: float, key: str = "") -> Load:
    """Load `url` for so long, in one thread. A request is repeated until the time is over."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency"]
    command += ["--timeout", "20s"]
    for name, value in authorization(key).items():
        command += ["-H", f"{name}: {value}"]
    if script is not None:
        command += ["-s", str(script)]
    before = os.times()
    done = subprocess.run(
        pinned(GENERATOR_CORE, *command, url),
        capture_output=True,
        text=True,
        timeout=seconds + LATE,
        check=False,
    )
    after = os.times()
    if done.returncode:
        raise BenchFailed(f"wrk failed: {done.stdout}{done.stderr}")
    used = after.children_user - before.children_user + after.children_system
    return parsed(done.stdout, (used - before.children_system) / max(1, round(seconds)))


def authorization(key: str) -> dict[str, str]:
    """The headers that show a key, if there is one."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def parsed(text: str, busy: float = 0.0) -> Load:
    """What wrk printed. Raises BenchFailed when it is not what wrk prints."""
    try:
        requests = int(_found(r"(\d+) requests in", text))
        rate = float(_found(r"Requests/sec:\s+([\d.]+)", text))
        p50, p99 = (milliseconds(_found(rf"(?m)^\s+{p}%\s+(\S+)", text)) for p in (50, 99))
    except (AttributeError, KeyError) as wrong:
        raise BenchFailed(f"wrk printed what can't be read:\n{text}") from wrong
    if not requests:
        p50 = p99 = math.nan  # it answered nothing in that time, which is no quick answer
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(
        r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text
    )
    errors = int(refused.group(1)) if refused else 0
    errors += sum(map(int, broken.groups())) if broken else 0
    return Load(rate, p50, p99, requests, errors, busy)


def milliseconds(text: str) -> float:
    """`1.53ms`, `890.00us`, `1.2s` in milliseconds."""
    amount, unit = re.fullmatch(r"([\d.]+)([a-z]+)", text).groups()  # pyright: ignore[reportOptionalMemberAccess]
    return float(amount) * UNITS[unit]


def _found(pattern: str, text: str) -> str:
    return re.search(pattern, text).group(1)  # pyright: ignore[reportOptionalMemberAccess]
