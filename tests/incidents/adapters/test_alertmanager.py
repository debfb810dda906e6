"""Alertmanager's webhook; the bodies were recorded from Alertmanager 0.25."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.incidents.signals.adapters.alertmanager import parse
from services.incidents.signals.adapters.prometheus import fingerprint
from services.incidents.signals.signal import BadBody, Signal

BODIES = Path(__file__).parent / "bodies"
RECORDED = sorted(BODIES.glob("alertmanager_*.json"))
NOW = datetime(2026, 11, 21, 14, 3, 30, tzinfo=UTC)
LATER = datetime(2100, 1, 1, tzinfo=UTC)
"""After the recording, whenever it was made."""


def recorded(name: str) -> bytes:
    return (BODIES / name).read_bytes()


def message(**alert: object) -> dict[str, Any]:
    return {"version": "4", "alerts": [{"status": "firing", "labels": {"a": "b"}, **alert}]}


def one(**alert: object) -> Signal:
    (signal,) = parse(json.dumps(message(**alert)).encode(), NOW)
    return signal


def test_a_firing_alert_is_read_as_alertmanager_sends_it() -> None:
    (signal,) = parse(recorded("alertmanager_firing.json"), LATER)
    (sent,) = json.loads(recorded("alertmanager_firing.json"))["alerts"]
    assert signal.source == "prometheus"
    assert signal.fingerprint == sent["fingerprint"]
    assert (signal.status, signal.ends_at, signal.expires_at) == ("firing", None, None)
    assert signal.starts_at.isoformat() == sent["startsAt"][:26] + "+00:00"
    assert signal.title == "The index on search-2 is 41 minutes old"
    assert (signal.alert_name, signal.service) == ("SearchIndexStale", "search")
    assert signal.severity == "critical"
    assert signal.labels == sent["labels"]
    assert signal.url is None


def test_each_alert_of_a_mixed_group_keeps_its_own_status() -> None:
    signals = parse(recorded("alertmanager_mixed.json"), LATER)
    assert [signal.status for signal in signals] == ["firing", "resolved", "firing"]
    assert [signal.ends_at is not None for signal in signals] == [False, True, False]
    assert len({signal.fingerprint for signal in signals}) == 3


def test_a_repeat_of_a_group_has_the_same_identities() -> None:
    group = parse(recorded("alertmanager_group.json"), LATER)
    mixed = parse(recorded("alertmanager_mixed.json"), LATER)
    assert [(s.fingerprint, s.starts_at) for s in group] == [
        (s.fingerprint, s.starts_at) for s in mixed
    ]


def test_every_signal_tells_how_many_alerts_were_left_out() -> None:
    signals = parse(recorded("alertmanager_truncated.json"), LATER)
    assert [signal.truncated for signal in signals] == [3, 3]
    assert [s.truncated for s in parse(recorded("alertmanager_group.json"), LATER)] == [0, 0, 0]


def test_odd_labels_keep_their_fingerprint_and_lose_only_what_no_database_stores() -> None:
    (signal,) = parse(recorded("alertmanager_odd.json"), LATER)
    assert signal.labels == {
        "alertname": "Odd",
        "job": "été <b>&</b>",
        "nul": "a\ufffdb",
        "path": 'C:\\"x"',
    }
    assert signal.title == "☃"
    assert signal.fingerprint == fingerprint(signal.labels | {"nul": "a\0b"})


@pytest.mark.parametrize("body", RECORDED, ids=lambda body: body.stem)
def test_alertmanager_s_fingerprint_is_the_one_we_make_of_the_labels(body: Path) -> None:
    alerts = json.loads(body.read_bytes())["alerts"]
    assert [fingerprint(alert["labels"]) for alert in alerts] == [
        alert["fingerprint"] for alert in alerts
    ]


def test_an_alert_without_a_fingerprint_is_known_by_its_labels() -> None:
    assert one(labels={"a": "1"}).fingerprint == fingerprint({"a": "1"})


def test_a_fingerprint_alone_is_enough_to_know_an_alert_by() -> None:
    signal = one(labels={}, fingerprint="ab12")
    assert (signal.fingerprint, signal.title) == ("ab12", "Alert without a name")


def test_unknown_fields_of_a_later_version_are_ignored() -> None:
    later = json.loads(recorded("alertmanager_firing.json"))
    later |= {"notification_reason": "new", "routeLabels": {"a": ["b"]}}
    later["alerts"][0]["values"] = {"A": 1.5}
    assert parse(json.dumps(later).encode(), LATER) == parse(
        recorded("alertmanager_firing.json"), LATER
    )


def test_resolved_without_an_end_ended_when_it_was_received() -> None:
    signal = one(status="resolved", startsAt="2026-11-21T13:00:00Z", endsAt="0001-01-01T00:00:00Z")
    assert (signal.ends_at, signal.skewed) == (NOW, False)


def test_a_firing_alert_has_no_end_whatever_is_written_there() -> None:
    assert one(endsAt="2026-11-21T13:00:00Z").ends_at is None


def test_times_beyond_the_skew_are_clamped_and_told_and_nothing_is_lost() -> None:
    signal = one(status="resolved", startsAt="2026-11-21T15:03:30Z", endsAt="2026-11-21T16:03:30Z")
    assert (signal.starts_at, signal.ends_at, signal.skewed) == (NOW, NOW, True)


def test_a_message_without_alerts_is_empty_and_not_an_error() -> None:
    assert parse(b'{"version":"4","alerts":[]}', NOW) == []


@pytest.mark.parametrize(
    ("body", "field", "advice"),
    [
        (b"[]", "body", "Expected `object`"),
        (b'{"version":"4"}', "body", "`alerts`; add it"),
        (b'{"version":"1","alerts":[]}', "version", "send Alertmanager's webhook version 4"),
        (b'{"version":4,"alerts":[]}', "version", "Expected `str`"),
        (b'{"alerts":[{"status":"pending","labels":{}}]}', "alerts[0].status", "'pending'"),
        (b'{"alerts":[{"status":"firing","labels":{}}]}', "alerts[0]", "neither labels nor"),
        (b'{"alerts":[],"truncatedAlerts":-1}', "truncatedAlerts", ">= 0"),
        (b'{"alerts":[],"truncatedAlerts":1e300}', "truncatedAlerts", "Expected `int`"),
    ],
)
def test_a_bad_body_names_the_field_and_what_to_do(body: bytes, field: str, advice: str) -> None:
    with pytest.raises(BadBody) as refusal:
        parse(body, NOW)
    (error,) = refusal.value.errors
    assert (error.field, advice in error.message) == (field, True), error


def test_ten_thousand_labels_refuse_the_body() -> None:
    labels = {f"l{i}": "x" for i in range(10_000)}
    with pytest.raises(BadBody, match=r"alerts\[0\].labels: has 10,000 entries; send at most 64"):
        parse(json.dumps(message(labels=labels)).encode(), NOW)


def test_a_thousand_alerts_fit_and_one_more_does_not() -> None:
    (alert,) = message()["alerts"]
    assert len(parse(json.dumps({"alerts": [alert] * 1_000}).encode(), NOW)) == 1_000
    with pytest.raises(BadBody, match="holds 1,001 alerts; send at most 1,000"):
        parse(json.dumps({"alerts": [alert] * 1_001}).encode(), NOW)


@pytest.mark.parametrize("body", RECORDED, ids=lambda body: body.stem)
def test_a_body_cut_anywhere_is_a_bad_body(body: Path) -> None:
    whole = body.read_bytes().rstrip()
    for end in range(0, len(whole), 7):
        with pytest.raises(BadBody):
            parse(whole[:end], NOW)


LONG_AGO, FAR_AHEAD = (NOW.replace(year=year, tzinfo=None) for year in (1990, 2040))
words = st.text(max_size=8)
pairs = st.dictionaries(words.filter(bool), words, max_size=3)
times = st.datetimes(LONG_AGO, FAR_AHEAD) | st.datetimes()
junk = st.none() | st.integers() | st.floats() | words | st.lists(st.none(), max_size=2)
sent_alerts = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["firing", "resolved"]),
        "labels": pairs.map(lambda labels: labels | {"alertname": "Slow"}),
    },
    optional={
        "annotations": pairs | st.none(),
        "startsAt": times.map(lambda at: at.isoformat() + "Z"),
        "endsAt": times.map(lambda at: at.isoformat() + "-05:00"),
        "fingerprint": words,
        "generatorURL": words,
    },
)
spoiled_alerts = st.builds(
    lambda alert, field, value: alert | {field: value},
    sent_alerts,
    st.sampled_from(["status", "labels", "annotations", "startsAt", "endsAt", "fingerprint"]),
    junk,
)


def wrapped(alerts: list[dict[str, Any]]) -> bytes:
    return json.dumps({"alerts": alerts}).encode()


@given(
    st.binary(max_size=60)
    | st.lists(sent_alerts, max_size=3).map(wrapped)
    | st.lists(sent_alerts | spoiled_alerts, max_size=3).map(wrapped)
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
        assert signal.title
        assert "\0" not in signal.title + signal.fingerprint + "".join(signal.labels.values())
