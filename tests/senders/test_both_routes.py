"""A flapping target, told by Prometheus itself and by Alertmanager's webhook: incidents, a candidate.

One system for the module: the flaps are made once, and each test looks at what came of them, or does
something that must change nothing.
"""

from collections.abc import Callable, Generator
from contextlib import ExitStack
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Any

import pytest

from tests.senders.capture import Capture, Post
from tests.senders.groundswell import Groundswell
from tests.senders.monitoring import (
    Alertmanager,
    Prometheus,
    alertmanager,
    as_alertmanager,
    prometheus,
    scraped,
)
from tests.senders.programs import until
from tests.senders.target import Target

FLAPS = 3
POLICY = {
    "on": FLAPS,
    "off": 1,
    "distinct_days": 1,
    "alpha": 0.05,
    "impact_floor_minutes": None,
}
"""Three occurrences on one day rise: nobody waits three days for a test."""

Json = Any
Posts = list[Post]


@pytest.fixture(scope="module")
def sent() -> dict[str, Posts]:
    """What either sender sent so far, as it was captured: by route."""
    return {"/api/v2/alerts": [], "/ingest/alertmanager": []}


@pytest.fixture(scope="module")
def senders(
    folder: Path, system: Groundswell, checkout: Target, webhook: Capture, wire: Capture
) -> Generator[tuple[Prometheus, Alertmanager]]:
    """Prometheus sends to Groundswell as to an Alertmanager, and to the Alertmanager as well."""
    entry = {"product": "shop", "owner": "team-checkout", "tier": 1}
    system.put("/v1/catalog/services/checkout", entry)
    system.put("/v1/policies/recurrence", {"settings": POLICY})
    with ExitStack() as stack:
        manager = stack.enter_context(alertmanager(folder, system, webhook))
        told = [
            as_alertmanager(system.url, system.sender_key),
            as_alertmanager(manager.url),
            as_alertmanager(wire.url),
        ]
        scrapes = [scraped("checkout", checkout.url), scraped("groundswell", system.url)]
        server = stack.enter_context(prometheus(folder, told, scrapes))
        until(lambda: server.value('up{job="checkout"}') == 1, "Prometheus scrapes the target")
        yield server, manager


def flap(system: Groundswell, checkout: Target, webhook: Capture, sent: dict[str, Posts]) -> None:
    """Take the target down and up again; return once either route told both."""
    before = len(system.incidents("InstanceDown"))
    checkout.down()
    heard_by_webhook(webhook, sent, "InstanceDown", "firing")
    until(lambda: len(system.incidents("InstanceDown")) > before, "an incident")
    checkout.up()
    heard_by_webhook(webhook, sent, "InstanceDown", "resolved")
    until(lambda: system.incidents("InstanceDown")[0]["resolved_at"], "it is resolved")
    expected = len(sent["/ingest/alertmanager"])
    until(
        lambda: (
            system.metric("http_server_requests_total", route="/ingest/alertmanager") >= expected
        ),
        "Groundswell got every webhook that the capture got",
    )


def heard_by_webhook(
    webhook: Capture, sent: dict[str, Posts], alert_name: str, status: str
) -> Post:
    """The next webhook that says this of that alert. Everything that comes is kept."""
    while True:
        post = webhook.take()
        sent["/ingest/alertmanager"].append(post)
        told = {(one["labels"]["alertname"], one["status"]) for one in post.document["alerts"]}
        if (alert_name, status) in told:
            return post


@pytest.fixture(scope="module")
def flapped(
    system: Groundswell,
    senders: tuple[Prometheus, Alertmanager],
    checkout: Target,
    webhook: Capture,
    wire: Capture,
    sent: dict[str, Posts],
) -> list[Json]:
    """The incidents of three flaps, the oldest first."""
    for done in range(FLAPS):
        system.settle()
        assert system.get("/v1/candidates")["items"] == [], f"a candidate after {done} flaps"
        flap(system, checkout, webhook, sent)
    while not wire.posts.empty():
        sent["/api/v2/alerts"].append(wire.take())
    return system.incidents("InstanceDown")[::-1]


def candidate_of(system: Groundswell, incident: Json) -> Json:
    """The open candidate that the incident's theme became, whole."""

    def raised() -> Json | None:
        theme_id = system.get(f"/v1/incidents/{incident['id']}")["theme_id"]
        found = [
            one for one in system.all("/v1/candidates") if theme_id and one["theme_id"] == theme_id
        ]
        assert len(found) <= 1, found
        return found[0] if found else None

    raised_one = until(raised, "a candidate for the flapping target")
    return system.get(f"/v1/candidates/{raised_one['id']}")


