"""The recorded stream is what Alertmanager sends, and tells the story that the demo shows."""

import json
import math
import statistics
from collections import defaultdict
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from random import Random
from typing import NamedTuple

import pytest

from services.demo.stream import PATH, Record, load, moment, redate
from services.incidents.signals.adapters.alertmanager import parse
from services.incidents.signals.adapters.prometheus import fingerprint
from services.incidents.signals.signal import Signal
from tests.senders.demo_rules import PAIN, RULES, SECOND, STEADY, Rule
from tests.senders.demo_schedule import SEED, bouts, deliveries, steps

ANCHOR = datetime(2026, 8, 29, 7, 12, 30, tzinfo=UTC)
STREAM = load()
WEEKS = range(STREAM.header.weeks)
FIX_WEEK = 8


class Told(NamedTuple):
    """A signal, and when it arrived."""

    at: datetime
    signal: Signal


@cache
def told() -> list[Told]:
    """Every signal of the stream, in the order of arrival, through the real adapter."""
    found: list[Told] = []
    for record in STREAM.records:
        at = moment(record.at_minutes, ANCHOR)
        found += (Told(at, signal) for signal in parse(redate(record, ANCHOR), at))
    return found


def incidents(alert_name: str, flaps: bool = False) -> list[datetime]:
    """When each incident of a rule began; a return within a quarter of an hour is a flap."""
    starts: dict[str, set[datetime]] = defaultdict(set)
    ends: dict[str, set[datetime]] = defaultdict(set)
    for _, signal in told():
        if signal.alert_name == alert_name:
            starts[signal.fingerprint].add(signal.starts_at)
            if signal.ends_at:
                ends[signal.fingerprint].add(signal.ends_at)
    quarter = timedelta(minutes=15)
    return sorted(
        start
        for key, begun in starts.items()
        for start in begun
        if flaps == any(timedelta(0) <= start - end < quarter for end in ends[key])
    )


