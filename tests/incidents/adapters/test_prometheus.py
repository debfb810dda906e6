"""API v2 as Prometheus 2.42 and amtool 0.25 posted it; the bodies were recorded from both."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.incidents.signals.adapters import alertmanager, prometheus
from services.incidents.signals.adapters.prometheus import fingerprint, parse
from services.incidents.signals.signal import BadBody, Signal

BODIES = Path(__file__).parent / "bodies"
NOW = datetime(2026, 11, 21, 14, 3, 30, tzinfo=UTC)


def recorded(name: str) -> bytes:
    return (BODIES / name).read_bytes()


def posted(*alerts: object) -> bytes:
    return json.dumps(alerts).encode()


def one(**alert: object) -> Signal:
    (signal,) = parse(posted({"labels": {"alertname": "Slow"}, **alert}), NOW)
    return signal


def stated(name: str, time: str) -> datetime:
    """A time of the one alert in a recorded body."""
    (alert,) = json.loads(recorded(name))
    return datetime.fromisoformat(alert[time])


def just_after(name: str) -> datetime:
    return stated(name, "startsAt") + timedelta(seconds=30)


def test_prometheus_states_a_firing_alert_and_when_it_expires() -> None:
    (signal,) = parse(recorded("prometheus_firing.json"), just_after("prometheus_firing.json"))
    assert signal.status == "firing"
    assert signal.ends_at is None
    assert signal.starts_at == stated("prometheus_firing.json", "startsAt")
    assert signal.expires_at == signal.starts_at + timedelta(minutes=4)
    assert signal.title == "checkout-1:8443 answers 7.25 % of orders with an error"
    assert signal.description == "More than 5 % of orders fail.\nLook at the last release first."
    assert (signal.alert_name, signal.service) == ("CheckoutErrorRateHigh", "checkout")
    assert (signal.severity, signal.customers_affected) == ("critical", 7)
    assert signal.url is not None
    assert signal.url.startswith("http://prometheus.lantern.example:9090/graph?g0.expr=")
    assert not signal.skewed


def test_an_end_in_the_past_means_resolved() -> None:
    (signal,) = parse(recorded("prometheus_resolved.json"), just_after("prometheus_resolved.json"))
    assert signal.status == "resolved"
    assert signal.ends_at == stated("prometheus_resolved.json", "endsAt")
    assert signal.expires_at is None


@pytest.mark.parametrize("state", ["firing", "resolved"])
def test_the_same_alert_by_either_road_is_one_alert(state: str) -> None:
    at = just_after(f"prometheus_{state}.json")
    direct = parse(recorded(f"prometheus_{state}.json"), at)
    through = alertmanager.parse(recorded(f"alertmanager_of_prometheus_{state}.json"), at)
    assert [_but_expiry(signal) for signal in direct] == [_but_expiry(signal) for signal in through]


def _but_expiry(signal: Signal) -> dict[str, Any]:
    return msgspec.structs.asdict(signal) | {"expires_at": None}


def test_amtool_leaves_times_out_and_means_now() -> None:
    (signal,) = parse(recorded("amtool_firing.json"), NOW)
    assert (signal.status, signal.starts_at) == ("firing", NOW)
    assert (signal.ends_at, signal.expires_at) == (None, None)
    assert not signal.skewed
    (webhook,) = alertmanager.parse(recorded("alertmanager_firing.json"), NOW)
    assert signal.fingerprint == webhook.fingerprint


def test_amtool_ends_an_alert_with_an_end() -> None:
    (signal,) = parse(recorded("amtool_ended.json"), NOW)
    assert signal.ends_at == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert signal.starts_at == datetime(2026, 1, 31, 11, tzinfo=UTC)


def test_fingerprints_are_those_that_alertmanager_answered() -> None:
    table = json.loads(recorded("fingerprints.json"))
    assert len(table) > 60
    for row in table:
        assert fingerprint(row["labels"]) == row["fingerprint"], row["labels"]


def test_an_empty_label_is_an_absent_label_as_alertmanager_has_it() -> None:
    labels = {"alertname": "Slow", "no": ""}
    (signal,) = parse(posted({"labels": labels}), NOW)
    assert signal.fingerprint == fingerprint({"alertname": "Slow"})
    assert signal.labels == {"alertname": "Slow"}


@given(st.dictionaries(st.text(max_size=9), st.text(max_size=40)), st.randoms())
@settings(max_examples=60, deadline=None)
def test_the_order_of_labels_does_not_change_the_fingerprint(
    labels: dict[str, str], chance: Random
) -> None:
    names = list(labels)
    chance.shuffle(names)
    assert fingerprint({name: labels[name] for name in names}) == fingerprint(labels)


def said(labels: dict[str, str]) -> Signal:
    (signal,) = parse(json.dumps([{"labels": labels}]).encode(), NOW)
    return signal


def test_what_labels_say_is_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "_known", known := {})
    monkeypatch.setattr(prometheus, "_REMEMBERED", 3)
    first = said({"alertname": "A0", "severity": "critical"})
    assert said({"alertname": "A0", "severity": "critical"}) == first
    assert len(known) == 1
    for number in range(1, 9):
        assert said({"alertname": f"A{number}"}).alert_name == f"A{number}"
    assert len(known) == 3
    assert said({"alertname": "A0", "severity": "critical"}) == first
    said({"alertname": "long", "text": "x" * 4_000})
    assert len(known) == 3
    assert all(b"long" not in key[0] for key in known)


def test_what_stands_inside_of_labels_is_refused_by_its_place() -> None:
    body = b'[{"labels":{"a":"b"}},{"labels":{"a":"b"},"annotations":{"c":["d"]}}]'
    with pytest.raises(BadBody) as refused:
        parse(body, NOW)
    assert [error.field for error in refused.value.errors] == ["[1].annotations[...]"]


def test_labels_spelled_otherwise_say_the_same() -> None:
    spaced = b'[{"labels": {"alertname" : "\\u0041", "empty": ""}, "annotations": null}]'
    tight = b'[{"labels":{"alertname":"A"}}]'
    assert parse(spaced, NOW) == parse(tight, NOW)


def test_what_was_said_of_the_same_labels_with_other_annotations_is_not_mistaken() -> None:
    def titled(summary: str) -> str:
        body = [{"labels": {"alertname": "A"}, "annotations": {"summary": summary}}]
        return parse(json.dumps(body).encode(), NOW)[0].title

    assert [titled("one"), titled("two"), titled("one")] == ["one", "two", "one"]


@pytest.mark.parametrize(
    ("labels", "service"),
    [
        ({"service": "checkout", "job": "node"}, "checkout"),
        ({"app": "cart", "service_name": "otel-cart", "job": "node"}, "otel-cart"),
        ({"application": "cart", "app_kubernetes_io_name": "x"}, "cart"),
        ({"app_kubernetes_io_name": "cart-chart", "job": "node"}, "cart-chart"),
        ({"service": "  ", "job": "node"}, "node"),
        ({"alertname": "Lonely"}, None),
    ],
)
def test_the_service_is_named_by_the_most_deliberate_label(
    labels: dict[str, str], service: str | None
) -> None:
    assert one(labels=labels).service == service


@pytest.mark.parametrize(
    ("labels", "severity"),
    [
        ({"severity": "page"}, "critical"),
        ({"severity": "CRITICAL "}, "critical"),
        ({"severity": "error"}, "high"),
        ({"severity": "warning"}, "medium"),
        ({"severity": "info"}, "low"),
        ({"priority": "P1"}, "critical"),
        ({"priority": "sev-2"}, "high"),
        ({"level": "5"}, "low"),
        ({"severity": "purple", "priority": "P1"}, "medium"),
        ({"alertname": "Unsaid"}, "medium"),
    ],
)
def test_every_sender_s_word_for_severity_becomes_one_of_four(
    labels: dict[str, str], severity: str
) -> None:
    assert one(labels=labels).severity == severity


@pytest.mark.parametrize(
    ("annotations", "labels", "title"),
    [
        ({"summary": "\n  S \nmore", "title": "T"}, {"alertname": "A"}, "S"),
        ({"summary": " ", "title": "T", "description": "D"}, {"alertname": "A"}, "T"),
        ({"description": "D\nE"}, {"alertname": "A"}, "D"),
        ({}, {"alertname": "A", "instance": "web-1:80"}, "A on web-1:80"),
        ({}, {"alertname": "A"}, "A"),
        ({}, {"b": "2", "a": "1"}, "a=1 b=2"),
        ({"summary": "x" * 600}, {"alertname": "A"}, "x" * 511 + "…"),
    ],
)
def test_a_title_is_the_first_thing_that_speaks(
    annotations: dict[str, str], labels: dict[str, str], title: str
) -> None:
    assert one(labels=labels, annotations=annotations).title == title


@pytest.mark.parametrize(
    ("value", "customers"),
    [("412", 412), ("1.25e+03", 1250), ("NaN", None), ("+Inf", None), ("-3", None), ("many", None)],
)
def test_customers_affected_is_read_as_prometheus_prints_numbers(
    value: str, customers: int | None
) -> None:
    assert one(annotations={"customers_affected": value}).customers_affected == customers


def test_a_start_ahead_of_our_clock_is_clamped_and_told() -> None:
    within = one(startsAt="2026-11-21T14:08:00Z")
    assert (within.starts_at, within.skewed) == (NOW + timedelta(minutes=4, seconds=30), False)
    beyond = one(startsAt="2026-11-21T14:08:31Z")
    assert (beyond.starts_at, beyond.skewed) == (NOW, True)


def test_nanoseconds_are_cut_to_microseconds() -> None:
    signal = one(startsAt="2026-11-20T23:27:23.133371999Z")
    assert signal.starts_at == datetime(2026, 11, 20, 23, 27, 23, 133_371, tzinfo=UTC)


def test_an_end_before_the_start_becomes_the_start() -> None:
    signal = one(startsAt="2026-11-20T12:00:00Z", endsAt="2026-11-20T11:00:00+00:00")
    assert signal.ends_at == signal.starts_at == datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_a_time_of_the_unix_epoch_is_a_mistake_and_told() -> None:
    signal = one(startsAt="1970-01-01T00:00:00Z")
    assert (signal.starts_at, signal.skewed) == (NOW, True)


@pytest.mark.parametrize(
    ("body", "field", "advice"),
    [
        (b"", "body", "JSON"),
        (b"[}", "body", "JSON"),
        (b'[{"labels":{"a":"\xff"}}]', "body", "UTF-8"),
        (b'[{"labels":{"a":"b"},"more":"\xff"}]', "body", "UTF-8"),
        (b'[{"labels":{"a":"b"},"more":NaN}]', "body", "JSON"),
        (b'[{"labels":{"a":"\\ud800"}}]', "body", "JSON"),
        (b'[{"labels":{"a":"b"},"more":' + b"[" * 100_000, "body", "nested too deeply"),
        (b"{}", "body", "Expected `array`"),
        (b'[{"labels":{"a":1}}]', "[0].labels[...]", "Expected `str`"),
        (b'[{"annotations":{}}]', "[0]", "missing required field `labels`; add it"),
        (b'[{"labels":{"a":""}}]', "[0].labels", "name the alert in one"),
        (b'[{"labels":{"":"b"}}]', "[0].labels", "1 to 256 characters"),
        (b'[{"labels":{"a":"b"},"startsAt":"yesterday"}]', "[0].startsAt", "RFC 3339"),
        (b'[{"labels":{"a":"b"},"startsAt":"2026-11-20T12:00:00"}]', "[0].startsAt", "RFC 3339"),
        (b'[{"labels":{"a":"b"},"endsAt":"2026-02-30T12:00:00Z"}]', "[0].endsAt", "RFC 3339"),
        (b'[{"labels":{"a":"b"},"endsAt":"9999-12-31T23:59:59-10:00"}]', "[0].endsAt", "RFC 3339"),
        (b'[{"labels":{"a":"b"},"endsAt":1700000000}]', "[0].endsAt", "Expected `str | null`"),
    ],
)
def test_a_bad_body_names_the_field_and_what_to_do(body: bytes, field: str, advice: str) -> None:
    with pytest.raises(BadBody) as refusal:
        parse(body, NOW)
    (error,) = refusal.value.errors
    assert error.field == field
    assert advice in error.message
    assert error.message in str(refusal.value)


@pytest.mark.parametrize(
    ("alert", "field", "bound"),
    [
        ({"labels": {f"l{i}": "x" for i in range(10_000)}}, "[1].labels", "at most 64"),
        ({"labels": {"a": "é" * 2_049}}, "[1].labels.a", "4,096 bytes"),
        ({"labels": {"n" * 257: "x"}}, "[1].labels", "1 to 256 characters"),
        (
            {"labels": {"a": "b"}, "annotations": {f"n{i}": "x" for i in range(65)}},
            "[1].annotations",
            "at most 64",
        ),
    ],
)
def test_one_alert_out_of_bounds_refuses_the_whole_batch(
    alert: object, field: str, bound: str
) -> None:
    with pytest.raises(BadBody) as refusal:
        parse(posted({"labels": {"alertname": "Fine"}}, alert), NOW)
    assert refusal.value.errors[0].field == field
    assert bound in refusal.value.errors[0].message


def test_a_thousand_alerts_fit_in_one_body_and_one_more_does_not() -> None:
    alerts = [{"labels": {"alertname": "Slow", "n": str(i)}} for i in range(1_001)]
    assert len(parse(posted(*alerts[:1_000]), NOW)) == 1_000
    with pytest.raises(BadBody, match="at most 1,000"):
        parse(posted(*alerts), NOW)


def test_a_long_annotation_is_cut_where_a_long_label_is_refused() -> None:
    signal = one(annotations={"summary": "Slow", "description": "é" * 5_000})
    assert len(signal.description.encode()) <= 4_096
    assert signal.description.endswith("é…")


@pytest.mark.parametrize("url", ["javascript:alert(1)", "", "http://x/" + "y" * 2_048])
def test_what_cannot_be_shown_as_a_link_is_left_out(url: str) -> None:
    assert one(generatorURL=url).url is None


def test_the_largest_alert_is_accepted() -> None:
    labels = {f"{i:0256}": "é" * 2_048 for i in range(64)}
    assert one(labels=labels).labels == labels


LONG_AGO, FAR_AHEAD = (NOW.replace(year=year, tzinfo=None) for year in (1990, 2040))
words = st.text(max_size=8)
pairs = st.dictionaries(words.filter(bool), words, max_size=3)
times = st.datetimes(LONG_AGO, FAR_AHEAD) | st.datetimes()
junk = st.none() | st.integers() | st.floats() | words | st.lists(st.none(), max_size=2)
posted_alerts = st.fixed_dictionaries(
    {"labels": pairs.map(lambda labels: labels | {"alertname": "Slow"})},
    optional={
        "annotations": pairs | st.none(),
        "startsAt": times.map(lambda at: at.isoformat() + "Z"),
        "endsAt": times.map(lambda at: at.isoformat() + "+09:30"),
        "generatorURL": words,
    },
)
spoiled_alerts = st.builds(
    lambda alert, field, value: alert | {field: value},
    posted_alerts,
    st.sampled_from(["labels", "annotations", "startsAt", "endsAt", "generatorURL", "more"]),
    junk,
)


@given(
    st.binary(max_size=60)
    | st.lists(posted_alerts, max_size=3).map(lambda body: json.dumps(body).encode())
    | st.lists(posted_alerts | spoiled_alerts, max_size=3).map(lambda b: json.dumps(b).encode())
)
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_signals_or_a_bad_body(body: bytes) -> None:
    try:
        signals = parse(body, NOW)
    except BadBody:
        return  # any other exception fails
    for signal in signals:
        assert (signal.ends_at is not None) == (signal.status == "resolved")
        assert signal.starts_at <= NOW + timedelta(minutes=5)
        assert signal.ends_at is None or signal.ends_at >= signal.starts_at
        assert 0 < len(signal.title) <= 512
        assert signal.starts_at.tzinfo is UTC
