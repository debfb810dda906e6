"""An incident, and how its timeline's entries make it. No I/O, no rule: what is recorded, counts.

What happened is said in the published contracts. What must not leave the service (a comment's
text, the alert's fingerprint) stands beside, in `Entry.kept`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from services.incidents.catalog.domain import UNASSIGNED
from shared.contracts import incidents as said
from shared.contracts.incidents import IncidentEvent, Severity

State = Literal["open", "acknowledged", "mitigated", "resolved", "closed"]
LinkKind = Literal["problem", "change", "ticket"]

OPEN_STATES: tuple[State, ...] = ("open", "acknowledged", "mitigated")


@dataclass(frozen=True, slots=True)
class Link:
    """A record elsewhere that this incident is tied to."""

    kind: LinkKind
    reference: str


@dataclass(frozen=True, slots=True)
class Incident:
    """Everything the rules look at; `version` counts the entries of its timeline."""

    id: str
    source: str
    external_ref: str | None
    fingerprint: str | None
    """With `source`, the dedup key of the alert that raised it; None when no alert did."""
    title: str
    alert_name: str | None
    description: str
    service: str
    claimed_service: str | None
    """The service as the sender named it; what a later catalog entry can still claim."""
    product: str
    tier: int
    severity: Severity
    opened_at: datetime
    labels: Mapping[str, str]
    links: tuple[Link, ...] = ()
    customers_affected: int | None = None
    revenue_at_risk: float | None = None
    responder_hours: float | None = None
    assignee: str | None = None
    state: State = "open"
    acknowledged_at: datetime | None = None
    mitigated_at: datetime | None = None
    resolved_at: datetime | None = None
    closed_at: datetime | None = None
    reopened_at: datetime | None = None
    by_hand_at: datetime | None = None
    """When a person last resolved or reopened it: older signals don't overrule that."""
    resolutions: int = 0
    reopenings: int = 0
    silenced_by: str | None = None
    """The silence that all of it fell into; None when any of it was to be heard."""
    parent_id: str | None = None
    """The incident that it is a part of; None when it stands by itself."""
    correlated_by: str | None = None
    """The rule that says so."""
    version: int = 1

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES


@dataclass(frozen=True, slots=True)
class Entry:
    """One step of an incident: the published event, and what only this service keeps of it."""

    event: IncidentEvent
    kept: Mapping[str, Any] = field(default_factory=dict[str, Any])


def begin(entry: Entry) -> Incident:
    """The incident that an `opened` entry begins."""
    event, kept = entry.event, entry.kept
    assert isinstance(event, said.IncidentOpened)
    return Incident(
        id=event.incident_id,
        source=event.source,
        external_ref=kept.get("external_ref"),
        fingerprint=kept.get("fingerprint"),
        title=event.title,
        alert_name=event.alert_name,
        description=kept.get("description", ""),
        service=event.service,
        claimed_service=kept.get("claimed_service"),
        product=event.product,
        tier=event.tier,
        severity=event.severity,
        opened_at=event.at,
        labels=event.labels,
        links=tuple(Link(link["kind"], link["reference"]) for link in kept.get("links", ())),
        customers_affected=event.customers_affected,
        silenced_by=event.silenced_by,
    )


def evolve(incident: Incident, entry: Entry) -> Incident:
    """The incident after this entry. Takes what is recorded as it stands; checks nothing."""
    changed = _changed(incident, entry.event, by_hand=bool(entry.kept.get("by_hand")))
    return replace(incident, version=incident.version + 1, **changed)


def _changed(incident: Incident, event: IncidentEvent, *, by_hand: bool) -> dict[str, Any]:
    """The fields that an event changes."""
    at = event.at
    hand = {"by_hand_at": at} if by_hand else {}
    match event:
        case said.IncidentRedated():
            return {"opened_at": at}
        case said.IncidentSilenced():
            return {"silenced_by": event.silenced_by}
        case said.IncidentUnsilenced():
            return {"silenced_by": None}
        case said.IncidentCorrelated():
            return {"parent_id": event.parent_id, "correlated_by": event.rule}
        case said.IncidentUncorrelated():
            return {"parent_id": None, "correlated_by": None}
        case said.IncidentAcknowledged():
            return {"state": "acknowledged", "acknowledged_at": at}
        case said.IncidentMitigated():
            return {"state": "mitigated", "mitigated_at": at}
        case said.IncidentResolved():
            resolutions = incident.resolutions + 1
            return {"state": "resolved", "resolved_at": at, "resolutions": resolutions, **hand}
        case said.IncidentReopened():
            over = {"resolved_at": None, "closed_at": None}
            reopenings = incident.reopenings + 1
            return {"state": "open", "reopened_at": at, "reopenings": reopenings, **over, **hand}
        case said.IncidentClosed():
            return {"state": "closed", "closed_at": at}
        case said.IncidentSeverityChanged():
            return {"severity": event.severity}
        case said.IncidentAssigned():
            return {"assignee": event.assignee}
        case said.IncidentServiceAssigned():
            unknown = event.product == UNASSIGNED  # and then a name that may yet be claimed
            claimed = {"claimed_service": event.service} if unknown else {}
            placed = {"service": event.service, "product": event.product, "tier": event.tier}
            return {**placed, **claimed}
        case said.IncidentImpactAssessed():
            return {
                "customers_affected": event.customers_affected,
                "revenue_at_risk": event.revenue_at_risk,
                "responder_hours": event.responder_hours,
            }
        case said.IncidentLinked():
            return {"links": (*incident.links, Link(event.kind, event.reference))}
        case _:  # a comment
            return {}
