"""The whole road through separate processes, over PostgreSQL and Kafka, by way of the gateway."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.engines.processes import Cluster, eventually

INCIDENTS = 8


def post_alert(client: httpx.Client, number: int, at: datetime) -> str:
    """Post one; returns its incident."""
    alert = {
        "title": "Card payments time out",
        "service": "payments",
        "severity": "critical",
        "fingerprint": f"payments-{number}",
        "starts_at": at.isoformat(),
    }
    answer = client.post("/v1/signals", json=alert)
    assert answer.status_code == 202, answer.text
    return answer.json()["signals"][0]["incident_id"]


def items(client: httpx.Client, path: str) -> list[dict[str, Any]]:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def test_an_alert_becomes_a_candidate_through_seven_processes(cluster: Cluster) -> None:
    began = datetime.now(UTC) - timedelta(days=INCIDENTS)
    with cluster.client() as client:
        incident_ids = [
            post_alert(client, number, began + timedelta(days=number))
            for number in range(INCIDENTS)
        ]
        (candidate,) = eventually(lambda: items(client, "/v1/candidates"), "a candidate")

        def whole_road() -> Any:
            trace = client.get(f"/v1/trace/{incident_ids[0]}").json()
            reached = {station["station"] for station in trace["stations"]}
            return trace if {"signal", "incident", "theme", "candidate"} <= reached else None

        trace = eventually(whole_road, "the whole road in the trace")
        assert trace["candidate"]["id"] == candidate["id"]
        assert trace["unavailable"] == {}
        assert len(trace["evidence"]) == INCIDENTS
