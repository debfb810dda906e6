"""Fresh, migrated databases for tests, on either engine: migrated once a session, then copied."""

import itertools
import shutil
from pathlib import Path
from typing import Protocol

import asyncpg
from sqlalchemy.engine import make_url

from shared.database import sqlite_url
from shared.migrations import upgrade
from tests.engines.postgres import Postgres, free_port, new_folder


class Store(Protocol):
    """Where tests get databases from."""

    async def fresh(self, migrations: Path) -> str:
        """The URL of a new database at this history's newest revision, with nothing in it."""
        ...

    async def empty(self) -> str:
        """The URL of a new database with no tables."""
        ...

    async def drop(self, url: str) -> None:
        """Forget a database that `fresh` made; whoever still uses it is thrown out."""
        ...

    def close(self) -> None: ...


class SqliteStore:
    """Files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count(1)

    async def fresh(self, migrations: Path) -> str:
        history = migrations.parent.name
        template = self.folder / f"{history}.sqlite3"
        if not template.exists():
            making = f"{history}.making.sqlite3"
            await upgrade(sqlite_url(self.folder, making), migrations)
            (self.folder / making).rename(template)
        name = f"{history}_{next(self._numbers)}.sqlite3"
        shutil.copy(template, self.folder / name)
        return sqlite_url(self.folder, name)

    async def empty(self) -> str:
        return sqlite_url(self.folder, f"empty_{next(self._numbers)}.sqlite3")

    async def drop(self, url: str) -> None:
        file = Path(make_url(url).database or "")
        for one in file.parent.glob(f"{file.name}*"):
            one.unlink()

    def close(self) -> None:
        return None


class PostgresStore:
    """Databases of one cluster, which is started by the first that asks and removed at the end."""

    def __init__(self) -> None:
        self._cluster: Postgres | None = None
        self._templates: set[str] = set()
        self._numbers = itertools.count(1)

    @property
    def cluster(self) -> Postgres:
        if self._cluster is None:
            self._cluster = Postgres(new_folder(), free_port(), fsync=False)
            self._cluster.guard()
            self._cluster.start()
        return self._cluster

    async def fresh(self, migrations: Path) -> str:
        history = migrations.parent.name
        if history not in self._templates:
            await self._say(f"CREATE DATABASE {history}")
            await upgrade(self.cluster.url(history, history), migrations)
            self._templates.add(history)
        return self.cluster.url(await self._clone(history), history)

    async def empty(self) -> str:
        name = await self._clone("template1")
        await self._say("CREATE SCHEMA tables", name)
        return self.cluster.url(name, "tables")

    async def drop(self, url: str) -> None:
        name = url.rsplit("/", 1)[1].split("?", 1)[0]
        await self._say(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def close(self) -> None:
        if self._cluster is not None:
            self._cluster.remove()

    async def _clone(self, template: str) -> str:
        name = f"t_{next(self._numbers)}"
        await self._say(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return name

    async def _say(self, statement: str, database: str = "postgres") -> None:
        connection = await asyncpg.connect(self.cluster.url(database).replace("+asyncpg", ""))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()
