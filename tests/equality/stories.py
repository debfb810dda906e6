"""Incidents' lives, made up from a seed: bursts, stragglers, corrections, returns."""

import random
from datetime import datetime, timedelta
from typing import Any

from shared.contracts import incidents
from shared.envelope import Event
from tests.feedback.conftest import day, of_incident, opened, reassigned, redated

SERVICES = ("payments", "PAYMENTS", "search", "search", "mail")
TITLES = ("Answers slowly", "answers SLOWLY", "Answers slowly", "Queue is full")


def story(rng: random.Random, incident_id: str, first: float, last: float) -> list[Event]:
    """One incident of the days from `first` to `last`; often long, corrected or reopened."""
    at = day(first + (last - first) * rng.choice([rng.random() * 0.2, rng.random()]))
    severity = rng.choice(["low", "critical"])
    said: dict[str, Any] = {
        "service": rng.choice(SERVICES),
        "title": rng.choice(TITLES),
        "severity": severity,
        "customers_affected": rng.choice([None, rng.randrange(90)]),
    }
    hushed = rng.random() < 0.2
    life = [opened(incident_id, at, **said, silenced_by="sil_1" if hushed else None)]

    def later(hours: int) -> datetime:
        return life[-1].time + timedelta(hours=rng.randrange(1, hours))

    def add(contract: Any, at: datetime, **said: Any) -> None:
        life.append(of_incident(contract, incident_id, len(life) + 1, at, **said))

    if rng.random() < 0.25:
        life.append(reassigned(incident_id, 2, later(9), rng.choice(SERVICES)))
    if rng.random() < 0.25:
        start = min(at + timedelta(hours=rng.randrange(-300, 300)), day(last))
        life.append(
            redated(incident_id, len(life) + 1, start, at, silenced_by="sil_1" if hushed else None)
        )
        at = start
    if not hushed and rng.random() < 0.15:
        add(incidents.IncidentSilenced, at, silenced_by="sil_1")
        hushed = True
    if hushed and rng.random() < 0.6:
        said_again = {"was_silenced_by": "sil_1", "opened_at": at}
        add(incidents.IncidentUnsilenced, later(30), **said_again)
        hushed = False
    if rng.random() < 0.2:
        said_why = {"rule": "storm", "why": "By rule storm, it shares much."}
        add(incidents.IncidentCorrelated, at, parent_id="inc_other", **said_why)
        if rng.random() < 0.5:
            was = {"was_parent_id": "inc_other", "was_rule": "storm"}
            add(incidents.IncidentUncorrelated, at, **was)
    if rng.random() < 0.2:
        add(incidents.IncidentSeverityChanged, later(9), severity="high", was=severity)
    if rng.random() < 0.2:
        customers = rng.randrange(900)
        add(incidents.IncidentImpactAssessed, later(50), customers_affected=customers)
    if rng.random() < 0.1:
        add(incidents.IncidentLinked, later(50), kind="problem", reference="PRB-1")
    if rng.random() < 0.7:
        add(incidents.IncidentResolved, later(400), opened_at=at)
        if rng.random() < 0.2:
            add(incidents.IncidentReopened, later(20))
    return life
