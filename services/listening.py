"""How any process of Groundswell listens, and how it stops: shared by `run` and `serve`.

Told to stop, it goes in the order in which it is safe: unready, a pause for those who watch, no new
connections, running requests finish, jobs leave their transaction. Should that take too long, the
process ends as it is: a `kill -9` loses nothing either.
"""

import asyncio
import gc
import os
import resource
import signal
import socket
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass

import structlog
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.connections import connections
from shared.http.health import Health
from shared.settings import Settings

logger = structlog.get_logger(__name__)

DRAIN_SECONDS = 20
"""How long running requests may take to finish."""
STOP_SECONDS = 25
"""How long all of a stop may take, after the pause."""
POLITE_SECONDS = 0.5
"""How long open connections may say one thing more, and hear that it was the last."""
KEEP_ALIVE_SECONDS = 75
"""Longer than clients keep an idle connection, so that it is they who close it."""
BACKLOG = 2048
SPARE_FILES = 200
"""Descriptors that are not connections of clients: databases, brokers, peers, logs."""


class StartRefused(Exception):
    """The process can't start here; the sentence says what to do."""


@dataclass(frozen=True)
class Running:
    """A process that answers."""

    url: str
    admin_key: str | None
    """From the data folder; None when there is no such file."""
    server: uvicorn.Server
    serving: asyncio.Task[None]


@contextmanager
def listening(settings: Settings) -> Generator[socket.socket]:
    """A socket that listens. Connections wait in its queue until the server takes them."""
    host, port = settings.host, settings.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise StartRefused(
            f"Can't listen on {host}:{port} ({error.strerror}); stop what listens there, or set"
            " GROUNDSWELL_PORT (and GROUNDSWELL_HOST) to a free address."
        ) from error
    # Inherited by its connections; otherwise an answer in two writes waits 40 ms for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with listener:
        yield listener


@asynccontextmanager
async def answering(
    app: ASGIApp, listener: socket.socket, health: Health, settings: Settings
) -> AsyncGenerator[tuple[uvicorn.Server, asyncio.Task[None]]]:
    """Serve the app on the socket until the block ends; then drain it: see the module."""
    most = _room_for(settings.most_connections)
    server = _Server(_configuration(closing(app, health), most))
    serving = asyncio.create_task(server.serve([listener]), name="http")
    try:
        yield server, serving
    finally:
        health.draining = True
        if not serving.done() and not server.force_exit:
            await asyncio.sleep(settings.drain_pause_seconds)
        server.should_exit = True
        await serving


def told_to_stop() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set from now on, instead of ending the process."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told


async def until_told(told: asyncio.Event, groundswell: Running) -> None:
    """Wait until told to stop, or until HTTP has failed. From then on a Ctrl-C hurries the end."""
    waiting = asyncio.create_task(told.wait())
    await asyncio.wait({waiting, groundswell.serving}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, _hurry, groundswell.server)


def settle_memory() -> None:
    """Take what start-up made out of the collector's sight: it stays for good, and looking through it
    again and again costs every request."""
    gc.collect()
    gc.freeze()


def end_at_the_latest(settings: Settings) -> None:
    """End the process unless it ends by itself before: from a thread, should the loop be stuck.

    Nothing calls it off: also a loop that can't be closed must not keep the process.
    """
    seconds = settings.drain_pause_seconds + STOP_SECONDS

    loop = asyncio.get_running_loop()

    def end() -> None:
        late = [f"{one.get_name()} at {one.get_stack(limit=1)}" for one in asyncio.all_tasks(loop)]
        logger.error("stopping took too long; ending as it is", seconds=seconds, late=late)
        os._exit(1)

    watchdog = threading.Timer(seconds, end)
    watchdog.daemon = True
    watchdog.start()


def _hurry(server: uvicorn.Server) -> None:
    server.force_exit = True


def closing(app: ASGIApp, health: Health) -> ASGIApp:
    """While draining every answer says that it is the last on its connection."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def last(message: Message) -> None:
            if health.draining and message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        await app(scope, receive, last)

    return wrapped


def url_of(host: str, listener: socket.socket) -> str:
    """Where clients on this machine reach it."""
    port = listener.getsockname()[1]
    if host in ("", "0.0.0.0", "::"):  # noqa: S104  everything includes this machine
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """Leaves the signals to us: they mean more than the end of HTTP."""

    def capture_signals(self) -> nullcontext[None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return nullcontext()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """No new connections; those there are may finish what they are about to say; then the rest."""
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + POLITE_SECONDS
        # Looked at now and then, since uvicorn tells nobody when a connection ends.
        while self.server_state.connections and loop.time() < deadline and not self.force_exit:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)


def _configuration(app: ASGIApp, most: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=connections(most),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )


def _room_for(connections: int) -> int:
    """So many connections as are wished for and as the machine has descriptors for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE_FILES
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(connections, soft - SPARE_FILES))
