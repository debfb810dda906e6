"""A real `groundswell` process, on a free port and a fresh data folder."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

COMMAND = Path(sys.executable).with_name("groundswell")
START_SECONDS = 60.0
STOP_SECONDS = 30.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def environment(data: Path, port: int, **more: str) -> dict[str, str]:
    """What the process sees: its own settings, every warning an error, and no colours."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GROUNDSWELL_")}
    own = {
        "GROUNDSWELL_DATA": str(data),
        "GROUNDSWELL_PORT": str(port),
        "PYTHONWARNINGS": "error",
        "NO_COLOR": "1",
    }
    return {**kept, **own, **more}


@dataclass
class Process:
    """One `groundswell run`."""

    data: Path
    port: int
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def env(self) -> Mapping[str, str]:
        return environment(self.data, self.port)

    def client(self, key: str | None = None) -> httpx.Client:
        shown = key or (self.data / "admin.key").read_text().strip()
        headers = {"Authorization": f"Bearer {shown}"}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=10)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal it, and return its exit status once it has ended."""
        self.popen.send_signal(number)
        return self.popen.wait(STOP_SECONDS)


def wait_until_ready(url: str, popen: subprocess.Popen[bytes], log: Path) -> None:
    """Poll /readyz until it says yes; fail with the log when the process ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and popen.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"it did not get ready: {log.read_text()}")


@contextmanager
def started(data: Path, port: int | None = None, **settings: str) -> Iterator[Process]:
    """`groundswell run` until the block ends."""
    port = port or free_port()
    data.mkdir(parents=True, exist_ok=True)
    log = data / "process.log"
    with log.open("ab") as output:
        popen = subprocess.Popen(
            [COMMAND, "run"], env=environment(data, port, **settings), stdout=output, stderr=output
        )
    try:
        process = Process(data, port, popen, log)
        wait_until_ready(process.url, popen, log)
        yield process
    finally:
        if popen.poll() is None:
            popen.kill()
        popen.wait(STOP_SECONDS)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One process for a module's tests."""
    with started(tmp_path_factory.mktemp("data")) as process:
        yield process


def groundswell(*arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    command = [str(COMMAND), *arguments]
    return subprocess.run(command, env=dict(env), capture_output=True, text=True, timeout=180)
