"""One service in one role, as a process of its own: `api` answers requests, `worker` does the rest.

Any number of each work side by side over PostgreSQL and Kafka. A process imports its own service
only; the gateway knows the others by their documents, and none of them need be up for it to start.
"""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import Any

import structlog
from prometheus_client import Gauge
from starlette.types import ASGIApp

from services.engines import bus_of, measure, opened
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
from shared import metrics
from shared.clock import utc_now
from shared.database import Database
from shared.http.health import Health
from shared.http.inner import inner
from shared.http.probes import probed, probes_app
from shared.http.room import Room, admitted
from shared.settings import Settings
from shared.supervisor import Job, Supervisor

logger = structlog.get_logger(__name__)

GATEWAY = "gateway"

Part = tuple[ASGIApp, dict[str, Job]]
"""What a process listens with, and what it does beside."""


async def serve(settings: Settings, name: str, role: str) -> None:
    """Run until SIGTERM or SIGINT, then stop cleanly; a second Ctrl-C doesn't wait for requests."""
    told = told_to_stop()
    async with serving(settings, name, role) as process:
        logger.info("up", service=name, role=role, url=process.url)
        settle_memory()
        await until_told(told, process)
        end_at_the_latest(settings)
        logger.info("stopping", service=name, role=role)
    logger.info("stopped", service=name, role=role)


@asynccontextmanager
async def serving(settings: Settings, name: str, role: str) -> AsyncGenerator[Running]:
    """Start this part of the system, yield once it takes connections, and stop it cleanly.

    Raises StartRefused when a setting is missing, the port is in use, or the database is not there
    or older than this code.
    """
    _check(settings, name, role)
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(listening(settings))
        db = await opened(settings, name)
        stack.push_async_callback(db.close)
        health = Health({name: db})
        if role == "worker":
            app, jobs = await _worker(settings, name, db, health, stack)
        elif name == GATEWAY:
            app, jobs = await _gateway(settings, db, health, stack)
        else:
            app, jobs = _api(settings, name, db, health, stack)
        supervisor = Supervisor(jobs)
        health.stuck = supervisor.stuck
        supervisor.start()
        stack.push_async_callback(supervisor.stop)
        server, serving = await stack.enter_async_context(
            answering(app, listener, health, settings)
        )
        yield Running(url_of(settings.host, listener), None, server, serving)


def _check(settings: Settings, name: str, role: str) -> None:
    if settings.database is None or settings.bus is None:
        raise StartRefused(
            "Separate processes meet over PostgreSQL and Kafka: set GROUNDSWELL_DATABASE"
            " (postgresql://…) and GROUNDSWELL_BUS (kafka://…), or start all in one with"
            " `groundswell run`."
        )
    if name == GATEWAY and role == "worker":
        raise StartRefused(
            "The gateway has no work in the background; start it with `--role api` only."
        )
    if role == "api" and not settings.internal_secrets():
        raise StartRefused(
            "The gateway and the services need a secret of their own between them: set"
            " GROUNDSWELL_INTERNAL_SECRET to the same value for all; `groundswell secrets` makes one."
        )


async def _worker(
    settings: Settings, name: str, db: Database, health: Health, stack: AsyncExitStack
) -> Part:
    """The jobs of the service; over HTTP the probes alone."""
    bus = bus_of(settings)
    stack.push_async_callback(bus.stop)
    await bus.start()
    health.measure = lambda: measure({name: db}, bus)
    jobs = import_module(f"services.{name}.worker").jobs(db, bus, utc_now)
    return probes_app(health), jobs


def _api(
    settings: Settings, name: str, db: Database, health: Health, stack: AsyncExitStack
) -> Part:
    """The service's own app, for the gateway and nobody else."""
    app: Any = import_module(f"services.{name}.app").create_app(db)
    if hasattr(app.state, "writer"):
        stack.push_async_callback(app.state.writer.stop)
    # Its gauges are set by its worker; here they would say 0.
    metrics.forget(import_module(f"services.{name}.metrics"), Gauge)
    trusted = inner(app, name, settings.internal_secrets())
    return probed(admitted(trusted, Room(settings.most_requests)), health), {}


async def _gateway(settings: Settings, db: Database, health: Health, stack: AsyncExitStack) -> Part:
    """The front door, with each service at its address."""
    from services.gateway import app as gateway
    from services.gateway import worker
    from services.gateway.access.first_start import pepper, seed_admin
    from services.gateway.edge.hop import hop, transport_to
    from services.gateway.keyring import Keyring
    from services.gateway.settings import GatewaySettings
    from services.standalone import documents

    own_settings = GatewaySettings()
    if own_settings.pepper is None:
        raise StartRefused(
            "Every gateway must hash API keys alike: set GROUNDSWELL_PEPPER to the same 64"
            " hexadecimal digits for all; `groundswell secrets` makes some. They are never changed."
        )
    keyring = Keyring(db, pepper(settings.data, own_settings.pepper), utc_now)
    if not await seed_admin(keyring, own_settings.admin_key):
        raise StartRefused(
            "No active API key holds 'admin' yet: set GROUNDSWELL_ADMIN_KEY to a new key for the"
            " first start; `groundswell secrets` makes one. A revoked key is not taken again."
        )
    await keyring.reload()
    described = documents()
    for name in described:  # its metrics came with its document; what they count is done elsewhere
        metrics.forget(import_module(f"services.{name}.metrics"))
    services: dict[str, ASGIApp] = {}
    secret = settings.internal_secrets()[0]
    for name, url in own_settings.urls().items():
        transport = transport_to()
        stack.push_async_callback(transport.aclose)
        services[name] = hop(name, url, transport, secret)
    own = gateway.create_app(db, keyring, health)
    room = Room(settings.most_requests)
    front = gateway.create_gateway(own, services, described, keyring, room)
    return front, worker.jobs(keyring)
