"""A storm and a flapping alert from end to end: all of it is kept, and one incident of each counts."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.whole.conftest import system_at
from tests.whole.system import TIMERS_SECONDS, System, eventually, quiet

NEEDS = {
    "web": ["api"],
    "api": ["orders", "payments"],
    "orders": ["store"],
    "payments": ["store"],
    "search": ["store"],
    "store": [],
}
"""Six services, all of which fail with the one that all depend on."""

SIZE = 30


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[System]:
    """A system of its own: the rules here are about everything that it hears of."""
    with system_at(tmp_path) as system:
        yield system


def ok(answer: httpx.Response) -> Any:
    assert answer.is_success, f"{answer.request.url}: {answer.text}"
    return answer.json()


def listed(client: httpx.Client, **params: str) -> list[Any]:
    return ok(client.get("/v1/incidents", params={"limit": "200", **params}))["items"]


def evidence(client: httpx.Client) -> set[str]:
    """The incidents that are evidence of any theme."""
    themes = ok(client.get("/v1/themes", params={"limit": "200"}))["items"]
    found: set[str] = set()
    for theme in themes:
        rows = ok(client.get(f"/v1/themes/{theme['id']}/evidence"))["items"]
        found |= {one["source_id"] for one in rows}
    return found


def test_a_storm_over_services_that_depend_on_each_other_is_one_incident(alone: System) -> None:
    began = datetime.now(UTC) - timedelta(minutes=20)
    with alone.client() as client:
        for name, needs in NEEDS.items():
            entry = {"product": "Shop", "dependencies": needs}
            ok(client.put(f"/v1/catalog/services/{name}", json=entry))
        rule = {
            "dependencies": True,
            "hops": 3,
            "within_seconds": 120,
            "span_seconds": 600,
            "at_least": 5,
            "since": (began - timedelta(hours=1)).isoformat(),
        }
        ok(client.put("/v1/correlations/storm", json=rule))
        # The one that all depend on is the fourth to be heard of, and the last to arrive.
        services = ["web", "api", "search", "store", "orders", "payments"] * (SIZE // 6)
        alerts = [
            {
                "title": f"{service} answers slowly",
                "fingerprint": f"storm-{n}",
                "service": service,
                "starts_at": (began + timedelta(seconds=10 * n)).isoformat(),
            }
            for n, service in enumerate(services)
        ]
        for n in (*range(0, SIZE, 2), *reversed(range(1, SIZE, 2))):
            ok(client.post("/v1/signals", json=alerts[n]))
        alone_standing = {
            "title": "Disk full",
            "service": "backup",
            "starts_at": began.isoformat(),
        }
        other = ok(client.post("/v1/signals", json=alone_standing))["signals"][0]["incident_id"]
        eventually(lambda: len(listed(client, top="false")) == SIZE - 1, "one parent of all")
        quiet(alone)
        first, second = sorted(listed(client, top="true"), key=lambda one: one["children"])
        assert (first["id"], first["children"]) == (other, 0)
        assert (second["service"], second["children"]) == ("store", SIZE - 1)
        assert second["opened_at"].startswith(alerts[3]["starts_at"][:19])
        children = listed(client, parent=second["id"])
        assert len(children) == SIZE - 1
        assert {one["correlated_by"] for one in children} == {"storm"}
        assert evidence(client) == {other, second["id"]}
        numbers = ok(client.get("/v1/incidents/summary"))
        assert (numbers["incidents"], numbers["signals"]) == (SIZE + 1, SIZE + 1)
        assert numbers["correlated"] == SIZE - 1
        trace = ok(client.get(f"/v1/trace/{children[0]['id']}"))
        assert any("storm" in one["text"] for one in trace["stations"])
        ok(client.post("/v1/correlations/storm/remove"))
        eventually(lambda: listed(client, top="false") == [], "every incident by itself")
        quiet(alone)
        assert len(evidence(client)) == SIZE + 1


def test_an_alert_that_flaps_is_one_incident_and_its_first_counts(alone: System) -> None:
    now = datetime.now(UTC)
    with alone.client() as client:
        ok(client.put("/v1/catalog/services/mail", json={"product": "Mail"}))
        ids: list[str] = []
        for n in range(6):
            begins = now - timedelta(minutes=110 - 15 * n)
            alert = {
                "title": "Queue is full",
                "service": "mail",
                "fingerprint": "queue",
                "starts_at": begins.isoformat(),
            }
            ids.append(ok(client.post("/v1/signals", json=alert))["signals"][0]["incident_id"])
            over = {"status": "resolved", "ends_at": (begins + timedelta(minutes=1)).isoformat()}
            ok(client.post("/v1/signals", json=alert | over))
        assert len(set(ids)) == 6
        eventually(lambda: len(listed(client, parent=ids[0])) == 5, "five children")
        quiet(alone, TIMERS_SECONDS)
        assert {one["correlated_by"] for one in listed(client, top="false")} == {"flapping"}
        assert evidence(client) == {ids[0]}
        assert ok(client.get(f"/v1/incidents/{ids[3]}"))["theme_id"] is None
