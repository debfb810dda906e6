"""The same history through the embedded engine and through PostgreSQL and a real Kafka."""

from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from shared.settings import Settings
from tests.engines.kafka_broker import Broker, NoBroker, free_port, jars_folder
from tests.engines.postgres import Postgres, new_folder
from tests.engines.postgres import free_port as free_postgres_port
from tests.equality.lived import Pace, same_history
from tests.equality.plain import difference

SEED = 1


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """One of its own: the product's topics must hold nothing yet."""
    broker = Broker(tmp_path / "kafka", free_port(), jars_folder())
    try:
        broker.start()
    except NoBroker as why:
        pytest.fail(str(why), pytrace=False)
    yield broker
    broker.kill()


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    postgres = Postgres(new_folder(), free_postgres_port(), fsync=False)
    postgres.start()
    yield postgres
    postgres.remove()


async def test_postgresql_and_kafka_come_to_what_the_embedded_engine_comes_to(
    broker: Broker, postgres: Postgres, tmp_path: Path
) -> None:
    connection = await asyncpg.connect(postgres.url().replace("+asyncpg", ""))
    await connection.execute("CREATE DATABASE groundswell")
    await connection.close()
    distributed = Settings.model_validate(
        {
            "data": tmp_path / "distributed",
            "port": 0,
            "database": postgres.url("groundswell"),
            "bus": f"kafka://{broker.servers}",
        }
    )
    usual = await same_history(Settings(data=tmp_path / "embedded", port=0), SEED)
    other = await same_history(distributed, SEED, Pace(largest=15, pause=0.02))
    assert other == usual, difference(usual, other, ("embedded", f"Kafka, seed {SEED}"))
