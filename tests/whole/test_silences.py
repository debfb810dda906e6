"""A maintenance window from end to end: what fires in it is no evidence, until it is heard."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.whole.system import TIMERS_SECONDS, System, eventually, quiet, rows


def post(client: httpx.Client, path: str, body: Any) -> Any:
    answer = client.post(path, json=body)
    assert answer.is_success, f"{path}: {answer.text}"
    return answer.json()


def theme_of(client: httpx.Client, incident_id: str) -> Any:
    return client.get(f"/v1/incidents/{incident_id}").json()["theme_id"]


def test_what_fires_in_a_silence_is_evidence_once_that_is_over(system: System) -> None:
    now = datetime.now(UTC)
    terms = {
        "matchers": [{"label": "zone", "op": "=~", "value": "eu-.*"}],
        "starts_at": (now - timedelta(hours=1)).isoformat(),
        "ends_at": (now + timedelta(hours=1)).isoformat(),
    }
    alert = {
        "title": "Queue is full",
        "service": "mail",
        "labels": {"alertname": "QueueFull", "zone": "eu-1"},
        "starts_at": (now - timedelta(minutes=5)).isoformat(),
    }
    with system.client() as client:
        client.put("/v1/catalog/services/mail", json={"product": "Mail"})
        silence = post(client, "/v1/silences", {"comment": "zone moves", **terms})
        signals = [{**alert, "fingerprint": f"f{n}"} for n in range(3)]
        written = post(client, "/v1/signals", signals)["signals"]
        ids = [one["incident_id"] for one in written]
        over = {**alert, "fingerprint": "f0", "status": "resolved", "ends_at": now.isoformat()}
        post(client, "/v1/signals", over)
        quiet(system, TIMERS_SECONDS)
        assert rows(system)["feedback.themes"] == 0
        listed = client.get("/v1/incidents", params={"silenced": "true"}).json()["items"]
        assert {one["silenced_by"] for one in listed} == {silence["id"]}
        assert {one["id"] for one in listed} == set(ids)
        assert client.get("/v1/incidents/summary").json()["silenced"] == 3
        post(client, f"/v1/silences/{silence['id']}/end", {})
        eventually(lambda: all(theme_of(client, one) for one in ids[1:]), "evidence of a theme")
        (theme,) = client.get("/v1/themes").json()["items"]
        evidence = client.get(f"/v1/themes/{theme['id']}/evidence").json()["items"]
        assert {one["source_id"] for one in evidence} == set(ids[1:])
        assert theme_of(client, ids[0]) is None
        assert client.get("/v1/incidents/summary").json()["silenced"] == 1
