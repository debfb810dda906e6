"""The two engines that chains run on: fresh data for each chain, poison on its bus, a look inside."""

import asyncio
import itertools
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import asyncpg

from shared.bus.embedded import partition_of
from shared.bus.kafka import KafkaBus
from shared.clock import rfc3339, utc_now
from shared.database import Database
from shared.envelope import Record
from shared.settings import Settings
from tests.engines.kafka_broker import VERSION, Broker, NoBroker, fetch, jars_folder
from tests.engines.postgres import Postgres, free_port, new_folder
from tests.faults.bus_reader import EmbeddedReader, KafkaReader
from tests.faults.crash_points import PORTS_PER_WORKER
from tests.faults.poison import POISONED, poison_records
from tests.faults.stored import BusReader

SECRET = "crash-walk-secret-of-32-characters"
DATABASE, TEMPLATE = "crash", "crash_template"
MOCK_SECONDS = 20.0


class Engine(Protocol):
    """Where a chain's data lie. `settings` are those of the next life."""

    settings: Settings

    def keep_template(self) -> None:
        """Take the data as they are now, migrated and at rest, for what later chains begin with."""
        ...

    def prepare(self, *, empty: bool) -> None:
        """Fresh data: none at all, or a copy of the template."""
        ...

    def poison(self) -> list[str]:
        """Put one record that nobody can read on each topic; returns their keys. Nobody may live."""
        ...

    def reader(self) -> tuple[BusReader, Any]:
        """A look at the bus, and what to close after it (or None). In a running loop."""
        ...

    def close(self) -> None: ...


class Embedded:
    """SQLite files and the embedded bus, in a folder. `mock` means nothing here."""

    def __init__(self, folder: Path, port: int, *, mock: bool = False) -> None:
        self.folder = folder
        self.settings = Settings(data=folder / "data", port=port)

    def keep_template(self) -> None:
        shutil.copytree(self.settings.data, self.folder / "template")

    def prepare(self, *, empty: bool) -> None:
        shutil.rmtree(self.settings.data, ignore_errors=True)
        if not empty:
            shutil.copytree(self.folder / "template", self.settings.data)

    def poison(self) -> list[str]:
        records = poison_records()
        file = self.settings.data / "bus.sqlite3"
        if not file.exists():
            return []
        with closing(sqlite3.connect(file)) as db, db:
            made = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'log'").fetchone()
            if not made:
                return []
            for one in records:
                db.execute(
                    "INSERT INTO log (topic, partition, key, headers, value, appended_at)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (
                        one.topic,
                        partition_of(one.key),
                        one.key,
                        _json(one.headers),
                        one.value,
                        rfc3339(utc_now()),
                    ),
                )
        return [one.key for one in records]

    def reader(self) -> tuple[BusReader, Any]:
        db = Database(self.settings.bus_url())
        return EmbeddedReader(db), db

    def close(self) -> None:
        return None


def _json(headers: Mapping[str, str]) -> str:
    return json.dumps(headers, separators=(",", ":"))


class RealKafka:
    """A broker of its own. Needs Java, and Kafka's files or Maven to fetch them."""

    name = VERSION

    def __init__(self, folder: Path, ports: Iterator[int]) -> None:
        self.folder = folder / "kafka"
        self._ports = ports
        self._broker: Broker | None = None
        fetch(jars_folder())

    def start(self) -> str:
        """A new and empty one; returns its address."""
        self.stop()
        self._broker = Broker(self.folder.absolute(), next(self._ports), jars_folder().absolute())
        self._broker.start()
        return self._broker.servers

    def stop(self) -> None:
        if self._broker is not None:
            self._broker.kill()
            shutil.rmtree(self.folder)
            self._broker = None


class MockKafka:
    """The mock cluster, in a process of its own. It forgets what is old: only short chains fit."""

    name = "mock"

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        self.stop()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.crash_kafka"],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        servers = self._process.stdout.readline().strip()
        assert servers, "the mock cluster did not start"
        return servers

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(MOCK_SECONDS)
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None


def kafka(folder: Path, port: int) -> RealKafka | MockKafka:
    """A real broker where there can be one; each start takes the next two ports of this worker's."""
    ports = itertools.cycle(range(port + 2, port + PORTS_PER_WORKER - 1, 2))
    try:
        return RealKafka(folder, ports)
    except NoBroker as why:
        print(f"the mock cluster stands in for Kafka: {why}", file=sys.stderr)
        return MockKafka()


class Distributed:
    """A PostgreSQL of its own, and a Kafka that is new for each chain."""

    def __init__(self, folder: Path, port: int, *, mock: bool = False) -> None:
        self.folder = folder
        self._kafka = MockKafka() if mock else kafka(folder, port)
        self._postgres = Postgres(new_folder(), free_port())
        self._postgres.start()
        url = f"postgresql://postgres@127.0.0.1:{self._postgres.port}/{DATABASE}"
        self.settings = Settings(data=folder / "data", port=port, database=url)  # type: ignore[arg-type]
        self.prepare(empty=True)

    def keep_template(self) -> None:
        shutil.copytree(self.settings.data, self.folder / "template")
        self._admin(f"CREATE DATABASE {TEMPLATE} TEMPLATE {DATABASE}")

    def prepare(self, *, empty: bool) -> None:
        shutil.rmtree(self.settings.data, ignore_errors=True)
        template = ""
        if not empty:
            shutil.copytree(self.folder / "template", self.settings.data)
            template = f" TEMPLATE {TEMPLATE}"
        self._admin(
            f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)",
            f"CREATE DATABASE {DATABASE}{template}",
        )
        servers = self._kafka.start()
        asyncio.run(_topics(servers))
        self.settings = self.settings.model_copy(update={"bus": f"kafka://{servers}"})

    def poison(self) -> list[str]:
        records = poison_records()
        asyncio.run(_send(self._servers, records))
        return [one.key for one in records]

    def reader(self) -> tuple[BusReader, Any]:
        return KafkaReader(self._servers), None

    @property
    def _servers(self) -> str:
        servers = self.settings.kafka_servers()
        assert servers is not None
        return servers

    def close(self) -> None:
        self._kafka.stop()
        self._postgres.remove()

    def _admin(self, *statements: str) -> None:
        async def run() -> None:
            conn = await asyncpg.connect(self._postgres.url("postgres").replace("+asyncpg", ""))
            try:
                for statement in statements:
                    await conn.execute(statement)
            finally:
                await conn.close()

        asyncio.run(run())


async def _topics(servers: str) -> None:
    """Make the topics, so that there is something to poison before the first life."""
    await KafkaBus(servers).ensure_topics(tuple(POISONED))


async def _send(servers: str, records: Sequence[Record]) -> None:
    bus = KafkaBus(servers)
    await bus.start()
    try:
        await bus.send(records)
    finally:
        await bus.stop()


ENGINES = {"embedded": Embedded, "distributed": Distributed}
