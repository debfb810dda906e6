"""The service that Prometheus watches: it can be down, answer errors, and leave queues unattended."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

from tests.senders.capture import free_port

STUCK_SECONDS = 900
DAY_SECONDS = 86_400


class Target:
    """Exposes metrics while it is up. While it is down, connections are refused."""

    def __init__(self) -> None:
        self.port = free_port()
        self.failing = 0.0
        """The share of requests that it answers with an error."""
        self.stuck: frozenset[str] = frozenset()
        """The queues that nobody works on."""
        self._requests = {"200": 0.0, "500": 0.0}
        self._counting = Lock()
        self._server: ThreadingHTTPServer | None = None
        self._thread: Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def up(self) -> None:
        """Listen, as a process that was started again does."""
        assert self._server is None, "the target is up"

        exposed = self.exposed

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = exposed().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Silent: a scrape each second tells nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Answer)
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def down(self) -> None:
        """Stop listening."""
        assert self._server is not None, "the target is down"
        assert self._thread is not None
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._server = self._thread = None

    def exposed(self) -> str:
        """The metrics of now, in Prometheus' text format. Each scrape sees a hundred more requests."""
        with self._counting:
            self._requests["500"] += 100 * self.failing
            self._requests["200"] += 100 * (1 - self.failing)
            counted = dict(self._requests)
        lines = [f'http_requests_total{{code="{code}"}} {n}' for code, n in counted.items()]
        lines += [
            f'queue_oldest_message_age_seconds{{queue="{queue}"}} {STUCK_SECONDS}'
            for queue in sorted(self.stuck)
        ]
        lines += [
            'node_filesystem_size_bytes{mountpoint="/var"} 1e11',
            'node_filesystem_avail_bytes{mountpoint="/var"} 6e10',
            f"probe_ssl_earliest_cert_expiry {time.time() + 60 * DAY_SECONDS:.0f}",
        ]
        return "\n".join(lines) + "\n"


@contextmanager
def target() -> Generator[Target]:
    """A target that is up, until the block ends."""
    one = Target()
    one.up()
    try:
        yield one
    finally:
        if one._server is not None:
            one.down()
