"""Refusals that depend on what there is: ids, versions, keys, repeats. And what is no refusal at all."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.whole.bad_bodies import FORMS, SENDERS
from tests.whole.system import System, check_refusal, quiet, rows, summary
from tests.whole.things import Things

READ_BY_ID = {
    "/v1/incidents": "theme_id",
    "/v1/signals": "incident_id",
    "/v1/feedback": "theme_id",
    "/v1/themes": "item_id",
    "/v1/outcomes": "candidate_id",
    "/v1/candidates": "incident_id",
    "/v1/items": "candidate_id",
    "/v1/objectives": "item_id",
}
"""Where single things are read, and whose ids must open nothing there."""

NO_IDS = ["nope", "%00", "%ff%fe", "a" * 201, "%2e%2e", "..%2f..%2fadmin.key", "' OR 1=1 --", "é"]

GUARDED = {
    "incident_id": ("POST", "/v1/incidents/{}/severity", {"severity": "low"}),
    "theme_id": ("POST", "/v1/themes/{}/merge", {"into": "thm_x", "reason": "the same"}),
    "candidate_id": ("POST", "/v1/candidates/{}/estimate", {"effort_person_months": 2}),
    "item_id": ("PATCH", "/v1/items/{}", {"title": "Retries, told apart"}),
    "objective_id": ("PATCH", "/v1/objectives/{}", {"title": "No declines"}),
    "name": ("PUT", "/v1/catalog/services/{}", {"product": "Elsewhere"}),
}
"""Writes that If-Match guards."""


@pytest.fixture(scope="module")
def client(system: System, things: Things) -> Iterator[httpx.Client]:
    with system.client() as client:
        yield client


@pytest.fixture
def untouched(system: System, things: Things) -> Iterator[None]:
    """Fails when the test left anything behind."""
    before, counted = quiet(system), summary(system)
    yield
    assert rows(system) == before
    assert summary(system) == counted


def refused(answer: httpx.Response, status: int, slug: str, says: str = "") -> None:
    """Assert this refusal, and that its sentence holds `says`."""
    assert answer.status_code == status, answer.text
    problem = check_refusal(answer)
    assert problem["type"].rpartition(":")[2] == slug, problem
    assert says in problem["detail"], problem


@pytest.mark.parametrize("path", READ_BY_ID)
@pytest.mark.usefixtures("untouched")
def test_an_id_that_is_no_id_of_this_noun_opens_nothing(
    path: str, client: httpx.Client, things: Things
) -> None:
    for no_id in [*NO_IDS, things.one(READ_BY_ID[path])]:
        answer = client.get(f"{path}/{no_id}")
        assert answer.status_code in (404, 422), (no_id, answer.text)
        check_refusal(answer)


@pytest.mark.parametrize("kind", GUARDED)
@pytest.mark.usefixtures("untouched")
def test_a_stale_or_garbled_if_match_changes_nothing(
    kind: str, client: httpx.Client, things: Things
) -> None:
    method, path, body = GUARDED[kind]
    address = path.format(things.one(kind))
    for garbled in ("abc", '"', "-1", '"1", "2"', "9" * 99, "1.5", "\xb2"):
        headers = [(b"If-Match", garbled.encode("latin-1"))]
        answer = client.request(method, address, json=body, headers=headers)
        refused(answer, 400, "bad-request", "If-Match must be the ETag of an earlier answer")
    answer = client.request(method, address, json=body, headers={"If-Match": "x" * 101})
    refused(answer, 422, "invalid-request", "at most 100")
    if kind == "theme_id":
        body = {"into": things.ids[kind][1], "reason": "the same"}
    answer = client.request(method, address, json=body, headers={"If-Match": '"999"'})
    assert answer.status_code == 412, answer.text
    check_refusal(answer)


def test_an_idempotency_key_is_for_one_request(client: httpx.Client, system: System) -> None:
    for path in ("/v1/incidents", "/v1/feedback", "/v1/candidates", "/v1/items", "/v1/objectives"):
        form = FORMS[path]
        field = "text" if "text" in form else "title"
        once = {"Idempotency-Key": f"once {path}"}
        first = client.post(path, json={**form, field: f"Only once {path}"}, headers=once)
        assert first.status_code == 201, first.text
        before, counted = quiet(system), summary(system)
        again = client.post(path, json={**form, field: f"Only once {path}"}, headers=once)
        assert (again.status_code, again.json()) == (201, first.json())
        other = client.post(path, json={**form, field: "Another"}, headers=once)
        refused(other, 422, "idempotency-key-reused", "use a new key")
        for odd in ("", "k" * 256):
            answer = client.post(path, json=form, headers={"Idempotency-Key": odd})
            refused(answer, 422, "invalid-request", "at " + ("most 255" if odd else "least 1"))
        assert rows(system) == before
        assert summary(system) == counted


def test_a_revoked_key_opens_nothing_from_the_answer_on(
    client: httpx.Client, system: System
) -> None:
    made = client.post("/v1/keys", json={"name": "short-lived", "scopes": ["ingest"]}).json()
    with system.client(made["key"]) as sender:
        assert sender.post("/v1/signals", json={"title": "It lives"}).status_code == 202
        assert client.post(f"/v1/keys/{made['id']}/revoke").status_code == 200
        before = quiet(system)
        answer = sender.post("/v1/signals", json={"title": "It is gone"})
    refused(answer, 401, "key-refused", "ask an administrator")
    assert rows(system) == before


def test_the_last_admin_key_stays(client: httpx.Client) -> None:
    keys = client.get("/v1/keys", params={"limit": 200}).json()["items"]
    (admin,) = [one for one in keys if "admin" in one["scopes"] and not one["revoked_at"]]
    refused(client.post(f"/v1/keys/{admin['id']}/revoke"), 409, "last-admin-key", "create another")
    assert client.get("/v1/keys").status_code == 200


def test_a_key_without_the_scope_writes_nothing(client: httpx.Client, system: System) -> None:
    made = client.post("/v1/keys", json={"name": "reader", "scopes": ["incidents:read"]}).json()
    before = quiet(system)
    with system.client(made["key"]) as reader:
        for path in [*SENDERS, *FORMS]:
            answer = reader.post(path, json=FORMS.get(path, {"title": "Payments fail"}))
            assert answer.status_code == 403, (path, answer.text)
            assert "lacks the scope" in check_refusal(answer)["detail"], path
    assert rows(system) == before


@pytest.mark.usefixtures("untouched")
def test_one_bad_incident_of_an_import_keeps_all_of_it_out(client: httpx.Client) -> None:
    now = datetime.now(UTC)

    def known(number: int, **more: Any) -> dict[str, Any]:
        at = (now - timedelta(days=3)).isoformat()
        ref = {"source": "desk", "external_ref": f"INC{number}", "title": "Payments fail"}
        return {**ref, "opened_at": at, "severity": "low", **more}

    later = [{"kind": "resolved", "at": (now - timedelta(days=4)).isoformat()}]
    for bad in ({"severity": "urgent"}, {"opened_at": "1969-01-01T00:00:00Z"}, {"history": later}):
        body = {"incidents": [*(known(n) for n in range(50)), known(50, **bad)]}
        refused(client.post("/v1/incidents/import", json=body), 422, "invalid-request")
    body = {"incidents": [known(n) for n in range(501)]}
    refused(client.post("/v1/incidents/import", json=body), 422, "invalid-request", "at most 500")


@pytest.mark.usefixtures("untouched")
def test_a_form_is_json_and_says_so(client: httpx.Client) -> None:
    for path, form in FORMS.items():
        for said in ("text/plain", "application/x-www-form-urlencoded", "application/xml"):
            headers = {"Content-Type": said}
            answer = client.post(path, content=json.dumps(form), headers=headers)
            refused(answer, 422, "invalid-request")


@pytest.mark.usefixtures("untouched")
def test_a_cursor_of_another_list_is_refused_or_leads_nowhere(client: httpx.Client) -> None:
    cursor = client.get("/v1/feedback", params={"limit": 1}).json()["next"]
    assert cursor
    for path in ("/v1/catalog/services", "/v1/candidates", "/v1/incidents", "/v1/keys"):
        answer = client.get(path, params={"cursor": cursor})
        assert answer.status_code in (200, 422), answer.text
        if answer.status_code == 422:
            refused(answer, 422, "invalid-cursor", "leave it out")


def test_a_signal_of_an_unknown_service_is_kept_with_product_unassigned(
    client: httpx.Client,
) -> None:
    body = {"title": "Who am I", "service": "never-heard-of", "labels": {"odd": "\x00"}}
    taken = client.post("/v1/signals", json=body)
    assert taken.status_code == 202, taken.text
    incident = client.get(f"/v1/incidents/{taken.json()['signals'][0]['incident_id']}").json()
    assert (incident["service"], incident["product"]) == ("never-heard-of", "unassigned")
    listed = client.get("/v1/incidents", params={"product": "unassigned"}).json()["items"]
    assert incident["id"] in [one["id"] for one in listed]


def test_the_last_of_two_equal_json_keys_counts_everywhere(client: httpx.Client) -> None:
    twice = b'{"title": "first", "title": "last", "severity": "low"}'
    taken = client.post("/v1/signals", content=twice).json()["signals"][0]
    opened = client.post(
        "/v1/incidents", content=twice, headers={"Content-Type": "application/json"}
    ).json()
    signal = client.get(f"/v1/signals/{taken['id']}").json()
    assert (signal["title"], opened["title"]) == ("last", "last")


@pytest.mark.parametrize("at", ["1969-12-31T23:59:59Z", "2500-01-01T00:00:00Z"])
def test_an_impossible_time_of_a_monitoring_system_becomes_ours(
    at: str, client: httpx.Client
) -> None:
    alert = {"status": "firing", "labels": {"alertname": "SkewedClock", "at": at}, "startsAt": at}
    before = datetime.now(UTC)
    taken = client.post("/ingest/alertmanager", json={"alerts": [alert]})
    assert taken.status_code == 202, taken.text
    signal = client.get(f"/v1/signals/{taken.json()['signals'][0]['id']}").json()
    assert before <= datetime.fromisoformat(signal["starts_at"]) <= datetime.now(UTC)
