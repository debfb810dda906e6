"""Every service in one process, on the embedded engine: the one place where all of it is wired.

One process per data folder: a lock keeps a second one out. It stops in the order in which it is safe
to: unready, no new connections, running requests finish, jobs stop, databases close.
"""

import asyncio
import fcntl
import os
import signal
import socket
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI

from services.feedback import app as feedback
from services.feedback import worker as feedback_worker
from services.gateway import app as gateway
from services.gateway import worker as gateway_worker
from services.gateway.access.first_start import ADMIN_KEY_FILE, ensure_admin, pepper
from services.gateway.access.keyring import Keyring
from services.gateway.health import Health
from services.gateway.openapi import Document
from services.incidents import app as incidents
from services.incidents import worker as incidents_worker
from services.roadmap import app as roadmap
from services.roadmap import worker as roadmap_worker
from shared import metrics, outbox
from shared.bus.embedded import EmbeddedBus
from shared.clock import utc_now
from shared.database import Database, sqlite_url
from shared.migrations import upgrade
from shared.settings import Settings
from shared.supervisor import Supervisor

logger = structlog.get_logger(__name__)

DRAIN_SECONDS = 20
MIGRATIONS: Mapping[str, Path] = {
    service.NAME: service.MIGRATIONS for service in (incidents, feedback, roadmap, gateway)
}


class StartRefused(Exception):
    """The process can't start here; the sentence says what to do."""


@dataclass(frozen=True)
class Running:
    """A Groundswell that answers."""

    url: str
    admin_key: str | None
    """From the data folder; None when its owner removed the file."""
    server: uvicorn.Server
    serving: asyncio.Task[None]


@asynccontextmanager
async def running(settings: Settings) -> AsyncGenerator[Running]:
    """Start everything, yield once connections are taken, and stop everything cleanly.

    Raises StartRefused when the data folder or the port is in use.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(locked(settings.data))
        listener = stack.enter_context(listening(settings.host, settings.port))
        bus = EmbeddedBus(settings.bus_url())
        stack.push_async_callback(bus.stop)
        await bus.start()
        dbs = await migrated(settings)
        for db in dbs.values():
            stack.push_async_callback(db.close)

        apps = services_over(dbs)
        keyring = Keyring(dbs[gateway.NAME], pepper(settings.data), utc_now)
        await ensure_admin(keyring, settings.data)
        await keyring.reload()
        supervisor = Supervisor(
            {
                **incidents_worker.jobs(dbs[incidents.NAME], bus, utc_now),
                **feedback_worker.jobs(dbs[feedback.NAME], bus, utc_now),
                **roadmap_worker.jobs(dbs[roadmap.NAME], bus, utc_now),
                **gateway_worker.jobs(keyring),
            }
        )
        health = Health(dbs, supervisor.stuck, lambda: measure(dbs, bus))
        own = gateway.create_app(dbs[gateway.NAME], keyring, health)
        front = gateway.create_gateway(own, apps, keyring)

        writer = apps[incidents.NAME].state.writer
        stack.push_async_callback(writer.stop)
        supervisor.start()
        stack.push_async_callback(supervisor.stop)
        server = _Server(_configuration(front))
        serving = asyncio.create_task(server.serve([listener]), name="http")
        stack.push_async_callback(_drain, server, serving, health)
        yield Running(_url(settings.host, listener), _admin_key(settings.data), server, serving)


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, then stop cleanly; a second Ctrl-C doesn't wait for requests."""
    told = told_to_stop()
    async with running(settings) as groundswell:
        logger.info("Groundswell is up", url=groundswell.url, data=str(settings.data.absolute()))
        await until_told(told, groundswell)
        logger.info("stopping")
    logger.info("stopped")


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


def _hurry(server: uvicorn.Server) -> None:
    server.force_exit = True


def services_over(dbs: Mapping[str, Database]) -> dict[str, FastAPI]:
    """The HTTP side of each service behind the gateway, over its own database."""
    return {
        incidents.NAME: incidents.create_app(dbs[incidents.NAME]),
        feedback.NAME: feedback.create_app(dbs[feedback.NAME]),
        roadmap.NAME: roadmap.create_app(dbs[roadmap.NAME]),
    }


def document() -> Document:
    """The OpenAPI document of all services, as the gateway serves it. Opens no database."""
    dbs = {name: Database(sqlite_url("", "never-opened")) for name in MIGRATIONS}
    keyring = Keyring(dbs[gateway.NAME], b"", utc_now)
    own = gateway.create_app(dbs[gateway.NAME], keyring, Health(dbs))
    return gateway.document_of(own, services_over(dbs))


async def migrated(settings: Settings) -> dict[str, Database]:
    """Bring every service's file to its newest revision, and open it."""
    for name, history in MIGRATIONS.items():
        await upgrade(settings.database_url(name), history)
    return {name: Database(settings.database_url(name)) for name in MIGRATIONS}


async def measure(dbs: Mapping[str, Database], bus: EmbeddedBus) -> None:
    """Set the gauges of what waits, as of now; what the services know they measure themselves.

    Outboxes before lags: what a relay moves meanwhile is then counted twice rather than not at all.
    """
    for name, db in dbs.items():
        async with db.read() as conn:
            await outbox.measure(name, conn)
    for group, members in list(bus.members.items()):
        for member in list(members):
            for partition, lag in (await member.lag()).items():
                labels = (group, partition.topic, str(partition.number))
                metrics.consumer_lag.labels(*labels).set(lag)


@contextmanager
def locked(data: Path) -> Generator[None]:
    """Hold the data folder, made when missing; the lock ends with the process, however it ends."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(data / "lock", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            file.seek(0)
            raise StartRefused(
                f"Another Groundswell (process {file.read().strip() or 'unknown'}) uses the data"
                f" folder {data.absolute()}; stop it, or set GROUNDSWELL_DATA to another folder."
            ) from taken
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def listening(host: str, port: int) -> Generator[socket.socket]:
    """A socket that listens. Connections wait in its queue until the server takes them."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise StartRefused(
            f"Can't listen on {host}:{port} ({error.strerror}); stop what listens there, or set"
            " GROUNDSWELL_PORT (and GROUNDSWELL_HOST) to a free address."
        ) from error
    # Inherited by its connections; otherwise an answer in two writes waits 40 ms for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with listener:
        yield listener


class _Server(uvicorn.Server):
    """Leaves the signals to us: they mean more than the end of HTTP."""

    def capture_signals(self) -> nullcontext[None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return nullcontext()


def _configuration(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )


async def _drain(server: uvicorn.Server, serving: asyncio.Task[None], health: Health) -> None:
    health.draining = True
    server.should_exit = True
    await serving


def _url(host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    if host in ("", "0.0.0.0", "::"):  # noqa: S104  everything includes this machine
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _admin_key(data: Path) -> str | None:
    path = data / ADMIN_KEY_FILE
    return path.read_text().strip() if path.exists() else None
