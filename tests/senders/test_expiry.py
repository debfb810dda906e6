"""An alert that Prometheus stopped sending has ended when its `endsAt` passes, and not before."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

from tests.senders.capture import Capture
from tests.senders.groundswell import Groundswell
from tests.senders.monitoring import (
    EXPIRES_SECONDS,
    Prometheus,
    as_alertmanager,
    prometheus,
    scraped,
)
from tests.senders.programs import until
from tests.senders.target import Target

GRACE = timedelta(seconds=2)
"""As the fixture `system` sets it."""
TIMER = timedelta(seconds=5 + 1)
"""How often Groundswell looks for what expired, and a second to do it."""

Json = Any


@pytest.fixture(scope="module")
def sender(
    folder: Path, system: Groundswell, checkout: Target, wire: Capture
) -> Generator[Prometheus]:
    """Prometheus sends to Groundswell alone; the capture only listens."""
    told = [as_alertmanager(system.url, system.sender_key), as_alertmanager(wire.url)]
    with prometheus(folder, told, [scraped("checkout", checkout.url)]) as running:
        yield running


@pytest.fixture(scope="module")
def firing(system: Groundswell, sender: Prometheus, checkout: Target) -> Json:
    """The incident of an alert that fires from now on."""
    checkout.stuck = frozenset({"refunds"})
    return until(lambda: only_incident(system), "an incident of the queue")


def only_incident(system: Groundswell) -> Json | None:
    found = system.incidents("QueueStuck")
    assert len(found) <= 1, found
    return found[0] if found else None


def resolved(system: Groundswell) -> Json | None:
    incident = only_incident(system)
    return incident if incident and incident["resolved_at"] else None


def ends_of(wire: Capture) -> list[datetime]:
    """When the alert would end, as of each post since the last call."""
    ends: list[datetime] = []
    while not wire.posts.empty():
        ends += [datetime.fromisoformat(one["endsAt"]) for one in wire.take().document]
    return ends


def wait_for(moment: datetime) -> None:
    until(lambda: datetime.now(UTC) > moment, f"it is {moment}")


def test_an_alert_stays_open_as_long_as_it_is_sent_again(
    system: Groundswell, firing: Json, wire: Capture
) -> None:
    stated = until(lambda: ends_of(wire), "the capture got the alert, too")[-1]
    assert stated - datetime.now(UTC) <= timedelta(seconds=EXPIRES_SECONDS)
    wait_for(stated + GRACE + TIMER)
    assert only_incident(system) == firing, "what is sent again moves its end"


def test_an_alert_does_not_expire_because_groundswell_was_down(
    system: Groundswell, firing: Json, wire: Capture
) -> None:
    system.program.stop(SIGKILL)
    stated = ends_of(wire)[-1]
    wait_for(stated + GRACE)
    system.program.start()
    wait_for(datetime.now(UTC) + GRACE + TIMER)
    assert only_incident(system) == firing


def test_an_alert_whose_prometheus_is_gone_ended_when_it_was_promised_to(
    system: Groundswell, firing: Json, sender: Prometheus, wire: Capture
) -> None:
    assert only_incident(system) == firing
    sender.program.stop(SIGKILL)
    stated = ends_of(wire)[-2:]  # the capture may have got one post more, or one less
    assert datetime.now(UTC) < stated[-1]
    ended = until(lambda: resolved(system), "the incident is resolved")
    assert datetime.fromisoformat(ended["resolved_at"]) in stated
    _, entry = system.all(f"/v1/incidents/{ended['id']}/timeline")
    assert (entry["kind"], entry["actor"]) == ("resolved", "signals:prometheus")
    assert entry["recorded_at"] > entry["at"], "nobody foresees an end"
    assert system.metric("signals_expired_total") == 1
