"""Opsgenie's alert API; one pair of bodies was recorded from Alertmanager 0.25."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings

from services.incidents.signals.adapters.opsgenie import (
    parse,
    parse_acknowledge,
    parse_close,
    refused,
    taken,
)
from services.incidents.signals.signal import Acknowledgement, BadBody, Said, Signal
from tests.incidents.adapters.spoiled import NOW, check, document, recorded, spoiled

NEW_KEY = "f3" * 16


def signal_of(said: list[Said]) -> Signal:
    (signal,) = said
    assert isinstance(signal, Signal)
    return signal


def one(**more: object) -> Signal:
    body = json.dumps({"message": "Checkout fails", **more}).encode()
    return signal_of(parse(body, NOW, NEW_KEY))


def test_an_alert_is_read_as_its_sender_means_it() -> None:
    signal = signal_of(parse(recorded("opsgenie_create"), NOW, NEW_KEY))
    assert (signal.source, signal.fingerprint) == ("opsgenie", "checkout-errors")
    assert (signal.status, signal.starts_at, signal.ends_at) == ("firing", NOW, None)
    assert signal.title == "Checkout answers 7 % of orders with an error"
    assert signal.description == document("opsgenie_create")["description"]
    assert (signal.severity, signal.service) == ("critical", "checkout")
    assert signal.labels == {
        "service": "checkout",
        "env": "production",
        "region": "eu-north",
        "error rate": "7.25",
        "dashboard": "https://graphs.lantern.example/checkout",
        "entity": "shop",
        "source": "lantern-probe-2",
    }
    assert signal.annotations["tags"] == "service:checkout, OverwriteQuietHours, env:production"
    assert signal.url == "https://graphs.lantern.example/checkout"


def test_a_close_ends_the_alert_of_its_alias_and_tells_no_start() -> None:
    later = NOW + timedelta(minutes=9)
    ended = signal_of(parse_close("checkout-errors", recorded("opsgenie_close"), later))
    assert (ended.source, ended.fingerprint) == ("opsgenie", "checkout-errors")
    assert (ended.status, ended.starts_at, ended.ends_at) == ("resolved", later, later)
    assert ended.annotations == {"note": "Rolled back", "closed_by": "Rosa Lind"}


def test_an_acknowledge_says_who_is_on_it() -> None:
    assert parse_acknowledge("checkout-errors", recorded("opsgenie_acknowledge"), NOW) == [
        Acknowledgement(source="opsgenie", fingerprint="checkout-errors", by="Rosa Lind", at=NOW)
    ]


def test_a_close_or_an_acknowledge_needs_no_body() -> None:
    (ended,) = parse_close("a", b"", NOW)
    (acknowledged,) = parse_acknowledge("a", b"", NOW)
    assert isinstance(acknowledged, Acknowledgement)
    assert (ended.fingerprint, acknowledged.by) == ("a", "Opsgenie client")


def test_an_alert_without_an_alias_gets_the_new_key() -> None:
    assert one().fingerprint == NEW_KEY
    assert one(alias="").fingerprint == NEW_KEY


def test_an_alias_too_long_to_store_still_meets_its_close() -> None:
    alias = "checkout/" * 50
    (ended,) = parse_close(alias, b"{}", NOW)
    assert one(alias=alias).fingerprint == ended.fingerprint
    assert one(alias=alias + "2").fingerprint != ended.fingerprint


def test_priorities_are_our_severities_and_none_is_the_middle() -> None:
    stated = [one(priority=f"P{i}").severity for i in range(1, 6)]
    assert stated == ["critical", "high", "medium", "low", "low"]
    assert [one().severity, one(priority="P9").severity] == ["medium", "medium"]


def test_without_a_priority_the_details_say_how_bad_it_is() -> None:
    details = {"severity": "critical"}
    assert one(details=details).severity == "critical"
    assert one(details=details, priority="P4").severity == "low"


def test_an_entity_is_the_service_where_nothing_says_one() -> None:
    assert one(entity="orders").service == "orders"
    assert one(entity="orders", details={"service": "search"}).service == "search"


def test_an_alertmanager_s_group_is_read_from_its_details() -> None:
    signal = signal_of(parse(recorded("opsgenie_of_alertmanager_firing"), NOW, NEW_KEY))
    assert (signal.title, signal.alert_name) == ("SearchSlow (search warning)", "SearchSlow")
    assert (signal.service, signal.severity) == ("search", "medium")
    assert signal.labels["team"] == "search"
    assert signal.url == "http://alertmanager.lantern.example:9093/#/alerts?receiver=groundswell"
    ended = parse_close(signal.fingerprint, recorded("opsgenie_of_alertmanager_resolved"), NOW)
    assert signal_of(ended).fingerprint == signal.fingerprint


def test_a_message_too_long_for_opsgenie_is_taken_all_the_same() -> None:
    assert len(one(message="x" * 9_000).title) == 512


@pytest.mark.parametrize(
    ("body", "field", "advice"),
    [
        (b"[]", "body", "Expected `object`"),
        (b'{"alias":"a"}', "body", "`message`; add it"),
        (b'{"message":" "}', "message", "is blank"),
        (b'{"message":7}', "message", "Expected `str`"),
    ],
)
def test_a_bad_body_is_answered_as_opsgenie_answers(body: bytes, field: str, advice: str) -> None:
    with pytest.raises(BadBody) as refusal:
        parse(body, NOW, NEW_KEY)
    answer: dict[str, Any] = refused(refusal.value, "req-1")
    assert set(answer) == {"message", "errors", "took", "requestId"}
    assert (list(answer["errors"]), answer["requestId"]) == ([field], "req-1")
    assert advice in answer["errors"][field]


def test_what_is_taken_is_answered_as_opsgenie_answers() -> None:
    assert taken(0.30249, "req-1") == {
        "result": "Request will be processed",
        "took": 0.302,
        "requestId": "req-1",
    }


@given(spoiled("opsgenie_create", "opsgenie_of_alertmanager_firing", "opsgenie_close"))
@settings(max_examples=200, deadline=None)
def test_any_json_is_something_said_or_a_bad_body(body: bytes) -> None:
    at = datetime(2026, 11, 21, 14, 3, 30, tzinfo=UTC)
    for read in (
        lambda: parse(body, at, NEW_KEY),
        lambda: parse_close("alias", body, at),
        lambda: parse_acknowledge("alias", body, at),
    ):
        try:
            (said,) = read()
        except BadBody:
            continue  # any other exception fails
        check(said)
