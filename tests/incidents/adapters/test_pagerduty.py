"""PagerDuty's Events API v2; one pair of bodies was recorded from Alertmanager 0.25."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings

from services.incidents.signals.adapters.pagerduty import parse, refused, taken
from services.incidents.signals.signal import Acknowledgement, BadBody, Signal
from tests.incidents.adapters.spoiled import NOW, check, document, recorded, spoiled

LATER = datetime(2100, 1, 1, tzinfo=UTC)
NEW_KEY = "f3" * 16
KEY = "7c" * 16


def said(body: bytes, received_at: datetime = NOW) -> Signal:
    (signal,) = parse(body, received_at, NEW_KEY)
    assert isinstance(signal, Signal)
    return signal


def trigger(**payload: object) -> dict[str, Any]:
    stated = {"summary": "Disk full", "source": "db-1", "severity": "error", **payload}
    return {"routing_key": KEY, "event_action": "trigger", "payload": stated}


def one(**payload: object) -> Signal:
    return said(json.dumps(trigger(**payload)).encode())


def errors(body: dict[str, Any]) -> list[str]:
    with pytest.raises(BadBody) as refusal:
        parse(json.dumps(body).encode(), NOW, NEW_KEY)
    answer = refused(refusal.value)
    assert (answer["status"], answer["message"]) == ("invalid event", "Event object is invalid")
    stated = answer["errors"]
    assert isinstance(stated, list)
    return stated


def test_a_trigger_is_read_as_its_sender_means_it() -> None:
    signal = said(recorded("pagerduty_trigger"))
    assert (signal.source, signal.fingerprint) == ("pagerduty", "disk/orders-db-1/data")
    assert (signal.status, signal.ends_at, signal.expires_at) == ("firing", None, None)
    assert signal.starts_at == datetime(2026, 11, 21, 13, 58, 42, 315_000, tzinfo=UTC)
    assert (signal.title, signal.severity) == ("DISK at 97% on orders-db-1", "critical")
    assert (signal.service, signal.alert_name) == ("orders-db", "disk full")
    assert signal.customers_affected == 412
    assert signal.url == "https://monitor.lantern.example/checks/disk"
    assert signal.labels == {
        "class": "disk full",
        "component": "orders-db",
        "group": "storage",
        "client": "Lantern monitor",
        "instance": "orders-db-1.lantern.example",
        "free space": "3%",
        "device.name": "/dev/nvme1n1",
        "device.mount": "/data",
        "checks": "[97,96,94]",
        "environment": "production",
        "customers_affected": "412",
    }
    assert signal.annotations["links"].splitlines() == [
        "https://monitor.lantern.example/checks/disk",
        "https://runbooks.lantern.example/disk-full",
        "https://graphs.lantern.example/disk/orders-db-1",
        "https://graphs.lantern.example/disk/orders-db-1.png",
    ]


def test_a_resolve_ends_what_its_trigger_began_and_tells_no_start() -> None:
    firing, ended = said(recorded("pagerduty_trigger")), said(recorded("pagerduty_resolve"))
    assert (ended.source, ended.fingerprint) == (firing.source, firing.fingerprint)
    assert (ended.status, ended.starts_at, ended.ends_at) == ("resolved", NOW, NOW)


def test_a_resolve_s_timestamp_is_when_it_ended() -> None:
    body = document("pagerduty_resolve") | {"payload": {"timestamp": "2026-11-21T14:01:00Z"}}
    ended = said(json.dumps(body).encode())
    at = datetime(2026, 11, 21, 14, 1, tzinfo=UTC)
    assert (ended.starts_at, ended.ends_at) == (at, at)


def test_an_acknowledge_says_who_is_on_it() -> None:
    assert parse(recorded("pagerduty_acknowledge"), NOW, NEW_KEY) == [
        Acknowledgement(
            source="pagerduty", fingerprint="disk/orders-db-1/data", by="Lantern monitor", at=NOW
        )
    ]


@pytest.mark.parametrize("absent", [{}, {"dedup_key": None}, {"dedup_key": ""}])
def test_a_trigger_without_a_key_gets_the_new_one_and_is_told_it(absent: dict[str, Any]) -> None:
    signal = said(json.dumps(trigger() | absent).encode())
    assert signal.fingerprint == NEW_KEY
    assert taken(signal) == {
        "status": "success",
        "message": "Event processed",
        "dedup_key": NEW_KEY,
    }


def test_a_redelivered_event_with_a_time_has_the_same_identity() -> None:
    first, again = (said(recorded("pagerduty_trigger"), at) for at in (NOW, LATER))
    assert (first.fingerprint, first.status, first.starts_at) == (
        again.fingerprint,
        again.status,
        again.starts_at,
    )


def test_an_alertmanager_s_group_is_known_by_the_labels_that_its_alerts_share() -> None:
    signal = said(recorded("pagerduty_of_alertmanager_firing"), LATER)
    assert (signal.title, signal.alert_name) == ("SearchSlow (search warning)", "SearchSlow")
    assert (signal.service, signal.severity) == ("search", "medium")
    assert signal.labels == {
        "client": "Alertmanager",
        "alertname": "SearchSlow",
        "service": "search",
        "severity": "warning",
    }
    assert signal.annotations["num_firing"] == "2"
    assert "instance = search-2:9200" in signal.description
    assert signal.url == "http://alertmanager.lantern.example:9093/#/alerts?receiver=groundswell"


def test_the_end_of_an_alertmanager_s_group_meets_its_beginning() -> None:
    firing = said(recorded("pagerduty_of_alertmanager_firing"), LATER)
    ended = said(recorded("pagerduty_of_alertmanager_resolved"), LATER)
    assert (ended.fingerprint, ended.status) == (firing.fingerprint, "resolved")
    assert (ended.title, ended.labels) == (firing.title, firing.labels)


def test_a_later_alertmanager_lists_its_alerts_as_objects() -> None:
    alerts = [{"labels": {"alertname": "Slow", "job": "api", "pod": pod}} for pod in ("a", "b")]
    signal = one(custom_details={"firing": alerts, "num_firing": "2"}, severity="none")
    assert (signal.alert_name, signal.service) == ("Slow", "api")
    assert "pod" not in signal.labels


def test_an_alertmanager_may_send_whatever_its_template_makes_of_the_severity() -> None:
    for severity in ("page", "", "none"):
        assert one(custom_details={"num_firing": "1"}, severity=severity).status == "firing"


def test_a_severity_of_pagerduty_is_one_of_ours() -> None:
    words = ("critical", "error", "warning", "info")
    assert [one(severity=word).severity for word in words] == ["critical", "high", "medium", "low"]


@pytest.mark.parametrize(
    ("change", "stated"),
    [
        (
            {"routing_key": "short"},
            "Length of 'routing_key' is incorrect (should be 32 characters)",
        ),
        ({"routing_key": None}, "'routing_key' is missing or blank"),
        ({"event_action": ""}, "'event_action' is missing or blank"),
        (
            {"event_action": "close"},
            "'event_action' is invalid (must be one of the following: "
            "'trigger', 'acknowledge' or 'resolve')",
        ),
        ({"event_action": "resolve"}, "'dedup_key' is missing or blank"),
        ({"event_action": "acknowledge", "dedup_key": ""}, "'dedup_key' is missing or blank"),
        ({"payload": None}, "'payload' is missing or blank"),
        (
            {"dedup_key": "k" * 256},
            "Length of 'dedup_key' is incorrect (should be at most 255 characters)",
        ),
        (trigger(summary=" "), "'payload.summary' is missing or blank"),
        (trigger(source=None), "'payload.source' is missing or blank"),
        (trigger(severity=None), "'payload.severity' is missing or blank"),
        (
            trigger(severity="none"),
            "'payload.severity' is invalid (must be one of the following: "
            "'critical', 'warning', 'error' or 'info')",
        ),
        (
            {"dedup_key": 7},
            "'dedup_key' Expected `str | null`, got `int`; send what is expected",
        ),
    ],
)
def test_what_pagerduty_refuses_is_refused_in_its_words(
    change: dict[str, Any], stated: str
) -> None:
    assert errors(trigger() | change) == [stated]


def test_all_that_is_wrong_is_told_at_once() -> None:
    assert errors({"event_action": "trigger", "payload": {}}) == [
        "'routing_key' is missing or blank",
        "'payload.summary' is missing or blank",
        "'payload.source' is missing or blank",
        "'payload.severity' is missing or blank",
    ]


def test_a_key_of_255_characters_is_kept_whole() -> None:
    body = trigger() | {"dedup_key": "k" * 255}
    assert said(json.dumps(body).encode()).fingerprint == "k" * 255


def test_a_long_summary_is_shortened_in_the_title_and_whole_in_the_description() -> None:
    signal = one(summary="Disk full " * 90)
    assert len(signal.title) == 512
    assert signal.description == ("Disk full " * 90).strip()


def test_many_and_long_details_are_shortened_and_never_refused() -> None:
    details: dict[str, Any] = {f"detail {i}": "x" for i in range(200)}
    signal = one(custom_details={"log": "line\n" * 4_000, **details})
    assert len(signal.labels) == 64
    assert len(signal.annotations["log"].encode()) <= 4_096


def test_a_text_for_details_is_the_description() -> None:
    assert one(custom_details="It is full.").description == "It is full."


@pytest.mark.parametrize("time", ["yesterday", "2026-13-45T00:00:00Z", [], {"at": 1}])
def test_a_time_that_can_t_be_read_is_that_of_arrival_and_is_told(time: object) -> None:
    signal = one(timestamp=time)
    assert (signal.starts_at, signal.skewed) == (NOW, True)


@given(spoiled("pagerduty_trigger", "pagerduty_acknowledge", "pagerduty_of_alertmanager_firing"))
@settings(max_examples=200, deadline=None)
def test_any_json_is_something_said_or_a_bad_body(body: bytes) -> None:
    try:
        (event,) = parse(body, NOW, NEW_KEY)
    except BadBody as error:
        refused(error)
        return  # any other exception fails
    check(event)
    assert taken(event)["dedup_key"] == event.fingerprint
