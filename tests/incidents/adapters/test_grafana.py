"""Grafana's webhook contact point, and the shape of its alerts before unified alerting."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings

from services.incidents.signals.adapters.grafana import parse
from services.incidents.signals.signal import BadBody, Signal
from tests.incidents.adapters.spoiled import NOW, check, document, recorded, spoiled


def of(name: str) -> Signal:
    signal, *_ = parse(recorded(name), NOW)
    return signal


def changed(name: str, **more: object) -> list[Signal]:
    return parse(json.dumps(document(name) | more).encode(), NOW)


def with_alert(**more: object) -> dict[str, Any]:
    message = document("grafana_resolved")
    message["alerts"][0] |= more
    return message


def test_each_alert_speaks_for_itself_by_its_own_fingerprint() -> None:
    firing, ended = parse(recorded("grafana_mixed"), NOW)
    assert (firing.source, firing.fingerprint) == ("grafana", "c6eadffa33fcdf37")
    assert (firing.status, firing.ends_at) == ("firing", None)
    assert firing.starts_at == datetime(2026, 11, 21, 12, 51, 10, tzinfo=UTC)
    assert (firing.title, firing.alert_name) == ("search-2 runs out of memory", "High memory usage")
    assert (firing.service, firing.severity) == ("search", "critical")
    assert firing.description == "The heap of search-2 stays above 90 %."
    assert firing.url == "https://grafana.lantern.example/alerting/grafana/bdq2k/view?orgId=1"
    assert (ended.fingerprint, ended.status) == ("bc97ff14869b13e3", "resolved")
    assert ended.ends_at == datetime(2026, 11, 21, 13, 1, 10, tzinfo=UTC)


def test_what_an_alert_links_to_and_measured_is_kept_beside_its_annotations() -> None:
    alert = document("grafana_mixed")["alerts"][0]
    annotations = of("grafana_mixed").annotations
    assert annotations["values"] == "B=94.23943737541909, C=1"
    for name in ("valueString", "silenceURL", "dashboardURL", "panelURL", "imageURL"):
        assert annotations[name] == alert[name]
    assert annotations["runbook_url"] == alert["annotations"]["runbook_url"]


def test_the_end_of_an_alert_has_the_start_and_the_fingerprint_of_its_beginning() -> None:
    firing, ended = of("grafana_mixed"), of("grafana_resolved")
    assert (ended.fingerprint, ended.starts_at) == (firing.fingerprint, firing.starts_at)
    assert (ended.status, ended.ends_at) == (
        "resolved",
        datetime(2026, 11, 21, 13, 2, 10, tzinfo=UTC),
    )


def test_an_older_grafana_spells_its_values_as_a_text() -> None:
    signal = of("grafana_older")
    assert signal.annotations["valueString"] == "[ metric='' labels={} value=14151.331895396988 ]"
    assert "values" not in signal.annotations


def test_an_alert_about_missing_data_keeps_its_name_and_its_title_names_the_rule() -> None:
    signal = of("grafana_no_data")
    assert signal.alert_name == "DatasourceNoData"
    assert signal.title == "DatasourceNoData: Orders per minute"
    assert (signal.status, signal.service) == ("firing", "orders")


def test_a_panel_is_linked_to_where_there_is_no_rule() -> None:
    (signal,) = parse(json.dumps(with_alert(generatorURL="")).encode(), NOW)
    assert signal.url == document("grafana_mixed")["alerts"][0]["panelURL"]


def test_full_annotations_leave_no_room_for_more_and_are_not_refused() -> None:
    notes = {f"note {i}": "x" for i in range(64)}
    (signal,) = parse(json.dumps(with_alert(annotations=notes)).encode(), NOW)
    assert signal.annotations == notes


def test_a_resolved_alert_without_an_end_ended_when_it_was_received() -> None:
    (signal,) = parse(json.dumps(with_alert(endsAt="0001-01-01T00:00:00Z")).encode(), NOW)
    assert signal.ends_at == NOW


def test_every_signal_tells_how_many_alerts_were_left_out() -> None:
    signals = changed("grafana_mixed", truncatedAlerts=3)
    assert [signal.truncated for signal in signals] == [3, 3]


def test_an_old_rule_fires_and_recovers_as_one_alert() -> None:
    firing, ended = of("grafana_legacy_alerting"), of("grafana_legacy_ok")
    assert (firing.title, firing.alert_name) == ("Orders wait", "Orders wait")
    assert (firing.service, firing.severity) == ("orders", "high")
    assert firing.annotations["values"] == "High value=100, Higher value=200.5"
    assert firing.description == "Orders wait for longer than a minute."
    assert firing.url == "https://grafana.lantern.example/d/orders?panelId=2"
    assert (firing.fingerprint, firing.status, firing.starts_at) == ("1/41", "firing", NOW)
    assert (ended.fingerprint, ended.status) == ("1/41", "resolved")
    assert (ended.starts_at, ended.ends_at) == (NOW, NOW)


@pytest.mark.parametrize(
    ("state", "statuses"),
    [
        ("alerting", ["firing"]),
        ("no_data", ["firing"]),
        ("ok", ["resolved"]),
        ("paused", ["resolved"]),
        ("pending", []),
        ("unknown", []),
    ],
)
def test_the_state_of_an_old_rule_says_what_happened(state: str, statuses: list[str]) -> None:
    signals = changed("grafana_legacy_alerting", state=state)
    assert [signal.status for signal in signals] == statuses


def test_an_old_rule_without_an_id_is_known_by_its_name() -> None:
    (signal,) = changed("grafana_legacy_alerting", ruleId=0, version="")
    assert signal.fingerprint == "1/Orders wait"


@pytest.mark.parametrize(
    ("body", "field", "advice"),
    [
        (b"[]", "body", "Expected `object`"),
        (b"{}", "body", "neither `alerts` nor a `ruleName`"),
        (b'{"version":"4","alerts":[]}', "version", "send Grafana's webhook version 1"),
        (b'{"ruleName":"a","state":"burning"}', "state", "must be one of alerting, "),
        (b'{"version":"1","alerts":[{"status":"firing","labels":{}}]}', "alerts[0]", "neither"),
        (b'{"alerts":[{"status":"ok","labels":{}}]}', "alerts[0].status", "'ok'"),
    ],
)
def test_a_bad_body_names_the_field_and_what_to_do(body: bytes, field: str, advice: str) -> None:
    with pytest.raises(BadBody) as refusal:
        parse(body, NOW)
    (error,) = refusal.value.errors
    assert (error.field, advice in error.message) == (field, True), error


def test_a_message_without_alerts_is_empty_and_not_an_error() -> None:
    assert changed("grafana_mixed", alerts=[]) == []


@given(spoiled("grafana_mixed", "grafana_no_data", "grafana_legacy_alerting"))
@settings(max_examples=200, deadline=None)
def test_any_json_is_signals_or_a_bad_body(body: bytes) -> None:
    try:
        signals = parse(body, NOW)
    except BadBody:
        return  # any other exception fails
    for signal in signals:
        check(signal)
