"""GitHub's webhooks of deployments and releases; the bodies are as GitHub sends them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.incidents.changes.domain import Change
from services.incidents.signals.adapters.github import parse_change
from services.incidents.signals.signal import BadBody

BODIES = Path(__file__).parent / "bodies"
NOW = datetime(2026, 11, 21, 14, 0, tzinfo=UTC)
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


def recorded(name: str) -> bytes:
    return (BODIES / f"github_{name}.json").read_bytes()


def document(name: str) -> dict[str, Any]:
    return json.loads(recorded(name))


def read(event: str, body: bytes | dict[str, Any], content_type: str = JSON) -> Change | None:
    stated = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_change(stated, NOW, {"x-github-event": event, "content-type": content_type})


def deployed(name: str = "deployment_success", **status: Any) -> Change:
    body = document(name)
    body["deployment_status"] |= status
    change = read("deployment_status", body)
    assert change is not None
    return change


def test_a_deployment_is_read_whole() -> None:
    sent = document("deployment_success")
    change = deployed()
    assert change.source == "github"
    assert (change.kind, change.state, change.environment) == ("deployment", "done", "production")
    assert change.title == "harbour-shop/payments: main to production"
    assert change.service == "payments"
    assert change.revision == sent["deployment"]["sha"]
    assert change.at == datetime(2026, 11, 21, 13, 58, 47, tzinfo=UTC)
    assert change.url == sent["deployment_status"]["log_url"]
    assert change.details == {
        "repository": "harbour-shop/payments",
        "ref": "main",
        "task": "deploy",
        "by": "github-actions[bot]",
        "workflow": "Deploy",
        "environment_url": "https://pay.harbour-shop.example",
    }


def test_a_deployment_is_one_change_from_its_beginning_to_its_end() -> None:
    told = [deployed(f"deployment_{state}") for state in ("in_progress", "success", "failure")]
    assert [one.state for one in told] == ["in_progress", "done", "failed"]
    assert len({one.external_ref for one in told}) == 1
    assert told[2].details["description"] == "Health check did not pass"


def test_one_deployment_to_two_environments_is_two_changes() -> None:
    assert deployed().external_ref != deployed(environment="staging").external_ref


@pytest.mark.parametrize("state", ["pending", "queued", "waiting", "inactive", "of tomorrow"])
def test_a_deployment_that_changes_nothing_is_not_recorded(state: str) -> None:
    body = document("deployment_queued")
    body["deployment_status"]["state"] = state
    assert read("deployment_status", body) is None


def test_a_release_is_read_whole() -> None:
    change = read("release", recorded("release_published"))
    assert change is not None
    assert (change.kind, change.state, change.revision) == ("release", "done", "v2.14.0")
    assert change.external_ref == "release/200300400"
    assert change.title == "harbour-shop/payments: 2.14.0: minor units"
    assert change.service == "payments"
    assert change.at == datetime(2026, 11, 20, 9, 30, 21, tzinfo=UTC)
    assert change.url == "https://github.com/harbour-shop/payments/releases/tag/v2.14.0"
    assert change.details["notes"].startswith("## What's changed")
    assert (change.details["by"], change.details["prerelease"]) == ("ada-ops", "no")


def test_what_github_sends_twice_of_one_release_is_one_change() -> None:
    sent = document("release_published")
    assert read("release", sent) == read("release", sent | {"action": "released"})


@pytest.mark.parametrize("action", ["created", "edited", "deleted", "unpublished"])
def test_a_release_that_is_not_being_published_is_not_recorded(action: str) -> None:
    assert read("release", document("release_published") | {"action": action}) is None


def test_a_draft_is_not_recorded() -> None:
    sent = document("release_published")
    sent["release"] |= {"draft": True, "published_at": None}
    assert read("release", sent) is None


@pytest.mark.parametrize("event", ["ping", "push", "deployment", "check_run"])
def test_other_events_are_not_even_read(event: str) -> None:
    assert read(event, recorded("ping")) is None
    assert read(event, b"\xff") is None


@pytest.mark.parametrize("content_type", [FORM, f"{FORM}; charset=utf-8", FORM.upper()])
def test_a_form_is_read_like_a_document(content_type: str) -> None:
    form = urlencode({"payload": recorded("deployment_success").decode()}).encode()
    assert read("deployment_status", form, content_type) == deployed()


@pytest.mark.parametrize(
    "form", [b"", b"payload=", b"other=1", b"payload=%ff", b"\xff", b"payload=1&payload=2"]
)
def test_a_form_without_its_payload_is_refused(form: bytes) -> None:
    with pytest.raises(BadBody, match="choose application/json"):
        read("deployment_status", form, FORM)


def test_a_delivery_without_the_name_of_its_event_is_refused() -> None:
    with pytest.raises(BadBody, match="X-GitHub-Event: is missing"):
        parse_change(recorded("deployment_success"), NOW, {})


@pytest.mark.parametrize(
    ("part", "field", "value", "told"),
    [
        ("deployment", "id", "x", "deployment.id"),
        ("deployment", "id", 10**4_000, "deployment.id"),
        ("repository", "name", None, "repository.name"),
        ("deployment_status", "created_at", "yesterday", "deployment_status.created_at"),
    ],
)
def test_what_is_wrong_is_named(part: str, field: str, value: object, told: str) -> None:
    body = document("deployment_success")
    body[part][field] = value
    with pytest.raises(BadBody) as caught:
        read("deployment_status", body)
    assert caught.value.errors[0].field == told


def test_an_impossible_time_is_that_of_the_arrival() -> None:
    assert deployed(created_at="2031-01-01T00:00:00Z").at == NOW
    assert deployed(created_at=None).at == NOW


def test_long_texts_are_cut_and_nul_is_replaced() -> None:
    change = deployed(description="é\0" * 5_000, environment="e" * 1_000)
    assert len(change.details["description"].encode()) <= 4_096
    assert "\0" not in change.details["description"]
    assert len(change.environment or "") == 256


def test_an_address_that_is_no_link_gives_way_to_the_next() -> None:
    change = deployed(log_url="", target_url="javascript:alert(1)")
    assert change.url == "https://github.com/harbour-shop/payments/actions/runs/12001234567"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2)
    ),
    max_leaves=4,
)
places = st.sampled_from(
    [
        ("deployment_status", "deployment_success", "deployment_status"),
        ("deployment_status", "deployment_success", "deployment"),
        ("deployment_status", "deployment_success", "workflow_run"),
        ("deployment_status", "deployment_success", "repository"),
        ("release", "release_published", "release"),
        ("release", "release_published", "repository"),
    ]
)


@given(places, st.data(), anything, st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_spoiled_delivery_is_a_bounded_change_or_a_bad_body(
    place: tuple[str, str, str], data: st.DataObject, value: Any, whole: bool
) -> None:
    event, name, part = place
    body = document(name)
    if whole:
        body[part] = value
    else:
        body[part][data.draw(st.sampled_from(sorted(body[part])))] = value
    try:
        change = read(event, body)
    except BadBody:
        return  # any other exception fails
    if change is not None:
        assert 0 < len(change.title) <= 512
        assert change.external_ref
        assert change.at <= NOW + timedelta(minutes=5)
        assert "\0" not in repr(change)
