"""The same history through the embedded engine, at another pace, and through PostgreSQL and Kafka: the
same incidents, themes, candidates, items and outcomes, down to every number."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from services.engines import TOPICS
from shared.settings import Settings
from tests.conftest import PostgresStore
from tests.engines.mock_kafka import MockKafka, mock_kafka
from tests.equality.lived import Pace, same_history
from tests.equality.plain import difference

SEED = 2
PARTITIONS = 3


@pytest.fixture(scope="module")
def kafka() -> Iterator[MockKafka]:
    with mock_kafka() as mock:
        for topic in TOPICS:
            mock.create(topic, PARTITIONS)
        yield mock


@pytest.fixture
async def settings(kafka: MockKafka, postgres_store: PostgresStore, tmp_path: Path) -> Settings:
    """PostgreSQL with an empty database, and Kafka with empty topics."""
    name = f"equality_{uuid4().hex[:8]}"
    plain_url = postgres_store.cluster.url().replace("+asyncpg", "")
    connection = await asyncpg.connect(plain_url)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    database = postgres_store.cluster.url(name)
    return Settings.model_validate(
        {"data": tmp_path, "port": 0, "database": database, "bus": f"kafka://{kafka.servers}"}
    )


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the embedded engine has after that history."""
    data = tmp_path_factory.mktemp("embedded")
    return asyncio.run(same_history(Settings(data=data, port=0), SEED))


async def test_the_pace_changes_nothing(embedded: dict[str, Any], tmp_path: Path) -> None:
    pace = Pace(largest=9, pause=0.02, review=0.7)
    other = await same_history(Settings(data=tmp_path, port=0), SEED, pace)
    assert other == embedded, difference(embedded, other, ("usual", f"slow, seed {SEED}"))


async def test_postgresql_and_kafka_come_to_the_same(
    embedded: dict[str, Any], settings: Settings
) -> None:
    other = await same_history(settings, SEED, Pace(largest=25))
    assert other == embedded, difference(embedded, other, ("embedded", f"Kafka, seed {SEED}"))


def test_the_history_holds_what_it_is_to_show(embedded: dict[str, Any]) -> None:
    """A verified fix, decisions of each kind, a returned candidate, unknown services: else the tests
    above say little."""
    states = {one["state"] for one in embedded["candidates"]}
    assert {"open", "accepted", "declined"} <= states
    assert {one["state"] for one in embedded["items"].values()} >= {"verified"}
    assert any(one["reopenings"] for one in embedded["incidents"].values())
    assert any(one["product"] == "unassigned" for one in embedded["themes"].values())
    rises = [rise for one in embedded["themes"].values() for rise in one["rises"]]
    assert {rise["fell_because"] for rise in rises} >= {None, "quiet", "dismissed"}
    assert {rise["detector"] for rise in rises} == {"recurrence", "demand"}