def weekly(alert_name: str) -> list[int]:
    numbers = [(start - ANCHOR) // timedelta(weeks=1) for start in incidents(alert_name)]
    return [numbers.count(week) for week in WEEKS]


def change(counts: list[int], others: list[int]) -> float:
    """z of the four weeks after the fix against the four before, others' change taken out."""
    before, after = sum(counts[4:8]), sum(counts[8:])
    earlier = counts[:8]
    spread = max(1.0, statistics.variance(earlier) / statistics.mean(earlier))
    ratio = math.log((after + 0.5) / (before + 0.5))
    common = math.log((sum(others[8:]) + 0.5) / (sum(others[4:8]) + 0.5))
    return (ratio - common) / math.sqrt(spread * (1 / (before + 0.5) + 1 / (after + 0.5)))


def test_the_recording_is_small_and_in_order_of_arrival() -> None:
    assert PATH.stat().st_size < 300_000
    arrivals = [record.at_minutes for record in STREAM.records]
    assert arrivals == sorted(arrivals)
    assert arrivals[0] > 0
    assert moment(arrivals[-1], ANCHOR) < ANCHOR + STREAM.lasts
    assert 450 <= len(STREAM.records) <= 700
    assert 800 <= len(told()) <= 1_200


def test_every_webhook_is_readable_when_it_arrives_and_states_no_impossible_time() -> None:
    for at, signal in told():
        assert signal.starts_at < at
        assert signal.ends_at is None or signal.starts_at < signal.ends_at < at
        assert not signal.skewed


def test_fingerprints_are_those_of_the_labels() -> None:
    for record in STREAM.records:
        for alert in record.body.alerts:
            assert alert.fingerprint == fingerprint(alert.labels)


def test_redating_sets_the_times_and_touches_nothing_else() -> None:
    record = next(r for r in STREAM.records if len({a.status for a in r.body.alerts}) == 2)
    body = json.loads(redate(record, ANCHOR))
    for alert, kept in zip(body["alerts"], record.body.alerts, strict=True):
        assert alert.pop("startsAt").endswith("Z")
        ended = alert.pop("endsAt")
        assert (ended == "0001-01-01T00:00:00Z") == (kept.status == "firing")
        assert alert == {
            "status": kept.status,
            "labels": kept.labels,
            "annotations": kept.annotations,
            "generatorURL": kept.generator_url,
            "fingerprint": kept.fingerprint,
        }
    assert list(body) == [
        "receiver",
        "status",
        "alerts",
        "groupLabels",
        "commonLabels",
        "commonAnnotations",
        "externalURL",
        "version",
        "groupKey",
        "truncatedAlerts",
    ]


def test_redating_moves_every_time_by_the_anchor_and_no_more() -> None:
    day = timedelta(days=1)
    for record in STREAM.records[:50]:
        at = moment(record.at_minutes, ANCHOR)
        today, tomorrow = (
            [(s.starts_at, s.ends_at) for s in parse(redate(record, anchor), at + day)]
            for anchor in (ANCHOR, ANCHOR + day)
        )
        assert tomorrow == [(start + day, end and end + day) for start, end in today]


def test_the_anchor_s_time_zone_does_not_matter() -> None:
    elsewhere = ANCHOR.astimezone(timezone(timedelta(hours=5, minutes=45)))
    record = STREAM.records[0]
    assert redate(record, elsewhere) == redate(record, ANCHOR)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_recording_is_what_the_schedule_says(rule: Rule) -> None:
    chance = Random(f"{SEED}/{rule.name}/deliveries")
    planned = sorted(at for step in steps(rule) for at in deliveries(step, chance))
    arrived = [r.at_minutes for r in STREAM.records if named(r) == rule.name]
    assert arrived == planned
    begun = {(bout.labels["instance"], round(bout.starts, 2)) for bout in bouts(rule)}
    seen = {
        (signal.labels["instance"], round((signal.starts_at - ANCHOR) / timedelta(minutes=1), 2))
        for _, signal in told()
        if signal.alert_name == rule.name
    }
    assert seen <= begun
    assert len(begun - seen) <= 2, "only a truncated message may leave some out"


def named(record: Record) -> str:
    return record.body.group_labels["alertname"]


def test_the_pain_grows_until_its_fix_and_then_nearly_stops() -> None:
    counts = weekly(PAIN.name)
    assert 30 <= sum(counts[2:FIX_WEEK]) <= 40
    assert sum(counts[5:FIX_WEEK]) > sum(counts[2:5]) > sum(counts[:2])
    assert 1 <= sum(counts[FIX_WEEK:]) <= 2
    days = {(start - ANCHOR).days for start in incidents(PAIN.name)}
    assert len(days) >= 25
    impacts = [s for _, s in told() if s.alert_name == PAIN.name]
    assert all((s.customers_affected or 0) >= 60 for s in impacts)
    assert {s.severity for s in impacts} == {"critical", "high"}
    (fix,) = STREAM.header.fixes
    assert (fix.alert_name, fix.service) == (PAIN.name, "payments")
    assert fix.at_minutes == (FIX_WEEK * 7 - 1) * 24 * 60


def test_the_fix_shows_in_a_test_that_allows_for_overdispersion_and_the_rest_does_not() -> None:
    products = {service.name: service.product for service in STREAM.header.services}
    siblings = [r for r in STEADY if products.get(r.service[1]) == "Checkout"]
    assert len(siblings) == 3
    common = [sum(week) for week in zip(*(weekly(r.name) for r in siblings), strict=True)]
    assert change(weekly(PAIN.name), common) < -2.5
    everything = [sum(week) for week in zip(*(weekly(r.name) for r in STEADY), strict=True)]
    for rule in STEADY:
        assert abs(change(weekly(rule.name), everything)) < 1.645, rule.name


def test_a_second_theme_recurs_and_the_rest_is_noise_or_rare() -> None:
    assert sum(weekly(SECOND.name)[8:]) >= 12
    noise = sum(sum(weekly(rule.name)) for rule in RULES if rule not in (PAIN, SECOND))
    assert 165 <= noise <= 200
    rare = [r for r in RULES if r not in (PAIN, SECOND, *STEADY)]
    assert len(rare) >= 5
    for rule in rare:
        days = {(start - ANCHOR).days for start in incidents(rule.name)}
        assert len(days) <= 3, rule.name


def test_one_service_is_not_in_the_catalog() -> None:
    listed = {service.name for service in STREAM.header.services}
    assert len(listed) == 8
    assert {signal.service for _, signal in told()} - listed == {"loyalty-beta"}
    assert listed <= {signal.service for _, signal in told()}


def test_groups_come_in_every_shape_of_alertmanager() -> None:
    bodies = [record.body for record in STREAM.records]
    assert any(len(body.alerts) == 1 for body in bodies)
    assert any({alert.status for alert in body.alerts} == {"firing", "resolved"} for body in bodies)
    assert any(body.status == "resolved" and len(body.alerts) > 1 for body in bodies)
    truncated = [body for body in bodies if body.truncated_alerts]
    assert truncated
    assert all(len(body.alerts) == 5 for body in truncated)


def test_webhooks_come_twice_late_and_out_of_order() -> None:
    bodies = [redate(record, ANCHOR) for record in STREAM.records]
    assert len(bodies) - len(set(bodies)) > 100, "repeats and doubled deliveries"
    news = [at - (s.ends_at or s.starts_at) for at, s in told()]
    firsts = sum(timedelta(hours=2) < lag < timedelta(hours=12) for lag in news)
    assert firsts > 20
    over: set[tuple[str, datetime]] = set()
    overtaken: set[tuple[str, datetime]] = set()
    for _, signal in told():
        key = (signal.fingerprint, signal.starts_at)
        if signal.status == "resolved":
            over.add(key)
        elif key in over:
            overtaken.add(key)
    assert len(overtaken) >= 3, "an end arrives before a beginning"


def test_alerts_flap_and_some_are_still_open_at_the_end() -> None:
    assert sum(len(incidents(rule.name, flaps=True)) for rule in RULES) >= 5
    begun = {(s.alert_name, s.fingerprint, s.starts_at) for _, s in told()}
    over = {(s.alert_name, s.fingerprint, s.starts_at) for _, s in told() if s.ends_at}
    assert {name for name, _, _ in begun - over} >= {SECOND.name, "OrdersDbDiskFillingUp"}
