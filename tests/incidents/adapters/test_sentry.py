"""Sentry's integration webhooks, by the resource that their header names."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.incidents.signals.adapters.sentry import parse
from services.incidents.signals.signal import Acknowledgement, BadBody, Said, Signal
from tests.incidents.adapters.spoiled import NOW, check, document, recorded, spoiled

SENT_AT = datetime(2026, 11, 21, 14, 2, 40, tzinfo=UTC)
RESOURCES = {
    "sentry_event_alert": "event_alert",
    "sentry_issue_created": "issue",
    "sentry_issue_assigned": "issue",
    "sentry_issue_resolved": "issue",
    "sentry_metric_critical": "metric_alert",
    "sentry_metric_resolved": "metric_alert",
}


def headers(resource: str) -> dict[str, str]:
    return {
        "sentry-hook-resource": resource,
        "sentry-hook-timestamp": str(round(SENT_AT.timestamp())),
        "request-id": "6f0c1b9d",
    }


def said(name: str, **more: object) -> list[Said]:
    return parse(json.dumps(document(name) | more).encode(), NOW, headers(RESOURCES[name]))


def of(name: str, **more: object) -> Signal:
    (signal,) = said(name, **more)
    assert isinstance(signal, Signal)
    return signal


def test_an_issue_alert_is_read_as_sentry_means_it() -> None:
    signal = of("sentry_event_alert")
    assert (signal.source, signal.fingerprint) == ("sentry", "1170820242")
    assert (signal.status, signal.ends_at) == ("firing", None)
    assert signal.starts_at == datetime(2026, 11, 21, 13, 57, 17, 677_000, tzinfo=UTC)
    assert (signal.title, signal.alert_name) == ("TypeError: total is undefined", "TypeError")
    assert (signal.service, signal.severity) == ("shop-front", "high")
    assert signal.labels == {
        "project": "shop-front",
        "level": "error",
        "browser": "Firefox 145.0",
        "environment": "production",
        "release": "shop@5.2.1",
        "url": "https://shop.lantern.example/pay",
    }
    assert signal.annotations["rule"] == "Orders can't be paid"
    assert signal.description == "total is undefined"
    assert signal.url == document("sentry_event_alert")["data"]["event"]["web_url"]


def test_an_issue_is_one_alert_by_whichever_webhook_it_is_told() -> None:
    names = ("sentry_event_alert", "sentry_issue_created", "sentry_issue_resolved")
    signals = [of(name) for name in names]
    assert {signal.fingerprint for signal in signals} == {"1170820242"}
    assert {(signal.title, signal.service, signal.alert_name) for signal in signals} == {
        ("TypeError: total is undefined", "shop-front", "TypeError")
    }


def test_an_issue_began_when_it_was_first_seen() -> None:
    began = datetime(2026, 11, 21, 13, 57, 17, 677_000, tzinfo=UTC)
    assert of("sentry_issue_created").starts_at == began


@pytest.mark.parametrize("action", ["resolved", "archived", "ignored"])
def test_an_issue_ends_when_sentry_said_so_and_tells_no_start(action: str) -> None:
    signal = of("sentry_issue_resolved", action=action)
    assert (signal.status, signal.starts_at, signal.ends_at) == ("resolved", SENT_AT, SENT_AT)


def test_an_issue_that_comes_back_fires_from_when_sentry_said_so() -> None:
    signal = of("sentry_issue_created", action="unresolved")
    assert (signal.status, signal.starts_at) == ("firing", SENT_AT)


def test_whom_an_issue_is_assigned_to_is_on_it() -> None:
    assert said("sentry_issue_assigned") == [
        Acknowledgement(source="sentry", fingerprint="1170820242", by="Rosa Lind", at=SENT_AT)
    ]


def test_an_issue_assigned_to_a_team_has_nobody_on_it_yet() -> None:
    data = document("sentry_issue_assigned")["data"]
    data["issue"]["assignedTo"] = {"type": "team", "id": "3", "name": "checkout"}
    assert said("sentry_issue_assigned", data=data) == []


def test_a_metric_alert_fires_and_ends_as_one_alert_with_one_start() -> None:
    firing, ended = of("sentry_metric_critical"), of("sentry_metric_resolved")
    assert firing.fingerprint == ended.fingerprint == "metric_alert/7/shop-front"
    assert firing.starts_at == ended.starts_at == datetime(2026, 11, 21, 13, 52, tzinfo=UTC)
    assert (firing.status, ended.status) == ("firing", "resolved")
    assert ended.ends_at == datetime(2026, 11, 21, 14, 1, tzinfo=UTC)
    assert (firing.title, firing.severity) == ("Too many errors at checkout", "critical")
    assert (firing.service, firing.labels["environment"]) == ("shop-front", "production")
    assert firing.description == document("sentry_metric_critical")["data"]["description_text"]
    assert firing.url == "https://sentry.io/organizations/lantern/alerts/rules/details/31/"


def test_a_metric_alert_is_the_same_alert_when_it_fires_again_as_another_incident() -> None:
    data = document("sentry_metric_critical")["data"]
    data["metric_alert"] |= {"id": "419", "identifier": "32"}
    again = of("sentry_metric_critical", data=data)
    assert again.fingerprint == of("sentry_metric_critical").fingerprint


def test_a_warning_is_medium() -> None:
    assert of("sentry_metric_critical", action="warning").severity == "medium"


def test_a_metric_alert_over_many_projects_names_no_service() -> None:
    data = document("sentry_metric_critical")["data"]
    data["metric_alert"]["projects"] = ["shop-front", "orders"]
    signal = of("sentry_metric_critical", data=data)
    assert signal.service is None
    assert signal.fingerprint == "metric_alert/7/orders/shop-front"


@pytest.mark.parametrize(
    "resource", ["installation", "comment", "error", "seer", "preprod_artifact"]
)
def test_other_resources_are_accepted_and_tell_nothing(resource: str) -> None:
    assert parse(b'{"action":"created","data":[]}', NOW, headers(resource)) == []


@pytest.mark.parametrize("name", ["sentry_issue_created", "sentry_metric_critical"])
def test_an_action_nobody_knows_tells_nothing(name: str) -> None:
    assert said(name, action="applauded") == []


def test_a_redelivered_alert_has_the_same_identity() -> None:
    bodies = [recorded("sentry_event_alert")] * 2
    later = NOW.replace(hour=23)
    first, again = (
        parse(body, at, headers("event_alert"))[0]
        for body, at in zip(bodies, (NOW, later), strict=True)
    )
    assert first == again


@pytest.mark.parametrize(
    ("body", "resource", "field", "advice"),
    [
        (b"{}", "", "sentry-hook-resource", "is missing"),
        (b"{}", "issue", "body", "`action`; add it"),
        (b'{"action":"created","data":{}}', "issue", "data.issue", "is missing"),
        (b'{"action":"created","data":{"issue":{}}}', "issue", "data.issue.id", "known by"),
        (
            b'{"action":"triggered","data":{"event":{"title":"x"}}}',
            "event_alert",
            "data.event.issue_id",
            "known by",
        ),
        (b'{"action":"critical","data":{}}', "metric_alert", "data.metric_alert", "is missing"),
    ],
)
def test_a_bad_body_names_the_field_and_what_to_do(
    body: bytes, resource: str, field: str, advice: str
) -> None:
    with pytest.raises(BadBody) as refusal:
        parse(body, NOW, headers(resource))
    (error,) = refusal.value.errors
    assert (error.field, advice in error.message) == (field, True), error


@given(spoiled(*RESOURCES), st.sampled_from(["issue", "event_alert", "metric_alert"]))
@settings(max_examples=300, deadline=None)
def test_any_json_is_something_said_or_a_bad_body(body: bytes, resource: str) -> None:
    try:
        told = parse(body, NOW, headers(resource))
    except BadBody:
        return  # any other exception fails
    for one in told:
        check(one)
