"""Runs real senders against a server of ours that keeps what it is sent, byte for byte."""

import json
import queue
import random
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

DEADLINE = 20.0
"""Seconds that a sender may take to start, or to send what it was asked for."""


@dataclass(frozen=True)
class Post:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Capture:
    """A listening server: `url` takes any POST, and `posts` holds them in their order."""

    url: str
    posts: queue.Queue[Post] = field(default_factory=queue.Queue[Post])

    def take(self, seconds: float = DEADLINE) -> Post:
        """The next POST. Raises queue.Empty if none comes in that time."""
        return self.posts.get(timeout=seconds)


def free_port() -> int:
    """A port nobody listens on now, below the range that outgoing connections take theirs from."""
    for port in random.sample(range(20_000, 30_000), 50):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise RuntimeError("no free port between 20000 and 30000; stop what holds them")


@contextmanager
def capturing() -> Generator[Capture]:
    """A capture server on a free port of this machine, until the block ends."""
    port = free_port()
    capture = Capture(f"http://127.0.0.1:{port}")

    class Keep(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            capture.posts.put(Post(self.path, dict(self.headers), body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Silent: the captured posts are the log."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Keep)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield capture
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def running(command: Sequence[str], ready_url: str) -> Generator[None]:
    """The command as a child process, from when `ready_url` answers 200 until the block ends."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            _await_ready(process, ready_url)
            yield
        except BaseException:
            log.seek(0)
            print(log.read().decode(errors="replace")[-4_000:])
            raise
        finally:
            process.terminate()
            process.wait(DEADLINE)


def _await_ready(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"{url} did not become ready; see the log above")


@contextmanager
def alertmanager(binary: str, config: dict[str, Any], external_url: str) -> Generator[str]:
    """A running Alertmanager of that configuration; gives its own base URL."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config_file = Path(folder, "alertmanager.yml")
        config_file.write_text(json.dumps(config))  # JSON is YAML
        command = (
            binary,
            f"--config.file={config_file}",
            f"--storage.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            f"--web.external-url={external_url}",
            "--web.route-prefix=/",
            "--cluster.listen-address=",
        )
        with running(command, f"http://127.0.0.1:{port}/-/ready"):
            yield f"http://127.0.0.1:{port}"


def post_alerts(alertmanager_url: str, alerts: list[dict[str, Any]]) -> None:
    """Posts alerts as Prometheus does. Raises HTTPError unless Alertmanager takes them."""
    request = urllib.request.Request(
        f"{alertmanager_url}/api/v2/alerts",
        json.dumps(alerts).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=DEADLINE):
        pass
