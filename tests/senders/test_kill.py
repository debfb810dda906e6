"""Groundswell is killed while alerts fire. Its senders try again: nothing is lost, nothing doubled."""

from collections.abc import Generator
from datetime import datetime
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

from tests.senders.capture import Capture, post_alerts
from tests.senders.groundswell import Groundswell, groundswell
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

QUEUES = frozenset(f"queue-{number:02}" for number in range(12))
EARLY = frozenset(sorted(QUEUES)[:6])
LATE = QUEUES - EARLY
MISSED = frozenset({"queue-missed"})
"""Stuck, and worked off again, while Groundswell is down."""

Json = Any
Occurrence = tuple[str, datetime]
"""A queue, and when Prometheus says that its alert began."""


@pytest.fixture(scope="module")
def system(folder: Path) -> Generator[Groundswell]:
    """Lenient enough about expiry to be down for a few seconds."""
    with groundswell(folder, reopen_window_minutes="0", expiry_grace_seconds="5") as running:
        yield running


@pytest.fixture(scope="module")
def manager(folder: Path, system: Groundswell, webhook: Capture) -> Generator[Alertmanager]:
    with alertmanager(folder, system, webhook) as running:
        yield running


@pytest.fixture(scope="module")
def sender(
    folder: Path, system: Groundswell, checkout: Target, manager: Alertmanager, wire: Capture
) -> Generator[Prometheus]:
    """Both routes lead to Groundswell."""
    told = [
        as_alertmanager(system.url, system.sender_key),
        as_alertmanager(manager.url),
        as_alertmanager(wire.url),
    ]
    with prometheus(folder, told, [scraped("checkout", checkout.url)]) as running:
        yield running


class Said:
    """What Prometheus said, as the capture has it: the truth that Groundswell must arrive at."""

    def __init__(self, wire: Capture) -> None:
        self.wire = wire
        self.ends: dict[Occurrence, datetime] = {}

    def listen(self) -> dict[Occurrence, datetime]:
        """Each occurrence with its last `endsAt`."""
        while not self.wire.posts.empty():
            for alert in self.wire.take().document:
                begun = datetime.fromisoformat(alert["startsAt"])
                key = alert["labels"]["queue"], begun
                self.ends[key] = datetime.fromisoformat(alert["endsAt"])
        return self.ends

    def queues(self) -> set[str]:
        return {queue for queue, _ in self.listen()}


def kill_and_start(system: Groundswell) -> None:
    system.program.stop(SIGKILL)
    system.program.start()


def queue_of(incident: Json) -> str:
    return incident["labels"]["queue"]


def queues_in(system: Groundswell, state: str) -> set[str]:
    return {queue_of(one) for one in system.incidents("QueueStuck") if one["state"] == state}


def test_what_fires_while_groundswell_is_killed_is_there_once(
    system: Groundswell, sender: Prometheus, checkout: Target, wire: Capture
) -> None:
    said = Said(wire)

    # In the middle of the first posts.
    checkout.stuck = EARLY
    until(said.queues, "Prometheus sends", pause=0.002)
    kill_and_start(system)
    until(lambda: queues_in(system, "open") == EARLY, "the first queues are open incidents")

    # While some begin and others end.
    checkout.stuck = LATE
    until(lambda: said.queues() >= LATE, "Prometheus sends the others", pause=0.002)
    kill_and_start(system)
    until(lambda: queues_in(system, "open") == LATE, "the other queues are open incidents")
    until(lambda: queues_in(system, "resolved") == EARLY, "the first ones are resolved")

    # Down, while one begins and ends, and all the others end.
    system.program.stop(SIGKILL)
    checkout.stuck = LATE | MISSED
    until(lambda: said.queues() >= MISSED, "Prometheus says that the last queue is stuck")
    checkout.stuck = frozenset()
    until(lambda: not sender.query('ALERTS{alertstate="firing"}'), "nothing fires any more")
    system.program.start()
    all_of_them = QUEUES | MISSED
    until(lambda: queues_in(system, "resolved") == all_of_them, "every queue is resolved")

    system.settle()
    incidents = system.incidents("QueueStuck")
    stated = said.listen()
    assert {(queue_of(one), moment(one["opened_at"])) for one in incidents} == set(stated)
    assert len(incidents) == len(stated) == len(all_of_them)
    for one in incidents:
        occurrence = queue_of(one), moment(one["opened_at"])
        assert moment(one["resolved_at"]) == stated[occurrence]
        assert (one["resolutions"], one["reopenings"]) == (1, 0)
        entries = system.all(f"/v1/incidents/{one['id']}/timeline")
        assert [entry["version"] for entry in entries] == list(range(1, one["version"] + 1))
        signals = system.all(f"/v1/incidents/{one['id']}/signals")
        statuses = sorted(signal["status"] for signal in signals)
        assert statuses in (["firing", "resolved"], ["resolved"])
    assert system.get("/v1/themes/summary")["evidence_by_kind"] == {"incident": len(all_of_them)}
    assert system.metric("dead_letters_total") == 0


def test_what_groundswell_took_from_alertmanager_survives_a_kill(
    system: Groundswell, manager: Alertmanager
) -> None:
    """Alertmanager tells a thing once: what was acknowledged and lost would never come again."""
    names = {f"BatchJobFailed{number:02}" for number in range(60)}
    before = acknowledged(manager)
    post_alerts(
        manager.url,
        [{"labels": {"alertname": name, "service": "batch", "severity": "high"}} for name in names],
    )
    half = before + len(names) // 2
    until(lambda: acknowledged(manager) >= half, "half of them are taken", pause=0.001)
    kill_and_start(system)
    until(lambda: names <= {one["alert_name"] for one in system.incidents()}, "all are there")
    system.settle()
    of_batch = [one for one in system.incidents() if one["alert_name"] in names]
    assert len(of_batch) == len(names)
    assert {(one["state"], one["version"]) for one in of_batch} == {("open", 1)}


def acknowledged(manager: Alertmanager) -> int:
    """How many of its webhooks Groundswell answered with success, as Alertmanager logs it."""
    told = 'integration=webhook[0] msg="Notify success"'
    return manager.program.log.read_text(errors="replace").count(told)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
