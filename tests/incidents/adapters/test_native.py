"""Our own format is strict: what is wrong is named, and nothing of the body is kept."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.incidents.signals.adapters.native import parse
from services.incidents.signals.signal import BadBody, Signal

NOW = datetime(2026, 11, 21, 14, 3, 30, tzinfo=UTC)


def body(**alert: object) -> bytes:
    return json.dumps({"title": "Checkout fails", **alert}).encode()


def one(**alert: object) -> Signal:
    (signal,) = parse(body(**alert), NOW)
    return signal


def test_a_title_is_enough() -> None:
    signal = one()
    assert signal == Signal(
        source="api",
        fingerprint=signal.fingerprint,
        status="firing",
        starts_at=NOW,
        ends_at=None,
        expires_at=None,
        title="Checkout fails",
        alert_name=None,
        description="",
        service=None,
        severity="medium",
        customers_affected=None,
        labels={},
        annotations={},
        url=None,
    )
    assert len(signal.fingerprint) == 32


def test_every_field_is_taken_as_stated() -> None:
    stated: dict[str, object] = {
        "source": "nagios-7",
        "fingerprint": "check/42",
        "status": "resolved",
        "starts_at": "2026-11-21T13:00:00+01:00",
        "ends_at": "2026-11-21T12:30:00Z",
        "title": "Disk full",
        "alert_name": "disk",
        "description": "97 %",
        "service": "orders-db",
        "severity": "critical",
        "customers_affected": 12,
        "labels": {"host": "db-1"},
        "annotations": {"note": "again"},
        "url": "https://nagios.example/42",
    }
    signal = one(**stated)
    stated["starts_at"] = datetime(2026, 11, 21, 12, tzinfo=UTC)
    stated["ends_at"] = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
    assert {name: getattr(signal, name) for name in stated} == stated


def test_a_list_keeps_its_order() -> None:
    signals = parse(json.dumps([{"title": "a"}, {"title": "b"}]).encode(), NOW)
    assert [signal.title for signal in signals] == ["a", "b"]


def test_repeats_with_other_numbers_are_the_same_alert() -> None:
    first, second = one(title="41 orders stuck on host-7"), one(title="8 orders stuck on host-12")
    assert first.fingerprint == second.fingerprint


@pytest.mark.parametrize(
    "other",
    [{"service": "cart"}, {"labels": {"a": "b"}}, {"title": "Search fails"}, {"alert_name": "x"}],
)
def test_another_service_label_title_or_name_is_another_alert(other: dict[str, object]) -> None:
    assert one(**other).fingerprint != one().fingerprint


def test_the_alert_s_name_outweighs_its_title() -> None:
    assert one(alert_name="x").fingerprint == one(alert_name="x", title="Else").fingerprint


def test_the_order_of_labels_does_not_change_the_fingerprint() -> None:
    assert (
        one(labels={"a": "1", "b": "2"}).fingerprint == one(labels={"b": "2", "a": "1"}).fingerprint
    )


def test_resolved_without_times_ended_now() -> None:
    signal = one(status="resolved")
    assert (signal.starts_at, signal.ends_at) == (NOW, NOW)


def test_an_end_without_a_start_is_both() -> None:
    signal = one(status="resolved", ends_at="2026-11-21T12:30:00Z")
    assert signal.starts_at == signal.ends_at == datetime(2026, 11, 21, 12, 30, tzinfo=UTC)


def test_a_clock_within_the_skew_is_believed() -> None:
    assert one(starts_at="2026-11-21T14:08:30Z").starts_at == NOW + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("alert", "field", "advice"),
    [
        ({"starts_at": "2026-11-21T14:08:31Z"}, "starts_at", "2026-11-21T14:08:30.000000Z"),
        ({"starts_at": "1970-01-01T00:00:00Z"}, "starts_at", "2000-01-01T00:00:00.000000Z"),
        ({"starts_at": "0001-01-01T00:00:00Z"}, "starts_at", "too old"),
        ({"starts_at": "2026-11-21T14:00:00"}, "starts_at", "RFC 3339"),
        ({"starts_at": 1_795_000_000}, "starts_at", "Expected `str | null`"),
        ({"ends_at": "2026-11-21T14:00:00Z"}, "ends_at", 'send "status": "resolved"'),
        (
            {
                "status": "resolved",
                "starts_at": "2026-11-21T14:00:00Z",
                "ends_at": "2026-11-21T13:00:00Z",
            },
            "ends_at",
            "send 2026-11-21T14:00:00.000000Z or later",
        ),
        ({"title": " \n"}, "title", "say in one line"),
        ({"title": "x" * 513}, "title", "<= 512"),
        ({"source": "Big Brother"}, "source", "a-z"),
        ({"url": "javascript:alert(1)"}, "url", "https://"),
        ({"severity": "page"}, "severity", "Invalid enum value 'page'"),
        ({"customers_affected": -1}, "customers_affected", ">= 0"),
        ({"customers_affected": 1.5}, "customers_affected", "Expected `int | null`"),
        ({"service": ""}, "service", ">= 1"),
        ({"labels": {f"l{i}": "" for i in range(65)}}, "labels", "at most 64"),
        ({"annotations": {"a": "x" * 4_097}}, "annotations.a", "4,096 bytes"),
        ({"colour": "red"}, "body", "unknown field `colour`; remove it"),
    ],
)
def test_an_error_names_the_field_and_what_to_do(
    alert: dict[str, object], field: str, advice: str
) -> None:
    with pytest.raises(BadBody) as refusal:
        parse(body(**alert), NOW)
    (error,) = refusal.value.errors
    assert (error.field, advice in error.message) == (field, True), error


def test_the_errors_of_all_alerts_are_told_at_once_up_to_a_bound() -> None:
    late = {"title": "t", "starts_at": "2027-01-01T00:00:00Z"}
    with pytest.raises(BadBody) as refusal:
        parse(json.dumps([late, {"title": "fine"}, late]).encode(), NOW)
    assert [error.field for error in refusal.value.errors] == ["[0].starts_at", "[2].starts_at"]
    with pytest.raises(BadBody) as refusal:
        parse(json.dumps([late] * 1_000).encode(), NOW)
    assert len(refusal.value.errors) == 20


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (b"[]", "at least one"),
        (b"7", "Expected `object | array`"),
        (b"{}", "`title`; add it"),
        (b'{"title":"a"}x', "JSON"),
        (b'{"title":"\xff"}', "UTF-8"),
        (b'{"title":"a","labels":' + b'{"a":' * 100_000, "Expected `str`"),
    ],
)
def test_what_is_not_our_format_is_refused(text: bytes, advice: str) -> None:
    with pytest.raises(BadBody, match=advice.replace("|", r"\|")):
        parse(text, NOW)


def test_more_than_a_thousand_alerts_are_refused() -> None:
    with pytest.raises(BadBody, match="holds 1,001 alerts; send at most 1,000"):
        parse(json.dumps([{"title": "a"}] * 1_001).encode(), NOW)


def test_nul_is_replaced_in_every_text() -> None:
    texts = ("title", "fingerprint", "alert_name", "description", "service")
    stated = dict.fromkeys(texts, "a\0")
    signal = one(**stated, labels={"a\0": "\0"}, annotations={"a\0": "\0"})
    assert "\\x00" not in repr(signal)
    assert "\\x00" in repr(stated)


LONG_AGO, FAR_AHEAD = (NOW.replace(year=year, tzinfo=None) for year in (1990, 2030))
words = st.text(max_size=8)
pairs = st.dictionaries(words.filter(bool), words, max_size=3)
times = st.datetimes(LONG_AGO, FAR_AHEAD).map(lambda at: f"{at:%FT%TZ}")
junk = st.none() | st.integers() | st.floats() | words | times | st.lists(st.none(), max_size=2)
stated_alerts = st.fixed_dictionaries(
    {"title": words.map(lambda word: f"t{word}")},
    optional={
        "status": st.sampled_from(["firing", "resolved"]),
        "starts_at": times,
        "service": words.filter(bool),
        "severity": st.sampled_from(["critical", "low"]),
        "customers_affected": st.integers(0, 1_000),
        "labels": pairs,
        "annotations": pairs,
    },
)
spoiled_alerts = st.builds(
    lambda alert, field, value: alert | {field: value},
    stated_alerts,
    st.sampled_from(["title", "source", "status", "starts_at", "ends_at", "labels", "url", "x"]),
    junk,
)


@given(
    st.binary(max_size=60)
    | stated_alerts.map(lambda alert: json.dumps(alert).encode())
    | st.lists(stated_alerts | spoiled_alerts, max_size=2).map(lambda b: json.dumps(b).encode())
)
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_signals_or_a_bad_body(text: bytes) -> None:
    try:
        signals = parse(text, NOW)
    except BadBody:
        return  # any other exception fails
    for signal in signals:
        assert (signal.ends_at is not None) == (signal.status == "resolved")
        assert signal.starts_at <= NOW + timedelta(minutes=5)
        assert not signal.skewed
