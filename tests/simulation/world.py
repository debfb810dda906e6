"""Groundswell in one process, every moving part of which moves only when it is told to.

The services, their databases, relays and consumers are the real ones. A step runs to its end before
the next begins; what makes it break off in the middle is told beforehand.
"""

import logging
import random
import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import httpx
import structlog
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback import app as feedback_app
from services.feedback import worker as feedback_worker
from services.feedback.consumers import subscriptions
from services.incidents import app as incidents_app
from services.incidents.correlations import settling
from services.incidents.correlations.consumers import subscription as correlations
from services.incidents.incidents.adoption import adopt
from services.incidents.incidents.consumers import SUBSCRIPTION as INCIDENTS_SUBSCRIPTION
from services.incidents.settings import IncidentsSettings
from services.incidents.signals import silencing
from services.incidents.signals.expiry import expire
from services.incidents.signals.writer import Writer
from services.incidents.silences.current import CurrentSilences
from services.roadmap import app as roadmap_app
from services.roadmap import worker as roadmap_worker
from services.roadmap.consumers import SUBSCRIPTION as ROADMAP_SUBSCRIPTION
from shared import outbox
from shared.bus.bus import Bus, Consumer
from shared.clock import Clock
from shared.consumer import Subscription, consume_batch
from shared.context import Context
from shared.database import Database, DatabaseUnavailable, Work, sqlite_url
from shared.ids import new_id
from shared.migrations import upgrade
from tests.conftest import signed_in
from tests.faults.stored import BusReader, Stored
from tests.simulation.bus import SimulatedBus
from tests.simulation.machine import Machine
from tests.simulation.one_thread import on_one_thread

APPS: Mapping[str, ModuleType] = {
    "incidents": incidents_app,
    "feedback": feedback_app,
    "roadmap": roadmap_app,
}

Break = Literal["before", "after", "away", "commit", "code"]
"""How a write transaction breaks: the process dies before the commit, or after it; the database can't
be reached, or goes away before it has committed; our own code fails."""

LARGEST_POLL = 500
MOST_ROUNDS = 100

FAILING = (DatabaseUnavailable, ConnectionError, RuntimeError)
"""What a job may raise when the world is against it; the supervisor starts it again."""


class Died(BaseException):
    """The process is gone. No code of its own may take notice, so it is no Exception."""


class BreakableDatabase(Database):
    """`breaks` is how the next write transactions end, one after the other; None: as they should."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.breaks: list[Break | None] = []

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[AsyncConnection]:
        breaks = self.breaks.pop(0) if self.breaks else None
        if breaks == "away":
            raise DatabaseUnavailable("BEGIN", None, OSError("the database is away"))
        async with super().begin() as conn:
            yield conn
            match breaks:
                case "before":
                    raise Died
                case "commit":
                    raise DatabaseUnavailable("COMMIT", None, OSError("the database went away"))
                case "code":
                    raise RuntimeError("a mistake in our own code")
                case _:
                    pass
        if breaks == "after":
            raise Died

    async def write(self, work: Work[Any]) -> Any:
        async with self.begin() as conn:
            return await work(conn)


class LossyTransport(httpx.AsyncBaseTransport):
    """The network between a sender and the service. `loses` is what happens to the next request."""

    def __init__(self, app: FastAPI) -> None:
        self.inner = httpx.ASGITransport(signed_in(app), raise_app_exceptions=False)  # type: ignore[arg-type]
        self.loses: Literal["request", "answer"] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        loses, self.loses = self.loses, None
        if loses == "request":
            raise httpx.ConnectError("nobody there")
        answer = await self.inner.handle_async_request(request)
        if loses == "answer":
            raise httpx.ReadError("gone before it answered")
        return answer


@dataclass
class Member:
    """One consumer of a group, as one process has it."""

    sub: Subscription
    consumer: Consumer


@dataclass
class Service:
    """What one process of a service has in memory, beside its database."""

    name: str
    db: BreakableDatabase
    app: FastAPI
    network: LossyTransport
    client: httpx.AsyncClient
    members: list[Member] = field(default_factory=list[Member])
    looked_at: datetime | None = None
    """The horizon at the last look of feedback's timer."""


