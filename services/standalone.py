"""Every service in one process: the one place where all of it is wired. On any engines.

One process per data folder: a lock keeps a second one out. It stops in the order in which it is safe
to: see `listening`; then jobs stop, and databases close.
"""

import fcntl
import os
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import structlog
from fastapi import FastAPI

from services.engines import MIGRATIONS, bus_of, measure, migrate
from services.feedback import app as feedback
from services.feedback import worker as feedback_worker
from services.gateway import app as gateway
from services.gateway import worker as gateway_worker
from services.gateway.access.first_start import ADMIN_KEY_FILE, ensure_admin, pepper
from services.gateway.keyring import Keyring
from services.gateway.openapi import Document
from services.gateway.settings import GatewaySettings
from services.incidents import app as incidents
from services.incidents import worker as incidents_worker
from services.listening import (
    Running,
    StartRefused,
    answering,
    end_at_the_latest,
    listening,
    settle_memory,
    told_to_stop,
    until_told,
    url_of,
)
from services.roadmap import app as roadmap
from services.roadmap import worker as roadmap_worker
from shared.clock import utc_now
from shared.database import Database, sqlite_url
from shared.http.health import Health
from shared.http.room import Room
from shared.settings import Settings
from shared.supervisor import Supervisor

logger = structlog.get_logger(__name__)


@asynccontextmanager
async def running(settings: Settings) -> AsyncGenerator[Running]:
    """Start everything, yield once connections are taken, and stop everything cleanly.

    Raises StartRefused when the data folder or the port is in use, or an engine is away.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(locked(settings.data))
        listener = stack.enter_context(listening(settings))
        room = Room(settings.most_requests)
        bus = bus_of(settings, lambda: room.taken)
        stack.push_async_callback(bus.stop)
        await bus.start()
        dbs = await migrated(settings)
        for db in dbs.values():
            stack.push_async_callback(db.close)

        apps = services_over(dbs)
        own_settings = GatewaySettings()
        keyring = Keyring(dbs[gateway.NAME], pepper(settings.data, own_settings.pepper), utc_now)
        await ensure_admin(keyring, settings.data, own_settings.admin_key)
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
        documents = {name: app.openapi() for name, app in apps.items()}
        front = gateway.create_gateway(own, apps, documents, keyring, room)

        writer = apps[incidents.NAME].state.writer
        stack.push_async_callback(writer.stop)
        supervisor.start()
        stack.push_async_callback(supervisor.stop)
        server, serving = await stack.enter_async_context(
            answering(front, listener, health, settings)
        )
        url = url_of(settings.host, listener)
        yield Running(url, _admin_key(settings.data), server, serving)


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, then stop cleanly; a second Ctrl-C doesn't wait for requests."""
    told = told_to_stop()
    async with running(settings) as groundswell:
        logger.info("Groundswell is up", url=groundswell.url, data=str(settings.data.absolute()))
        settle_memory()
        await until_told(told, groundswell)
        end_at_the_latest(settings)
        logger.info("stopping")
    logger.info("stopped")


def services_over(dbs: Mapping[str, Database]) -> dict[str, FastAPI]:
    """The HTTP side of each service behind the gateway, over its own database."""
    return {
        incidents.NAME: incidents.create_app(dbs[incidents.NAME]),
        feedback.NAME: feedback.create_app(dbs[feedback.NAME]),
        roadmap.NAME: roadmap.create_app(dbs[roadmap.NAME]),
    }


def documents() -> dict[str, Document]:
    """The OpenAPI document of each service behind the gateway. Opens no database."""
    return {name: app.openapi() for name, app in services_over(_unopened()).items()}


def document() -> Document:
    """The OpenAPI document of all services, as the gateway serves it. Opens no database."""
    dbs = _unopened()
    keyring = Keyring(dbs[gateway.NAME], b"", utc_now)
    own = gateway.create_app(dbs[gateway.NAME], keyring, Health(dbs))
    return gateway.document_of(own, documents())


def _unopened() -> dict[str, Database]:
    return {name: Database(sqlite_url("", "never-opened")) for name in MIGRATIONS}


async def migrated(settings: Settings) -> dict[str, Database]:
    """Bring every service's database to its newest revision, and open it. Raises StartRefused."""
    await migrate(settings)
    return {name: Database(settings.database_url(name)) for name in MIGRATIONS}


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


def _admin_key(data: Path) -> str | None:
    path = data / ADMIN_KEY_FILE
    return path.read_text().strip() if path.exists() else None
