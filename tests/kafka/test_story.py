"""A story through separate processes on a real Kafka that dies under them, and goes on."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.engines.kafka_broker import Broker
from tests.engines.processes import SERVICES, Cluster, eventually

DAYS = 8


@pytest.fixture
def cluster(new_broker: Broker, new_database: str, tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "cluster", new_database, new_broker.servers) as whole:
        yield whole


def post(client: httpx.Client, name: str, at: datetime) -> str:
    """Post an alert of one and the same theme; returns its incident."""
    alert = {
        "title": "Card payments time out",
        "service": "payments",
        "severity": "critical",
        "fingerprint": name,
        "starts_at": at.isoformat(),
    }
    answer = client.post("/v1/signals", json=alert)
    assert answer.status_code == 202, answer.text
    return answer.json()["signals"][0]["incident_id"]


def get(client: httpx.Client, path: str) -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def evidence(client: httpx.Client, count: int) -> Any:
    """Wait until the one theme has so much evidence."""

    def there() -> bool:
        return [one["evidence_count"] for one in get(client, "/v1/themes")["items"]] == [count]

    return eventually(there, f"evidence {count}")


def stations(client: httpx.Client, incident: str, wanted: set[str]) -> Any:
    def there() -> Any:
        trace = get(client, f"/v1/trace/{incident}")
        return trace if wanted <= {one["station"] for one in trace["stations"]} else None

    return eventually(there, f"{wanted} in the trace")


def test_a_signal_becomes_an_item_though_the_broker_and_a_worker_die_on_the_way(
    cluster: Cluster, new_broker: Broker
) -> None:
    began = datetime.now(UTC) - timedelta(days=DAYS)
    with cluster.client() as client:
        first, *_ = [post(client, f"{n}", began + timedelta(days=n)) for n in range(DAYS)]
        (candidate,) = eventually(lambda: get(client, "/v1/candidates")["items"], "a candidate")
        evidence(client, DAYS)

        new_broker.kill()
        while_away = post(client, "while the broker is away", datetime.now(UTC))
        accepted = client.post(f"/v1/candidates/{candidate['id']}/accept")
        assert accepted.status_code == 200, accepted.text
        assert all(one.probe("/readyz") == 200 for one in cluster.processes.values())
        new_broker.start()
        evidence(client, DAYS + 1)
        trace = stations(client, first, {"signal", "incident", "theme", "candidate", "item"})
        assert trace["candidate"]["id"] == candidate["id"]
        stations(client, while_away, {"item"})

        cluster.another("feedback-worker").start()
        cluster["feedback-worker"].kill()
        post(client, "after a worker died", datetime.now(UTC))
        evidence(client, DAYS + 2)

        assert len(get(client, "/v1/items")["items"]) == 1
        assert [get(client, f"/v1/dead-letters/{one}")["items"] for one in SERVICES] == [[], [], []]
    assert set(cluster.stop().values()) == {0}