def test_each_flap_makes_exactly_one_incident_though_two_routes_tell_it(
    system: Groundswell, flapped: list[Json], sent: dict[str, Posts]
) -> None:
    assert len(flapped) == FLAPS
    assert {one["state"] for one in flapped} == {"resolved"}
    assert {one["source"] for one in flapped} == {"prometheus"}
    assert {one["product"] for one in flapped} == {"shop"}
    assert {one["severity"] for one in flapped} == {"critical"}
    assert {one["customers_affected"] for one in flapped} == {1200}
    for before, after in pairwise(flapped):
        assert before["resolved_at"] <= after["opened_at"]
    told = {post.path for posts in sent.values() for post in posts}
    assert told == {"/api/v2/alerts", "/webhook"}
    for one in flapped:
        signals = system.all(f"/v1/incidents/{one['id']}/signals")
        assert sorted(signal["status"] for signal in signals) == ["firing", "resolved"]
        assert len({signal["fingerprint"] for signal in signals}) == 1
        assert all(signal["repeats"] >= 1 for signal in signals), "the other route is a repeat"


def test_an_incident_has_the_times_that_prometheus_stated(
    flapped: list[Json], sent: dict[str, Posts]
) -> None:
    stated = {
        (alert["startsAt"], alert["endsAt"])
        for post in sent["/ingest/alertmanager"]
        for alert in post.document["alerts"]
        if alert["labels"]["alertname"] == "InstanceDown" and alert["status"] == "resolved"
    }
    moments = {(instant(start), instant(end)) for start, end in stated}
    assert {(instant(one["opened_at"]), instant(one["resolved_at"])) for one in flapped} == moments


def test_the_timeline_says_that_the_alert_did_it_and_not_whose_key_delivered_it(
    system: Groundswell, flapped: list[Json]
) -> None:
    for one in flapped:
        entries = system.all(f"/v1/incidents/{one['id']}/timeline")
        assert [entry["kind"] for entry in entries] == ["opened", "resolved"]
        assert {entry["actor"] for entry in entries} == {"signals:prometheus"}


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_the_candidate_names_the_numbers_that_raised_it(
    system: Groundswell, flapped: list[Json]
) -> None:
    candidate = candidate_of(system, flapped[-1])
    assert candidate["product"] == "shop"
    assert candidate["service"] == "checkout"
    assert candidate["evidence_total"] == FLAPS
    reasons = {reason["name"]: reason for reason in candidate["reasons"]}
    assert reasons["count"]["numbers"] == {"count": FLAPS, "threshold": POLICY["on"]}
    assert reasons["above_baseline"]["numbers"]["p"] < POLICY["alpha"]
    assert f"{FLAPS} occurrences in 28 days" in reasons["count"]["text"]
    assert candidate["score"] > 0
    assert candidate["breakdown"]["text"]


def test_the_trace_shows_the_road_from_the_signal_to_the_candidate(
    system: Groundswell, flapped: list[Json]
) -> None:
    incident = flapped[-1]
    candidate = candidate_of(system, incident)
    road = system.get(f"/v1/trace/{incident['id']}")
    assert not road["unavailable"]
    assert road["incident"]["id"] == incident["id"]
    assert road["theme"]["id"] == candidate["theme_id"]
    assert road["candidate"]["id"] == candidate["id"]
    assert {row["source_id"] for row in road["evidence"]} == {one["id"] for one in flapped}
    stations = [station["station"] for station in road["stations"]]
    for station in ("signal", "incident", "theme", "candidate"):
        assert station in stations
    assert road["item"] is None


def test_another_rule_of_the_same_target_is_another_incident(
    system: Groundswell,
    flapped: list[Json],
    checkout: Target,
    webhook: Capture,
    sent: dict[str, Posts],
) -> None:
    checkout.failing = 0.25
    heard_by_webhook(webhook, sent, "HighErrorRate", "firing")
    checkout.failing = 0.0
    heard_by_webhook(webhook, sent, "HighErrorRate", "resolved")
    until(lambda: system.incidents("HighErrorRate"), "an incident of the error rate")
    [incident] = system.incidents("HighErrorRate")
    assert "of the requests to checkout fail" in incident["title"]
    assert incident["severity"] == "high"
    assert len(system.incidents("InstanceDown")) == FLAPS
    settled = system.snapshot()
    assert len(settled["candidates"]) == 1, "one occurrence is no candidate"


