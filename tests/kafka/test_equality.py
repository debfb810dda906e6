"""The same history through the embedded engine and through PostgreSQL and a real Kafka."""

from pathlib import Path

from shared.settings import Settings
from tests.engines.kafka_broker import Broker
from tests.equality.lived import Pace, same_history
from tests.equality.plain import difference

SEED = 1


async def test_postgresql_and_kafka_come_to_what_the_embedded_engine_comes_to(
    new_broker: Broker, new_database: str, tmp_path: Path
) -> None:
    distributed = Settings.model_validate(
        {
            "data": tmp_path / "distributed",
            "port": 0,
            "database": new_database,
            "bus": f"kafka://{new_broker.servers}",
        }
    )
    usual = await same_history(Settings(data=tmp_path / "embedded", port=0), SEED)
    other = await same_history(distributed, SEED, Pace(largest=15, pause=0.02))
    assert other == usual, difference(usual, other, ("embedded", f"Kafka, seed {SEED}"))
