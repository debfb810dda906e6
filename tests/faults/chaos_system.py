"""The systems that the chaos walk breaks: real processes on either engine, and what they stand on."""

import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from shared.bus import Bus, EmbeddedBus
from shared.bus.kafka import KafkaBus
from shared.bus.kafka_client import KafkaOptions
from shared.database import Database
from shared.settings import Settings
from tests.engines.kafka_broker import Broker, jars_folder
from tests.engines.kafka_broker import free_port as two_free_ports
from tests.engines.postgres import Postgres, free_port, new_folder
from tests.engines.processes import Cluster, Process
from tests.faults.bus_reader import EmbeddedReader, KafkaReader
from tests.faults.stored import SERVICES, BusReader

PARTITIONS = 6
DOUBLED = ("incidents-worker", "feedback-worker", "roadmap-worker", "gateway-api")
"""Parts of which there are two, so that one takes over from the other."""

SESSIONS = {"GROUNDSWELL_KAFKA_SESSION_SECONDS": "3", "GROUNDSWELL_KAFKA_HEARTBEAT_SECONDS": "0.5"}
"""A killed member is missed sooner than in earnest: there are many to kill."""


class Victim(Protocol):
    """Something that can be killed and started again. Its calls block."""

    def start(self) -> None: ...

    def kill(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...


@dataclass
class System:
    """One running system. `processes` are our own; `victims` are those and what they stand on."""

    engine: str
    url: str
    key: str
    folder: Path
    """For what is logged in this run."""
    processes: Mapping[str, Process]
    dbs: Mapping[str, Database]
    reader: BusReader
    settings: Settings
    postgres: Postgres | None = None
    broker: Broker | None = None
    acknowledged: dict[str, str] = field(default_factory=dict[str, str])
    """Commands that were: mark → kind."""
    uncertain: dict[str, str] = field(default_factory=dict[str, str])
    poison: set[str] = field(default_factory=set[str])
    """Keys of the unreadable records put on the bus so far."""
    histories: Path = field(init=False)

    def __post_init__(self) -> None:
        self.histories = self.folder / "histories"
        self.histories.mkdir()

    @property
    def victims(self) -> dict[str, Victim]:
        found: dict[str, Victim] = dict(self.processes)
        if self.postgres is not None:
            found["postgres"] = self.postgres
        if self.broker is not None:
            found["broker"] = self.broker
        return found

    @asynccontextmanager
    async def bus(self) -> AsyncGenerator[Bus]:
        """A bus to put records on from outside. On the embedded engine nobody else may be up."""
        if self.broker is not None:
            bus: Bus = KafkaBus(self.broker.servers, KafkaOptions(partitions=PARTITIONS))
        else:
            bus = EmbeddedBus(self.settings.bus_url())
        await bus.start()
        try:
            yield bus
        finally:
            await bus.stop()


@asynccontextmanager
async def embedded(folder: Path, data: Path | None = None) -> AsyncGenerator[System]:
    """Everything in one process, over SQLite and the embedded bus."""
    settings = Settings(data=data or folder / "data", port=free_port())
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GROUNDSWELL_")}
    env = {
        **kept,
        "GROUNDSWELL_DATA": str(settings.data),
        "GROUNDSWELL_PORT": str(settings.port),
        "NO_COLOR": "1",
    }
    process = Process("groundswell", ("run",), settings.port, env, folder / "groundswell.log")
    try:
        process.start()
        dbs = {name: Database(settings.database_url(name)) for name in SERVICES}
        bus = Database(settings.bus_url())
        try:
            yield System(
                engine="embedded",
                url=process.url,
                key=(settings.data / "admin.key").read_text().strip(),
                folder=folder,
                processes={"groundswell": process},
                dbs=dbs,
                reader=EmbeddedReader(bus),
                settings=settings,
            )
        finally:
            for db in (*dbs.values(), bus):
                await db.close()
    finally:
        process.resume()
        process.kill()


@asynccontextmanager
async def distributed(folder: Path) -> AsyncGenerator[System]:
    """Each service and role as its own process, some of them twice, over PostgreSQL and Kafka."""
    with ExitStack() as stack:
        postgres = Postgres(new_folder(), free_port())
        stack.callback(postgres.remove)
        postgres.start()
        broker = Broker(folder / "kafka", two_free_ports(), jars_folder())
        stack.callback(broker.kill)
        stack.callback(broker.resume)
        broker.start()
        more = {**SESSIONS, "GROUNDSWELL_KAFKA_PARTITIONS": str(PARTITIONS)}
        cluster = Cluster(folder / "cluster", postgres.url(), broker.servers, more)
        for part in DOUBLED:
            cluster.another(part)
        stack.callback(cluster.kill)
        cluster.migrate()
        cluster.start(cluster.processes)
        settings = Settings(data=folder / "data")
        dbs = {name: Database(postgres.url(schema=name)) for name in SERVICES}
        try:
            yield System(
                engine="distributed",
                url=cluster.url,
                key=cluster.admin_key,
                folder=folder,
                processes=cluster.processes,
                dbs=dbs,
                reader=KafkaReader(broker.servers),
                settings=settings,
                postgres=postgres,
                broker=broker,
            )
        finally:
            for db in dbs.values():
                await db.close()


ENGINES = {"embedded": embedded, "distributed": distributed}


@asynccontextmanager
async def system(engine: str) -> AsyncGenerator[System]:
    """A fresh system on this engine, in a folder that is removed when all went well."""
    folder = Path(tempfile.mkdtemp(prefix=f"groundswell-chaos-{engine}-"))
    async with ENGINES[engine](folder) as made:
        yield made
    shutil.rmtree(folder)