@pytest.mark.parametrize("order", [list, reversed], ids=["in order", "the last first"])
def test_replaying_every_body_that_either_sender_sent_changes_nothing(
    system: Groundswell,
    flapped: list[Json],
    sent: dict[str, Posts],
    order: Callable[[Posts], Posts],
) -> None:
    candidate_of(system, flapped[-1])
    before, counted = system.snapshot(), system.signals_counted()
    for path, posts in sent.items():
        assert posts
        for post in order(posts):
            assert system.send(path, post.body).status_code in (200, 202)
    assert system.snapshot() == before
    assert system.signals_counted() > counted, "the repeats are counted"


@pytest.mark.parametrize("number", [SIGTERM, SIGKILL], ids=lambda number: number.name)
def test_a_restart_of_alertmanager_changes_nothing(
    system: Groundswell,
    senders: tuple[Prometheus, Alertmanager],
    flapped: list[Json],
    checkout: Target,
    webhook: Capture,
    sent: dict[str, Posts],
    number: Signals,
) -> None:
    candidate_of(system, flapped[-1])
    _, manager = senders
    queue = f"refunds-{number.name.lower()}"
    checkout.stuck |= {queue}
    heard_by_webhook(webhook, sent, "QueueStuck", "firing")
    until(lambda: open_of(system, queue), "an incident of the queue")
    before = system.snapshot()
    told = system.metric("http_server_requests_total", route="/ingest/alertmanager")

    manager.program.stop(number)
    manager.program.start()
    until(lambda: "QueueStuck" in manager.firing(), "Prometheus told the new Alertmanager")
    until(lambda: looked_up(manager) >= GROUPS_LOOKED_UP, "it asked itself what it had told")
    if number == SIGKILL:
        # It lost the note of what it had told, and tells it once more.
        until(
            lambda: (
                system.metric("http_server_requests_total", route="/ingest/alertmanager") > told
            ),
            "Alertmanager told Groundswell again",
        )
        heard_by_webhook(webhook, sent, "QueueStuck", "firing")
    assert system.snapshot() == before

    checkout.stuck -= {queue}
    until(lambda: not open_of(system, queue), "the incident of the queue is resolved")
    heard_by_webhook(webhook, sent, "QueueStuck", "resolved")
    assert len([one for one in system.incidents("QueueStuck") if queue in one["title"]]) == 1


GROUPS_LOOKED_UP = 8
"""By then Alertmanager looked each of the three groups up in its notification log, for either of
its two receivers."""


def looked_up(manager: Alertmanager) -> float:
    return manager.metric("alertmanager_nflog_queries_total")


def open_of(system: Groundswell, queue: str) -> list[Json]:
    """The open incidents of a queue."""
    every = system.incidents("QueueStuck")
    return [one for one in every if queue in one["title"] and one["state"] == "open"]


def test_prometheus_finds_every_rule_sound(
    senders: tuple[Prometheus, Alertmanager], flapped: list[Json]
) -> None:
    health = senders[0].rules()
    assert len(health) == 5
    assert set(health.values()) == {"ok"}


def test_neither_sender_was_ever_refused(
    system: Groundswell, senders: tuple[Prometheus, Alertmanager], flapped: list[Json]
) -> None:
    server, manager = senders
    mine = f'{{alertmanager="{system.url}/api/v2/alerts"}}'
    until(lambda: server.value(f"prometheus_notifications_sent_total{mine}"), "Prometheus says so")
    assert server.value(f"prometheus_notifications_errors_total{mine}") == 0
    assert server.value("prometheus_notifications_dropped_total") == 0
    assert manager.metric("alertmanager_notifications_failed_total", integration="webhook") == 0
    for code in ("400", "401", "403", "500", "503"):
        for route in ("/api/v2/alerts", "/ingest/alertmanager"):
            assert system.metric("http_server_requests_total", route=route, code=code) == 0


def test_prometheus_reads_the_accepted_signals_back_from_our_metrics(
    system: Groundswell, senders: tuple[Prometheus, Alertmanager], flapped: list[Json]
) -> None:
    server, manager = senders
    server.tell_nobody()
    manager.program.stop()
    system.settle()
    counted = system.signals_counted()
    accepted = 'ingest_accepted_total{job="groundswell", source="prometheus"}'
    until(lambda: server.value(accepted) == counted, f"Prometheus reads {counted} back")
    assert system.signals_counted() == counted, "nobody sends any more"
    assert server.value('up{job="groundswell"}') == 1
    [(labels, _, opened)] = server.query(
        'incidents_opened_total{job="groundswell", severity="critical"}'
    )
    assert opened == FLAPS
    assert labels["instance"] == system.url.removeprefix("http://")
    late = server.value('scrape_duration_seconds{job="groundswell"}')
    assert late is not None
    assert timedelta(seconds=late) < timedelta(seconds=1)
