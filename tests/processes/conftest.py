"""A distributed system on a PostgreSQL of its own and a Kafka in this process."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import asyncpg
import pytest

from services.engines import TOPICS
from tests.engines.mock_kafka import MockKafka
from tests.engines.postgres import Postgres, free_port, new_folder
from tests.engines.processes import Cluster

PARTITIONS = 3

NewDatabase = Callable[[], str]


@pytest.fixture(scope="package")
def postgres() -> Iterator[Postgres]:
    """One server for all tests here, and no longer."""
    server = Postgres(new_folder(), free_port(), fsync=False)
    server.start()
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="package")
def new_database(postgres: Postgres) -> NewDatabase:
    """Makes a database with nothing in it; returns its address for GROUNDSWELL_DATABASE."""
    numbers = itertools.count(1)

    server = f"postgresql://postgres@127.0.0.1:{postgres.port}"

    def make() -> str:
        name = f"groundswell_{next(numbers)}"
        work = execute(f"{server}/postgres", f"CREATE DATABASE {name}")
        with ThreadPoolExecutor(1) as beside:  # an async test has this thread's loop
            beside.submit(asyncio.run, work).result()
        return f"{server}/{name}"

    return make


async def execute(database: str, statement: str) -> None:
    """Run one statement in the database at this address."""
    conn = await asyncpg.connect(database)
    try:
        await conn.execute(statement)
    finally:
        await conn.close()


@contextmanager
def broker() -> Iterator[MockKafka]:
    """A broker that forgets everything in the end. Two systems must not share one: same groups."""
    mock = MockKafka()
    try:
        for topic in TOPICS:
            mock.create(topic, PARTITIONS)
        yield mock
    finally:
        mock.stop()


@pytest.fixture
def kafka() -> Iterator[MockKafka]:
    """A broker for this test alone."""
    with broker() as mock:
        yield mock


@pytest.fixture(scope="package")
def cluster(
    new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A whole system for all tests here: one process of each part."""
    folder = tmp_path_factory.mktemp("cluster")
    with broker() as mock, Cluster(folder, new_database(), mock.servers) as whole:
        yield whole
