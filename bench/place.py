"""Where a run keeps what it makes: a folder, a PostgreSQL, its servers; all are gone at its end."""

import asyncio
import os
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median

import asyncpg

from bench.server import Server
from tests.engines.postgres import Postgres, free_port, new_folder

SYNCS = 200


@dataclass
class Place:
    """Everything lies below one folder of the system's temporary folder: set TMPDIR to choose the disk."""

    folder: Path
    servers: list[Server] = field(default_factory=list[Server])
    count: int = 0

    def fresh(self, name: str) -> Path:
        """A new folder."""
        self.count += 1
        made = self.folder / f"{name}-{self.count}"
        made.mkdir()
        return made

    def own(self, server: Server) -> Server:
        """It is stopped at the end, whatever happens."""
        self.servers.append(server)
        return server

    def stop(self, servers: list[Server]) -> None:
        for server in servers:
            server.stop()
            self.servers.remove(server)

    @cached_property
    def postgres(self) -> Postgres:
        """One cluster with fsync on; its processes may run on either core."""
        cluster = Postgres(new_folder("groundswell-bench-pg-"), free_port())
        cluster.guard()
        cluster.start()
        return cluster

    def database(self, like: str | None = None) -> str:
        """The URL of a new PostgreSQL database, as every program writes it: empty, or a copy of one."""
        template = like.rsplit("/", 1)[1] if like else "template1"
        self.count += 1
        name = f"bench_{self.count}"

        async def create() -> None:
            conn = await asyncpg.connect(self.postgres.url().replace("+asyncpg", ""))
            try:
                await conn.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
            finally:
                await conn.close()

        asyncio.run(create())
        return self.postgres.url(name).replace("+asyncpg", "")

    def fsync_ms(self) -> float:
        """The median of some: 4 kB appended to a file here, and synced."""
        taken: list[float] = []
        path = self.folder / "fsync"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            for _ in range(SYNCS):
                os.write(descriptor, bytes(4096))
                began = time.perf_counter()
                os.fsync(descriptor)
                taken.append(time.perf_counter() - began)
        finally:
            os.close(descriptor)
            path.unlink()
        return median(taken) * 1000


@contextmanager
def place() -> Generator[Place]:
    """A place for one part of the bench."""
    made = Place(new_folder("groundswell-bench-"))
    try:
        yield made
    finally:
        made.stop(list(made.servers))
        if "postgres" in made.__dict__:
            made.postgres.remove()
        shutil.rmtree(made.folder, ignore_errors=True)
