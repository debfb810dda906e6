"""PagerDuty's change events, and what their sender is answered."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.incidents.changes.domain import Change
from services.incidents.signals.adapters.pagerduty_change import parse_change, refused, taken
from services.incidents.signals.signal import BadBody

BODIES = Path(__file__).parent / "bodies"
NOW = datetime(2026, 11, 21, 14, 0, tzinfo=UTC)
KEY = "f00dcafe0123456789abcdef01234567"


def recorded(name: str = "change") -> bytes:
    return (BODIES / f"pagerduty_{name}.json").read_bytes()


def read(payload: object, received_at: datetime = NOW, **beside: object) -> Change:
    body = {"routing_key": KEY, "payload": payload, **beside}
    return parse_change(json.dumps(body).encode(), received_at)


def said(**payload: object) -> Change:
    return read({"summary": "Deployed", **payload})


def test_a_change_event_is_read_whole() -> None:
    change = parse_change(recorded(), NOW)
    assert (change.source, change.kind, change.state) == ("pagerduty", "other", "done")
    assert change.title == "Build Success - Charge in minor units"
    assert change.at == datetime(2026, 11, 21, 13, 58, 47, 315_000, tzinfo=UTC)
    assert (change.service, change.environment) == ("payments", "production")
    assert change.revision == "5c1f0e7d9a3b"
    assert change.url == "https://ci.harbour-shop.example/builds/512"
    assert change.details["build_number"] == "512"
    assert (change.details["attempt"], change.details["approved"]) == ("1", "true")
    assert json.loads(change.details["stages"]) == ["build", "deploy"]
    assert change.details["source"] == "build-pipeline-7.harbour-shop.example"
    assert change.details["links"].startswith("View commit https://github.com/")


def test_a_change_event_of_ansible_is_read() -> None:
    change = parse_change(recorded("change_ansible"), NOW)
    assert (change.revision, change.environment) == ("5c1f0e7", "production")
    assert change.service is None
    assert change.details["user"] == "ada"


@pytest.mark.parametrize("name", ["change", "change_ansible"])
def test_a_retry_is_the_same_change(name: str) -> None:
    late = parse_change(recorded(name), NOW + timedelta(hours=3))
    assert late == parse_change(recorded(name), NOW)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("summary", "Rolled back"),
        ("source", "elsewhere"),
        ("timestamp", "2026-11-21T13:58:47.123457Z"),
        ("custom_details", {"user": "bob"}),
    ],
)
def test_another_text_is_another_change(field: str, value: object) -> None:
    body = json.loads(recorded("change_ansible"))
    body["payload"][field] = value
    other = parse_change(json.dumps(body).encode(), NOW)
    assert other.external_ref != parse_change(recorded("change_ansible"), NOW).external_ref


def test_one_text_for_two_services_is_two_changes() -> None:
    body = json.loads(recorded())
    other = parse_change(json.dumps(body | {"routing_key": "other"}).encode(), NOW)
    assert other.external_ref != parse_change(json.dumps(body).encode(), NOW).external_ref
    assert KEY not in repr(other)


def test_links_are_part_of_what_is_said() -> None:
    one, two = (read({"summary": "x"}, links=[{"href": f"https://ci/{n}"}]) for n in (1, 2))
    assert one.external_ref != two.external_ref


def test_without_a_timestamp_the_same_words_next_day_are_another_change() -> None:
    first, retry, later = (
        read({"summary": "Deployed"}, NOW + timedelta(minutes=minutes))
        for minutes in (0, 5, 24 * 60)
    )
    assert first.external_ref == retry.external_ref != later.external_ref
    assert (first.at, later.at) == (NOW, NOW + timedelta(days=1))


@pytest.mark.parametrize("timestamp", ["", "yesterday", "2026-11-21T13:00:00", "2031-01-01T00:00Z"])
def test_a_time_that_is_none_is_that_of_the_arrival(timestamp: str) -> None:
    change = said(timestamp=timestamp)
    assert change.at == NOW
    assert change.details.get("timestamp", "") == timestamp


@pytest.mark.parametrize(
    ("stated", "kind"), [("Deploy", "deployment"), ("release", "release"), ("toil", "other")]
)
def test_the_details_may_say_the_kind(stated: str, kind: str) -> None:
    assert said(custom_details={"kind": stated}).kind == kind


def test_details_of_any_shape_are_kept() -> None:
    assert said(custom_details="by hand").details == {"custom_details": "by hand"}
    assert said(custom_details=[1]).details == {"custom_details": "[1]"}
    assert said(custom_details=None).details == {}
    assert said(custom_details={"a": None, "": "x", "b": 10**30}).details == {"b": "1" + "0" * 30}


def test_what_is_too_much_is_cut_and_nul_is_replaced() -> None:
    change = said(
        summary="s\0" * 600, custom_details={f"n{i}\0": "v\0" * 9_000 for i in range(100)}
    )
    assert len(change.title) == 512
    assert len(change.details["summary"]) == 1_200
    assert sum(name.startswith("n") for name in change.details) == 64
    assert all(len(value.encode()) <= 4_096 for value in change.details.values())
    assert "\\x00" not in repr(change)


@pytest.mark.parametrize(
    ("body", "field", "advice"),
    [
        ({"routing_key": KEY}, "body", "add it"),
        ({"payload": {"source": "x"}}, "payload", "add it"),
        ({"payload": {"summary": " \n"}}, "payload.summary", "is blank"),
        ({"payload": {"summary": 3}}, "payload.summary", "send what is expected"),
        ({"payload": {"summary": "x"}, "links": "x"}, "links", "send what is expected"),
    ],
)
def test_what_is_wrong_is_answered_as_pagerduty_answers_it(
    body: dict[str, Any], field: str, advice: str
) -> None:
    with pytest.raises(BadBody) as caught:
        parse_change(json.dumps(body).encode(), NOW)
    answer = refused(caught.value)
    assert (answer["status"], answer["message"]) == ("invalid event", "Event object is invalid")
    (error,) = answer["errors"]
    assert error.startswith(f"'{field}' ")
    assert advice in error


@pytest.mark.parametrize(
    "details",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        rb'"\ud800"',
        rb'{"a":"\ud800"}',
        rb'{"\ud800":1}',
        b'"\xff"',
        b"{]",
    ],
)
def test_details_that_are_no_json_are_refused(details: bytes) -> None:
    with pytest.raises(BadBody):
        parse_change(b'{"payload":{"summary":"x","custom_details":%s}}' % details, NOW)


def test_a_change_is_acknowledged_as_pagerduty_does() -> None:
    assert taken() == {"status": "success", "message": "Change event processed"}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
payloads = st.fixed_dictionaries(
    {"summary": st.text(max_size=8) | anything},
    optional={"source": anything, "timestamp": anything, "custom_details": anything},
)
links = anything | st.lists(st.fixed_dictionaries({"href": anything, "text": anything}), max_size=2)


@given(
    st.binary(max_size=60)
    | anything.map(lambda body: json.dumps(body).encode())
    | st.builds(
        lambda payload, links: json.dumps({"payload": payload, "links": links}).encode(),
        payloads,
        links,
    )
)
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_a_bounded_change_or_a_bad_body(body: bytes) -> None:
    try:
        change = parse_change(body, NOW)
    except BadBody:
        return  # any other exception fails
    assert 0 < len(change.title) <= 512
    assert change.at <= NOW + timedelta(minutes=5)
    assert change == parse_change(body, NOW)
