"""A real broker for this folder: made once for the whole run, or the one that KAFKA_BOOTSTRAP names."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from tests.engines import postgres
from tests.engines.kafka_broker import Broker, NoBroker, free_port, jars_folder
from tests.engines.postgres import Postgres


@pytest.fixture(scope="session")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The run's own broker. Take `breakable` to break it."""
    port = free_port(3)
    broker = Broker(tmp_path_factory.mktemp("kafka"), port, jars_folder(), secured_port=port + 2)
    try:
        broker.start()
    except NoBroker as why:
        raise pytest.fail.Exception(str(why), pytrace=False) from None
    yield broker
    broker.resume()
    broker.kill()


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> str:
    """Where the broker is: `host:port`."""
    given = os.environ.get("KAFKA_BOOTSTRAP")
    return given or request.getfixturevalue("own_broker").servers


def ours(request: pytest.FixtureRequest) -> Broker:
    if "KAFKA_BOOTSTRAP" in os.environ:
        pytest.skip("KAFKA_BOOTSTRAP names a broker that isn't ours: unset it to run this as well")
    return request.getfixturevalue("own_broker")


@pytest.fixture
def secured(request: pytest.FixtureRequest) -> Broker:
    """The broker, to log in at its secured port."""
    return ours(request)


@pytest.fixture
def breakable(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """The broker, to kill and to pause; afterwards it runs again for the next test."""
    broker = ours(request)
    yield broker
    broker.resume()
    broker.start()


@pytest.fixture
def topic() -> str:
    """One for each test: the broker outlives them."""
    return f"story.{uuid4().hex[:8]}"


@pytest.fixture
def new_broker(tmp_path: Path) -> Iterator[Broker]:
    """One of its own, whose topics hold nothing yet; a test may break it as it likes."""
    broker = Broker(tmp_path / "kafka", free_port(), jars_folder())
    try:
        broker.start()
    except NoBroker as why:
        raise pytest.fail.Exception(str(why), pytrace=False) from None
    yield broker
    broker.kill()


@pytest.fixture
def new_database() -> Iterator[str]:
    """The address of an empty database on a server of its own."""
    server = Postgres(postgres.new_folder(), postgres.free_port(), fsync=False)
    server.start()
    asyncio.run(_create(server.url().replace("+asyncpg", "")))
    yield server.url("groundswell")
    server.remove()


async def _create(address: str) -> None:
    connection = await asyncpg.connect(address)
    await connection.execute("CREATE DATABASE groundswell")
    await connection.close()
