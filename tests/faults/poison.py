"""Records that nobody can read, one for each topic, under keys that nobody else uses."""

import uuid
from collections.abc import Mapping

from shared.contracts import feedback, incidents, roadmap
from shared.envelope import Record

POISONED: Mapping[str, str] = {
    incidents.TOPIC: incidents.IncidentOpened.TYPE,
    feedback.TOPIC: feedback.ThemeEscalated.TYPE,
    roadmap.TOPIC: roadmap.CandidateRaised.TYPE,
}
"""Per topic a type that all its groups subscribe to."""


def poison_records() -> list[Record]:
    """One new unreadable record for each topic."""
    return [_poison(topic, kind) for topic, kind in POISONED.items()]


def _poison(topic: str, kind: str) -> Record:
    key = f"poison-{uuid.uuid4().hex}"
    headers = {"ce_id": f"evt_{uuid.uuid4().hex}", "ce_type": kind, "ce_subject": key}
    return Record(topic, key, headers, b"this is not JSON")