class World:
    """Steps are methods; each returns when it is over. Died leaves them: then `crash` that service."""

    def __init__(
        self, folder: Path, bus: SimulatedBus, reader: BusReader, machine: Machine
    ) -> None:
        self.folder = folder
        self.bus = bus
        self.reader = reader
        self.machine = machine
        self.services: dict[str, Service] = {}

    @property
    def dbs(self) -> dict[str, Database]:
        return {name: service.db for name, service in self.services.items()}

    def client(self, service: str) -> httpx.AsyncClient:
        self.machine.at_work = service
        return self.services[service].client

    async def boot(self, name: str, db: BreakableDatabase) -> None:
        """Start a process of this service over what is on its disk."""
        self.machine.at_work = name
        db.published.set()  # a relay looks, when it begins, at what was left to it
        app = _app(name, db, self.machine.clock(name))
        network = LossyTransport(app)
        client = httpx.AsyncClient(transport=network, base_url="http://groundswell.test")
        self.services[name] = Service(name, db, app, network, client)
        for sub in self.subscriptions(name):
            await self.join(name, sub)

    def subscriptions(self, name: str) -> tuple[Subscription, ...]:
        return {
            "incidents": (
                INCIDENTS_SUBSCRIPTION,
                correlations(self.machine.clock("incidents")),
            ),
            "feedback": subscriptions(self.machine.clock("feedback")),
            "roadmap": (ROADMAP_SUBSCRIPTION,),
        }[name]

    async def join(self, name: str, sub: Subscription) -> None:
        """One consumer more, in the same process or in another: they share nothing anyhow."""
        consumer = await self.bus.join(sub.group, sub.topics)
        self.services[name].members.append(Member(sub, consumer))

    async def crash(self, name: str) -> None:
        """kill -9, and start again: what was in memory is gone, and its members leave the groups.

        The connections stay: what broke off was rolled back, as the next process would find it.
        """
        service = await self._end(name)
        service.db.breaks.clear()
        await self.boot(name, service.db)

    async def _end(self, name: str) -> Service:
        service = self.services.pop(name)
        for member in service.members:
            await member.consumer.close()
        await service.client.aclose()
        return service

    async def close(self) -> None:
        for name in list(self.services):
            await (await self._end(name)).db.close()

    async def relay(self, name: str) -> int:
        self.machine.at_work = name
        return await outbox.relay_once(self.services[name].db, self.bus)

    async def consume(self, name: str, member: Member, limit: int = LARGEST_POLL) -> int:
        """One round of a consumer: poll, apply, commit. How many records it took."""
        self.machine.at_work = name
        batch = await member.consumer.poll(limit, 0)
        if batch:
            await consume_batch(self.services[name].db, member.consumer, member.sub, batch)
        return len(batch)

    async def timers(self, name: str) -> None:
        """What the service does by itself every few seconds."""
        self.machine.at_work = name
        service, clock = self.services[name], self.machine.clock(name)
        if name == "feedback":
            service.looked_at = await feedback_worker.review(service.db, clock, service.looked_at)
        elif name == "roadmap":
            await roadmap_worker.wake(service.db, clock)
        else:
            await expire(service.db, IncidentsSettings(), clock())
            await silencing.review(service.db, IncidentsSettings(), clock())
            await settling.settle_due(service.db, clock())
            async with service.db.begin() as conn:
                await adopt(conn, Context(name, f"service:{name}", clock(), new_id("req")))

    async def pump(self) -> None:
        """Relay and consume until nothing moves. Raises when it never ends."""
        for _ in range(MOST_ROUNDS):
            moved = 0
            for name, service in self.services.items():
                if service.db.published.is_set():
                    service.db.published.clear()
                    moved += await self.relay(name)
                for member in service.members:
                    moved += await self.consume(name, member)
            if moved == 0:
                return
        raise AssertionError("it never came to rest: something goes round and round")

    async def quiesce(self) -> None:
        """Let everything have its effect, timers and all, with no faults from now on."""
        for _ in range(MOST_ROUNDS):
            await self.pump()
            before = (await self.stored()).tables
            for name in self.services:
                await self.timers(name)
                await self.timers(name)  # only a second look sees that nothing comes in any more
            await self.pump()
            if (await self.stored()).tables == before:
                return
        raise AssertionError("it never came to rest: the timers go round and round")

    async def stored(self) -> Stored:
        return await Stored.load(self.dbs, self.reader)


_built: dict[str, FastAPI] = {}


def _app(name: str, db: Database, clock: Clock) -> FastAPI:
    """The service's app over this database. Its routes are built once for all worlds, which takes
    longer than most of a run; all that a process keeps in memory is new."""
    if name not in _built:
        _built[name] = APPS[name].create_app(db, clock)
    app = _built[name]
    app.state.db, app.state.clock = db, clock
    if name == "incidents":
        app.state.silences = CurrentSilences(db)
        app.state.writer = Writer(db, app.state.settings, app.state.silences)
    return app


async def template(folder: Path) -> Path:
    """Migrated, empty databases, to be copied for each world."""
    for name, app in APPS.items():
        await upgrade(sqlite_url(folder, f"{name}.sqlite3"), app.MIGRATIONS)
    return folder


@contextmanager
def silence() -> Generator[None]:
    """No logs while the block runs: neither ours nor those of tasks that died with their process."""
    before = structlog.get_config()
    loop = logging.getLogger("asyncio")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    loop.disabled = True
    try:
        yield
    finally:
        structlog.configure(**before)
        loop.disabled = False


def in_memory_folder() -> tempfile.TemporaryDirectory[str]:
    """The crashes here are of processes, not of power: a folder in memory spares the fsyncs."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)


@asynccontextmanager
async def world(
    template: Path,
    folder: Path,
    dice: random.Random,
    other: tuple[Bus, BusReader] | None = None,
) -> AsyncGenerator[World]:
    """A world in `folder`, whose clock, ids and bus go by these dice, until the block ends. On another
    bus nothing is to be asked of it that only the simulated one can do."""
    for name in APPS:
        shutil.copy(template / f"{name}.sqlite3", folder / f"{name}.sqlite3")
    machine = Machine(dice)
    simulated = SimulatedBus(dice)
    bus, reader = other or (simulated, simulated)
    made = World(folder, bus, reader, machine)  # type: ignore[arg-type]
    async with AsyncExitStack() as stack:
        stack.enter_context(machine.running())
        stack.enter_context(on_one_thread())
        stack.push_async_callback(made.close)
        stack.enter_context(silence())
        for name in APPS:
            await made.boot(name, BreakableDatabase(sqlite_url(folder, f"{name}.sqlite3")))
        yield made
