"""A distributed Groundswell in tests: each service's api and worker and the gateway as real processes.

Over whatever PostgreSQL and Kafka it is given. Each process can be stopped, killed, started again and
doubled; every wait is bounded, and each one's log is a file.
"""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.engines.postgres import free_port

COMMAND = Path(sys.executable).with_name("groundswell")
SERVICES = ("incidents", "feedback", "roadmap")
PARTS = (
    *(f"{name}-{role}" for name in SERVICES for role in ("api", "worker")),
    "gateway-api",
)
"""The least that makes a system: one of each."""

START_SECONDS = 120.0
STOP_SECONDS = 40.0
PATIENCE = 60.0


class ProcessFailed(Exception):
    """A process did not start or stop as it should; the text holds its log."""


@dataclass
class Process:
    """One `groundswell serve`: on one port for all its lives."""

    name: str
    arguments: tuple[str, ...]
    port: int
    env: Mapping[str, str]
    log: Path
    command: tuple[str, ...] = (str(COMMAND),)
    popen: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def up(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    def launch(self) -> None:
        """Start it, without waiting."""
        if self.up:
            raise ProcessFailed(f"{self.name} is up already")
        with self.log.open("ab") as output:
            self.popen = subprocess.Popen(
                [*self.command, *self.arguments], env=dict(self.env), stdout=output, stderr=output
            )

    def wait_until_ready(self, seconds: float = START_SECONDS) -> None:
        """Poll /readyz until it says yes. Raises ProcessFailed when it ends or takes too long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.up:
            if self.probe("/readyz") == 200:
                return
            time.sleep(0.05)
        raise ProcessFailed(f"{self.name} did not get ready: {self.said()}")

    def probe(self, path: str) -> int | None:
        """The status of a probe, or None when nothing answers."""
        try:
            return httpx.get(f"{self.url}{path}", trust_env=False, timeout=5).status_code
        except httpx.TransportError:
            return None

    def metrics(self) -> str:
        """Its metrics, as Prometheus would read them."""
        return httpx.get(f"{self.url}/metrics", trust_env=False, timeout=10).text

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self.launch()
        self.wait_until_ready()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it is up."""
        if self.up and self.popen is not None:
            self.popen.send_signal(number)

    def stop(self, seconds: float = STOP_SECONDS) -> int:
        """SIGTERM; its exit status once it has ended. Raises ProcessFailed when that takes too long."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def kill(self) -> None:
        """kill -9."""
        self.signal(signal.SIGKILL)
        self.wait(STOP_SECONDS)

    def pause(self) -> None:
        """SIGSTOP: it holds what it holds, and says nothing, until `resume`."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def wait(self, seconds: float) -> int:
        """Its exit status, once it has ended by itself."""
        if self.popen is None:
            raise ProcessFailed(f"{self.name} was never started")
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired as late:
            raise ProcessFailed(f"{self.name} did not end: {self.said()}") from late

    def restart(self) -> int:
        """Stop it in an orderly way and start it again; returns the exit status of its first life."""
        status = self.stop()
        self.start()
        return status

    def said(self) -> str:
        """The last of its log."""
        return self.log.read_text(errors="replace")[-6000:] if self.log.exists() else ""


@dataclass
class Cluster:
    """A whole system. `database` is `postgresql://…`, `servers` the brokers; logs go to `folder`."""

    folder: Path
    database: str
    servers: str
    more: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further settings of every process."""
    admin_key: str = field(default_factory=lambda: _new_key())
    processes: dict[str, Process] = field(default_factory=dict[str, Process])

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._ports = {name: free_port() for name in PARTS}
        self._shared = {
            "GROUNDSWELL_DATABASE": self.database.replace("postgresql+asyncpg://", "postgresql://"),
            "GROUNDSWELL_BUS": f"kafka://{self.servers}",
            "GROUNDSWELL_DATA": str(self.folder / "data"),
            "GROUNDSWELL_INTERNAL_SECRET": secrets.token_urlsafe(48),
            "GROUNDSWELL_PEPPER": secrets.token_hex(32),
            "GROUNDSWELL_ADMIN_KEY": self.admin_key,
            "PYTHONWARNINGS": "error",
            "NO_COLOR": "1",
        }
        for name in PARTS:
            self.processes[name] = self._process(name, name, self._ports[name])

    def __getitem__(self, name: str) -> Process:
        return self.processes[name]

    @property
    def url(self) -> str:
        return self["gateway-api"].url

    def env(self, port: int) -> dict[str, str]:
        """What a process on this port sees."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("GROUNDSWELL_")}
        peers = {
            f"GROUNDSWELL_{name.upper()}_URL": f"http://127.0.0.1:{self._ports[f'{name}-api']}"
            for name in SERVICES
        }
        return {**kept, **self._shared, **peers, "GROUNDSWELL_PORT": str(port), **self.more}

    def _process(self, name: str, part: str, port: int) -> Process:
        service, _, role = part.partition("-")
        arguments = ("serve", service, "--role", role)
        return Process(name, arguments, port, self.env(port), self.folder / f"{name}.log")

    def another(self, part: str) -> Process:
        """One more process of a part (`incidents-worker`), on a port of its own; not started."""
        count = sum(name == part or name.startswith(f"{part}-") for name in self.processes)
        name = f"{part}-{count + 1}"
        self.processes[name] = self._process(name, part, free_port())
        return self.processes[name]

    def migrate(self, *services: str) -> None:
        """`groundswell migrate`. Raises ProcessFailed with what it said."""
        done = subprocess.run(
            [COMMAND, "migrate", *services],
            env=self.env(0),
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
        )
        if done.returncode:
            raise ProcessFailed(f"migrate failed: {done.stdout}{done.stderr}")

    def start(self, names: Iterable[str] = PARTS) -> None:
        """Start these at once, and wait until all are ready."""
        started = [self.processes[name] for name in names]
        for process in started:
            process.launch()
        for process in started:
            process.wait_until_ready()

    def stop(self) -> dict[str, int]:
        """Stop what is up in an orderly way, all at once; the exit status of each."""
        up = [process for process in self.processes.values() if process.up]
        for process in up:
            process.signal(signal.SIGTERM)
        return {process.name: process.wait(STOP_SECONDS) for process in up}

    def kill(self) -> None:
        """kill -9 of whatever is up: nothing is left behind."""
        up = [process for process in self.processes.values() if process.up]
        for process in up:
            process.signal(signal.SIGKILL)
        for process in up:
            process.wait(STOP_SECONDS)

    def client(self, key: str | None = None, timeout: float = 30) -> httpx.Client:
        """A client of the gateway, with the admin key or another."""
        headers = {"Authorization": f"Bearer {key or self.admin_key}"}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=timeout)

    def __enter__(self) -> "Cluster":
        self.migrate()
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def eventually(said: Any, what: str, seconds: float = PATIENCE) -> Any:
    """Poll until `said()` says something true; fail with `what` when that takes too long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := said():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come about")


def _new_key() -> str:
    return f"gs_{secrets.token_hex(5)}_{secrets.token_urlsafe(32)}"
