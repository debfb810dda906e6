"""Starts the real programs, each with a log of its own, and ends them by their process id."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM, Signals
from typing import TypeVar

import httpx
import pytest

PACKAGES = {
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "chromium": "chromium",
    "node": "nodejs",
    "npm": "npm",
}
"""Program → the Debian package that has it."""

START_SECONDS = 60.0
STOP_SECONDS = 30.0
PATIENCE = 30.0
"""Seconds until what should happen counts as not happening. What works takes a few."""
LOG_TAIL = 6_000

STARTED: list["Program"] = []
"""The programs of the running test module; a test that fails shows their logs."""

Found = TypeVar("Found")


def binary(name: str) -> str:
    """The program's path. Fails the test, naming the package, where it is not installed."""
    path = shutil.which(name)
    if path is None:
        package = PACKAGES[name]
        pytest.fail(f"{name} is not installed: run `apt-get install {package}`", pytrace=False)
    return path


def until(
    probe: Callable[[], Found | None], what: str, seconds: float = PATIENCE, pause: float = 0.1
) -> Found:
    """The first answer of `probe` that says something. Fails when none comes in that time."""
    deadline = time.monotonic() + seconds
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} seconds: {what}; last seen: {found!r}")
        time.sleep(pause)


@dataclass
class Program:
    """A program that may be ended and started again with the same command."""

    name: str
    command: Sequence[str]
    ready_url: str
    log: Path
    env: Mapping[str, str] | None = None
    _popen: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def start(self) -> None:
        """Returns once it is ready. Fails when it ends instead, or takes too long."""
        if self not in STARTED:
            STARTED.append(self)
        assert self._popen is None, f"{self.name} runs already"
        env = None if self.env is None else dict(self.env)
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(self.command, stdout=output, stderr=output, env=env)
        until(self._ready, f"{self.name} is ready at {self.ready_url}", START_SECONDS, 0.05)

    def _ready(self) -> bool:
        assert self._popen is not None
        status = self._popen.poll()
        assert status is None, f"{self.name} ended at its start, with status {status}"
        try:
            return httpx.get(self.ready_url, trust_env=False, timeout=1).status_code == 200
        except httpx.TransportError:
            return False

    def signal(self, number: Signals) -> None:
        """Send a signal to it, and go on."""
        assert self._popen is not None, f"{self.name} does not run"
        self._popen.send_signal(number)

    def stop(self, number: Signals = SIGTERM) -> int:
        """End it with this signal; its exit status."""
        self.signal(number)
        assert self._popen is not None
        status = self._popen.wait(STOP_SECONDS)
        self._popen = None
        return status

    def discard(self) -> None:
        """End it, whatever state it is in; for the end of a test."""
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait(STOP_SECONDS)
            self._popen = None

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_bytes()[-LOG_TAIL:].decode(errors="replace")


def environment(**more: str) -> dict[str, str]:
    """This process's environment without the settings of another Groundswell."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GROUNDSWELL")}
    return {**kept, "NO_COLOR": "1", **more}
