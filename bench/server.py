"""A server under test: one process, or a few, on the server's core. Each wait is bounded."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench.load import SERVER_CORE, BenchFailed, pinned

ROOT = Path(__file__).parents[1]
START_SECONDS = 60.0
STOP_SECONDS = 30.0
QUIET = 0.1
"""Share of a core below which a server has nothing left to do."""
LOOK_SECONDS = 0.5
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Server:
    """`ready` is a path that answers 2xx once it works. Paused, it keeps its connections and rests."""

    name: str
    command: Sequence[str]
    port: int
    log: Path
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    ready: str = "/"
    path: str = "/api/v2/alerts"
    """Where it takes alerts."""
    key: str = ""
    form: str = "prometheus"
    """In which of `bodies.FORMS` it takes them."""
    popen: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "Server":
        self.launch()
        self.wait_until_ready()
        return self

    def launch(self) -> None:
        """Start it, without waiting; it does not outlive the bench, however that ends."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("GROUNDSWELL_")}
        with self.log.open("ab") as output:
            self.popen = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *pinned(SERVER_CORE, *self.command)],
                env={**kept, "PYTHONPATH": str(ROOT), **self.env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        """Raises BenchFailed, with the end of its log, when it won't."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.popen is not None and self.popen.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                answer = httpx.get(f"{self.url}{self.ready}", trust_env=False, timeout=5)
                if answer.is_success:
                    return
            time.sleep(0.05)
        raise BenchFailed(f"{self.name} did not start: {self.said()}")

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def settle(self, seconds: float) -> float:
        """Wait until it has nothing left to do; how many seconds that took, at most `seconds`."""
        began = time.monotonic()
        while (waited := time.monotonic() - began) < seconds:
            before = self.cpu_seconds()
            time.sleep(LOOK_SECONDS)
            if self.cpu_seconds() - before < QUIET * LOOK_SECONDS:
                return waited
        return waited

    def cpu_seconds(self) -> float:
        return sum(map(sum, (_times(pid) for pid in self.pids()))) / TICKS

    def rss_mb(self) -> float:
        """What its processes hold in memory."""
        pages = sum(int(Path(f"/proc/{p}/statm").read_text().split()[1]) for p in self.pids())
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def pids(self) -> list[int]:
        """Its processes: those of the session that began with it."""
        first = self.popen.pid if self.popen else -1
        found: list[int] = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError, IndexError):
                number = int(entry.name)
                after = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(after[3]) == first and after[0] != "Z":
                    found.append(number)
        return found

    def stop(self) -> None:
        """Ask it to end, and make it when it doesn't."""
        if self.popen is None:
            return
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self.popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self.popen.wait(STOP_SECONDS)

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all of it."""
        with contextlib.suppress(ProcessLookupError):
            if self.popen is not None and self.popen.poll() is None:
                os.killpg(self.popen.pid, number)


def module(name: str, *arguments: str) -> list[str]:
    """The command that runs one of our own modules."""
    return [sys.executable, "-m", name, *arguments]


def _times(pid: int) -> tuple[int, int]:
    try:
        after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0, 0
    return int(after[11]), int(after[12])
