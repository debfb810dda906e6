"""Every address that a sender knows, from the front door to what is stored, in the sender's own words."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway.conftest import Front
from tests.gateway.test_integrations import make, signals

BODIES = Path(__file__).parents[1] / "incidents" / "adapters" / "bodies"


def recorded(name: str) -> bytes:
    return (BODIES / f"{name}.json").read_bytes()


async def post(
    front: Front, path: str, body: bytes, key: str | None, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    async with front.client(key) as client:
        return await client.post(path, content=body, headers=dict(headers or {}))


def event(name: str, key: str) -> bytes:
    """A recorded event of PagerDuty with this routing key."""
    return json.dumps({**json.loads(recorded(name)), "routing_key": key}).encode()


async def states(admin: httpx.AsyncClient) -> list[str]:
    items = (await admin.get("/v1/incidents")).json()["items"]
    return [one["state"] for one in items]


async def test_pagerduty_triggers_acknowledges_and_resolves(
    front: Front, admin: httpx.AsyncClient
) -> None:
    key = (await make(admin, service="payments"))["key"]
    for name, state in [
        ("pagerduty_trigger", "open"),
        ("pagerduty_trigger", "open"),
        ("pagerduty_acknowledge", "acknowledged"),
        ("pagerduty_acknowledge", "acknowledged"),
        ("pagerduty_resolve", "resolved"),
        ("pagerduty_resolve", "resolved"),
        ("pagerduty_acknowledge", "resolved"),
    ]:
        answer = await post(front, "/v2/enqueue", event(name, key), None)
        assert (answer.status_code, answer.json()["status"]) == (202, "success"), answer.text
        assert answer.json()["dedup_key"] == json.loads(recorded(name))["dedup_key"]
        assert await states(admin) == [state]
    assert {one["source"] for one in await signals(admin)} == {"shop"}


async def test_pagerdutys_clients_are_told_what_is_wrong_as_pagerduty_would(
    front: Front, admin: httpx.AsyncClient
) -> None:
    key = (await make(admin))["key"]
    wrong = json.dumps({"routing_key": key, "event_action": "shout"}).encode()
    answer = await post(front, "/v2/enqueue", wrong, None)
    assert answer.status_code == 400
    assert answer.json()["status"] == "invalid event"
    assert "event_action" in answer.json()["errors"][0]
    unknown = await post(front, "/v2/enqueue", event("pagerduty_trigger", "x" * 32), None)
    assert (unknown.status_code, unknown.json()["message"]) == (400, "Event object is invalid")
    limited = (await make(admin, "limited", signals_per_minute=1))["key"]
    statuses = [
        (await post(front, "/v2/enqueue", event("pagerduty_trigger", limited), None)).status_code
        for _ in range(2)
    ]
    assert statuses == [202, 429]


async def test_an_end_of_what_never_began_is_dropped(
    front: Front, admin: httpx.AsyncClient
) -> None:
    key = (await make(admin))["key"]
    for name in ("pagerduty_resolve", "pagerduty_acknowledge"):
        answer = await post(front, "/v2/enqueue", event(name, key), None)
        assert (answer.status_code, answer.json()["status"]) == (202, "success")
    headers = {"Authorization": f"GenieKey {key}"}
    close = "/v2/alerts/unknown/close?identifierType=alias"
    assert (await post(front, close, b"{}", None, headers)).status_code == 202
    assert await states(admin) == await signals(admin) == []
    await post(front, "/v2/enqueue", event("pagerduty_trigger", key), None)
    assert await states(admin) == ["open"]


async def test_two_routing_keys_never_share_a_dedup_key(
    front: Front, admin: httpx.AsyncClient
) -> None:
    for source in ("shop", "bank"):
        key = (await make(admin, source))["key"]
        await post(front, "/v2/enqueue", event("pagerduty_trigger", key), None)
    assert await states(admin) == ["open", "open"]


async def test_opsgenie_creates_acknowledges_and_closes(
    front: Front, admin: httpx.AsyncClient
) -> None:
    made = await make(admin)
    headers = {"Authorization": f"GenieKey {made['key']}"}
    alias = json.loads(recorded("opsgenie_create"))["alias"]
    about = f"/v2/alerts/{alias}"
    for path, name, state in [
        ("/v2/alerts", "opsgenie_create", "open"),
        (f"{about}/acknowledge?identifierType=alias", "opsgenie_acknowledge", "acknowledged"),
        (f"{about}/close?identifierType=alias", "opsgenie_close", "resolved"),
    ]:
        answer = await post(front, path, recorded(name), None, headers)
        assert answer.status_code == 202, answer.text
        assert answer.json()["result"] == "Request will be processed"
        assert answer.json()["requestId"] == answer.headers["x-request-id"]
        assert await states(admin) == [state]
    by_id = await post(front, f"{about}/close", recorded("opsgenie_close"), None, headers)
    assert by_id.status_code == 422
    bad = await post(front, "/v2/alerts", b'{"message": 1}', None, headers)
    assert (bad.status_code, bad.json()["took"]) == (400, 0.0)
    unknown = await post(front, "/v2/alerts", b"{}", None, {"Authorization": "GenieKey x"})
    assert (unknown.status_code, "message" in unknown.json()) == (401, True)


SENT: list[tuple[str, str, dict[str, str]]] = [
    ("/ingest/grafana", "grafana_mixed", {}),
    ("/ingest/grafana", "grafana_legacy_alerting", {}),
    ("/ingest/sentry", "sentry_event_alert", {"Sentry-Hook-Resource": "event_alert"}),
    ("/ingest/sentry", "sentry_metric_critical", {"Sentry-Hook-Resource": "metric_alert"}),
    ("/ingest/datadog", "datadog_triggered", {}),
    (
        "/ingest/cloudevents",
        "cloudevents_structured",
        {"Content-Type": "application/cloudevents+json"},
    ),
    (
        "/ingest/cloudevents",
        "cloudevents_batch",
        {"Content-Type": "application/cloudevents-batch+json"},
    ),
]


@pytest.mark.parametrize(("path", "name", "headers"), SENT)
async def test_what_tools_post_is_taken_and_sent_again_changes_nothing(
    front: Front, admin: httpx.AsyncClient, path: str, name: str, headers: dict[str, str]
) -> None:
    key = (await make(admin))["key"]
    first = await post(front, path, recorded(name), key, headers)
    assert first.status_code == 202, first.text
    assert first.json()["accepted"] >= 1
    again = await post(front, path, recorded(name), key, headers)
    ids = [one["id"] for one in first.json()["signals"]]
    assert [(one["id"], one["status"]) for one in again.json()["signals"]] == [
        (one, "repeat") for one in ids
    ]
    assert {one["source"] for one in await signals(admin)} == {"shop"}


@pytest.mark.parametrize(
    "path",
    ["/ingest/grafana", "/ingest/sentry", "/ingest/datadog", "/ingest/cloudevents"],
)
async def test_a_bad_body_is_told_and_keeps_nothing(
    front: Front, admin: httpx.AsyncClient, path: str
) -> None:
    key = (await make(admin))["key"]
    headers = {
        "Sentry-Hook-Resource": "issue",
        "Content-Type": "application/cloudevents+json",
    }
    answer = await post(front, path, b"[1", key, headers)
    assert answer.status_code == 400
    assert answer.json()["errors"]
    assert await signals(admin) == []


async def test_grafana_may_put(front: Front, admin: httpx.AsyncClient) -> None:
    key = (await make(admin))["key"]
    async with front.client(key) as client:
        answer = await client.put("/ingest/grafana", content=recorded("grafana_mixed"))
    assert answer.status_code == 202


async def test_cloudevents_of_no_known_format_are_refused_and_the_handshake_needs_no_key(
    front: Front, admin: httpx.AsyncClient
) -> None:
    key = (await make(admin))["key"]
    path, odd = "/ingest/cloudevents", {"Content-Type": "application/cloudevents+avro"}
    assert (await post(front, path, b"x", key, odd)).status_code == 415
    asked = {"WebHook-Request-Origin": "events.example", "WebHook-Request-Rate": "120"}
    async with front.client(None) as client:
        answer = await client.request("OPTIONS", path, headers=asked)
        assert answer.status_code == 200
        assert answer.headers["webhook-allowed-origin"] == "events.example"
        assert answer.headers["webhook-allowed-rate"] == "120"
        assert (await client.post(path, content=b"{}")).status_code == 401


async def test_a_sender_nobody_foresaw_is_read_by_a_mapping(
    front: Front, admin: httpx.AsyncClient
) -> None:
    mapping = json.loads(recorded("generic_uptime.mapping"))
    assert (await admin.put("/v1/mappings/uptime", json=mapping)).is_success
    key = (await make(admin))["key"]
    for name, state in [("generic_uptime_down", "open"), ("generic_uptime_up", "resolved")]:
        answer = await post(front, "/ingest/generic/uptime", recorded(name), key)
        assert answer.status_code == 202, answer.text
        assert await states(admin) == [state]
    unknown = await post(front, "/ingest/generic/nobody", recorded("generic_uptime_up"), key)
    assert unknown.status_code == 404


async def test_github_signs_and_its_deployments_are_changes(
    front: Front, admin: httpx.AsyncClient
) -> None:
    made = await make(admin, "our-github")
    path = f"/v1/integrations/{made['integration']['id']}/signing-secrets"
    secrets: Any = {"secrets": ["a secret of the webhook"]}
    answer = await admin.put(path, json=secrets)
    assert answer.json()["signed"] is True
    assert "a secret" not in answer.text + (await admin.get("/v1/integrations")).text
    body = recorded("github_deployment_success")
    signed = hmac.new(b"a secret of the webhook", body, hashlib.sha256).hexdigest()
    headers = {
        "X-GitHub-Event": "deployment_status",
        "X-Hub-Signature-256": f"sha256={signed}",
        "Content-Type": "application/json",
    }
    address = f"/ingest/github?integration={made['integration']['id']}"
    first = await post(front, address, body, None, headers)
    taken = await post(front, address, body, None, headers)
    assert (first.status_code, first.json()) == (202, taken.json()), first.text
    forged = await post(front, address, body + b" ", None, headers)
    assert forged.status_code == 401
    (change,) = (await admin.get("/v1/changes")).json()["items"]
    assert (change["id"], change["source"]) == (taken.json()["change_id"], "our-github")


async def test_pagerdutys_change_events_are_changes(front: Front, admin: httpx.AsyncClient) -> None:
    key = (await make(admin, service="payments"))["key"]
    for _ in range(2):
        body = event("pagerduty_change", key)
        answer = await post(front, "/v2/change/enqueue", body, None)
        assert (answer.status_code, answer.json()["status"]) == (202, "success"), answer.text
    (change,) = (await admin.get("/v1/changes")).json()["items"]
    assert change["source"] == "shop"


async def test_what_github_sent_and_nobody_can_read_is_kept_since_it_never_comes_again(
    front: Front, admin: httpx.AsyncClient
) -> None:
    key = (await make(admin))["key"]
    headers = {"X-GitHub-Event": "release", "X-GitHub-Delivery": "72d3162e"}
    for _ in range(2):
        answer = await post(front, "/ingest/github", b'{"action": "released"', key, headers)
        assert (answer.status_code, answer.json()) == (202, {"change_id": None})
    (letter,) = (await admin.get("/v1/dead-letters/incidents")).json()["items"]
    kept = (await admin.get(f"/v1/dead-letters/incidents/{letter['id']}")).json()
    assert (kept["key"], kept["value"]) == ("72d3162e", '{"action": "released"')
    assert "JSON" in kept["reason"]


async def test_github_has_room_when_nobody_else_has(front: Front, admin: httpx.AsyncClient) -> None:
    key = (await make(admin))["key"]
    headers = {"X-GitHub-Event": "ping"}
    while front.room.take(0):
        pass
    assert (await post(front, "/v1/signals", b"{}", key)).status_code == 503
    answer = await post(front, "/ingest/github", recorded("github_ping"), key, headers)
    assert answer.status_code == 202
