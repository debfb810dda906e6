"""Datadog's webhooks: the documented template, filled in as Datadog fills it, or doesn't."""

import json
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings

from services.incidents.signals.adapters.datadog import TEMPLATE, parse
from services.incidents.signals.signal import BadBody, Signal
from tests.incidents.adapters.spoiled import NOW, check, document, recorded, spoiled


def of(name: str, **more: object) -> Signal:
    (signal,) = parse(json.dumps(document(name) | more).encode(), NOW)
    return signal


def test_a_triggered_monitor_is_read_as_datadog_means_it() -> None:
    signal = of("datadog_triggered")
    assert (signal.source, signal.fingerprint) == ("datadog", "6207438918331522000")
    assert (signal.status, signal.ends_at) == ("firing", None)
    assert signal.starts_at == datetime(2026, 11, 21, 13, 57, 17, tzinfo=UTC)
    assert (signal.title, signal.severity) == ("The index is stale", "high")
    assert signal.service == "search"
    assert signal.labels == {
        "host": "search-2",
        "env": "production",
        "service": "search",
        "team": "search",
    }
    assert signal.annotations == {
        "transition": "Triggered",
        "monitor": "1234",
        "tags": "env:production, host:search-2, monitor, service:search, team:search",
    }
    assert signal.description.startswith("The index of search-2 was built 41 minutes ago.")
    assert "%%%" not in signal.description
    assert signal.url == document("datadog_triggered")["link"]


def test_a_recovery_ends_its_cycle_and_tells_no_start() -> None:
    firing, ended = of("datadog_triggered"), of("datadog_recovered")
    at = datetime(2026, 11, 21, 14, 2, 17, tzinfo=UTC)
    assert (ended.fingerprint, ended.title) == (firing.fingerprint, firing.title)
    assert (ended.status, ended.starts_at, ended.ends_at) == ("resolved", at, at)


@pytest.mark.parametrize(
    ("transition", "status"),
    [
        ("Triggered", "firing"),
        ("Re-Triggered", "firing"),
        ("Warn", "firing"),
        ("Re-Warn", "firing"),
        ("No Data", "firing"),
        ("Re-No Data", "firing"),
        ("Renotify", "firing"),
        ("Recovered", "resolved"),
        ("Warn Recovered", "resolved"),
        ("No Data Recovered", "resolved"),
    ],
)
def test_the_transition_says_whether_it_fires(transition: str, status: str) -> None:
    assert of("datadog_triggered", alert_transition=transition).status == status


@pytest.mark.parametrize("unfilled", ["", "$ALERT_TRANSITION", None, "null"])
def test_without_a_transition_success_is_an_end(unfilled: str | None) -> None:
    ended = of("datadog_triggered", alert_transition=unfilled, alert_type="success")
    fires = of("datadog_triggered", alert_transition=unfilled, alert_type="info")
    assert (ended.status, fires.status) == ("resolved", "firing")


def test_a_success_that_fires_again_is_no_end() -> None:
    assert of("datadog_triggered", alert_type="success").status == "firing"


def test_a_priority_that_isn_t_filled_in_leaves_the_kind_to_say_how_bad_it_is() -> None:
    severities = [
        of("datadog_triggered", alert_priority="$ALERT_PRIORITY", **more).severity
        for more in (
            {"alert_type": "error"},
            {"alert_type": "warning"},
            {"alert_type": "error", "alert_transition": "Warn"},
            {"alert_type": "$ALERT_TYPE"},
        )
    ]
    assert severities == ["high", "medium", "medium", "medium"]
    assert of("datadog_triggered", alert_priority="P1").severity == "critical"


def test_what_isn_t_filled_in_is_as_if_it_weren_t_there() -> None:
    signal = of("datadog_no_data")
    assert (signal.title, signal.service, signal.labels) == ("The index is stale", None, {})
    assert "$" not in "".join(signal.annotations.values())


def test_the_next_best_key_stands_in_for_the_cycle() -> None:
    empty = {"alert_cycle_key": "$ALERT_CYCLE_KEY"}
    assert (
        of("datadog_triggered", **empty).fingerprint == document("datadog_triggered")["aggreg_key"]
    )
    empty["aggreg_key"] = ""
    assert of("datadog_triggered", **empty).fingerprint == "1234/host:search-2,env:production"
    empty |= {"alert_id": "null", "alert_scope": ""}
    fingerprints = {
        of(f"datadog_{state}", **empty).fingerprint for state in ("triggered", "recovered")
    }
    assert fingerprints == {"The index is stale"}


@pytest.mark.parametrize("date", ["$DATE", "", None])
def test_a_date_that_isn_t_filled_in_is_that_of_arrival(date: str | None) -> None:
    signal = of("datadog_triggered", date=date)
    assert (signal.starts_at, signal.skewed) == (NOW, False)


def test_a_redelivered_notification_has_the_same_identity() -> None:
    body = recorded("datadog_triggered")
    assert parse(body, NOW) == parse(body, NOW.replace(hour=23))


def test_the_template_is_json_and_each_of_its_variables_is_read() -> None:
    template = json.loads(TEMPLATE)
    assert template == {name: f"${name.upper()}" for name in template}
    assert set(template) == set(document("datadog_triggered"))
    bare = {"alert_type": "", "alert_scope": "env:production", "tags": "team:search"}
    for name in set(template) - {"alert_cycle_key", "aggreg_key", "alert_type"}:
        without = of("datadog_triggered", **(bare | {name: ""}))
        assert without != of("datadog_triggered", **bare), name


def test_a_body_that_tells_no_alert_is_refused_and_so_is_the_template_itself() -> None:
    for body in (b"{}", TEMPLATE.encode()):
        with pytest.raises(BadBody, match=re.escape("alert_cycle_key: is empty")):
            parse(body, NOW)


@given(spoiled("datadog_triggered", "datadog_recovered", "datadog_no_data"))
@settings(max_examples=200, deadline=None)
def test_any_json_is_a_signal_or_a_bad_body(body: bytes) -> None:
    try:
        (signal,) = parse(body, NOW)
    except BadBody:
        return  # any other exception fails
    check(signal)
