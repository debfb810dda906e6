"""Events of the incidents service: the catalog and the incidents' lifecycle. Keyed by aggregate."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from shared.contracts.contract import Contract

TOPIC = "incidents.events"

Severity = Literal["critical", "high", "medium", "low"]


class IncidentsContract(Contract):
    TOPIC: ClassVar[str] = TOPIC


class ServiceRegistered(IncidentsContract):
    """A service entered the catalog. Subject: the service's name."""

    TYPE: ClassVar[str] = "groundswell.service.registered.v1"
    name: str
    product: str
    owner: str | None = None
    tier: int = 3
    dependencies: list[str] = []
    aliases: list[str] = []


class ServiceChanged(ServiceRegistered):
    """A catalog entry was edited; the payload is the whole new state."""

    TYPE: ClassVar[str] = "groundswell.service.changed.v1"


class IncidentEvent(IncidentsContract):
    """What every incident event carries. Subject: `incident_id`; `time` of the envelope: `at`."""

    incident_id: str
    at: datetime
    """When it happened, by the sender's or the person's clock: event time, never arrival."""


class IncidentOpened(IncidentEvent):
    """A new incident. `at` is when it began."""

    TYPE: ClassVar[str] = "groundswell.incident.opened.v1"
    source: str
    title: str
    alert_name: str | None = None
    service: str
    """Catalog name, or the name the sender claimed, or `unassigned`."""
    product: str
    """The catalog's product of that service, or `unassigned`."""
    tier: int = 3
    severity: Severity
    customers_affected: int | None = None
    labels: dict[str, str] = {}
    linked: bool = False
    """True when it opened with a link to a problem, a change or an item."""
    silenced_by: str | None = None
    """The silence that it fell into: it counts for nothing until it is unsilenced."""


class IncidentRedated(IncidentEvent):
    """A late signal showed that it began at another time than was said. `at` is when it began."""

    TYPE: ClassVar[str] = "groundswell.incident.redated.v1"
    was_opened_at: datetime
    silenced_by: str | None = None
    """As in `incident.opened`: the silence that it falls into as far as is known by now."""


class IncidentSilenced(IncidentEvent):
    """What is known by now says that all of it fell into a silence: it counts for nothing after all.

    `at` is when it began.
    """

    TYPE: ClassVar[str] = "groundswell.incident.silenced.v1"
    silenced_by: str


class IncidentUnsilenced(IncidentEvent):
    """It fires where no silence holds: it counts like any other, from its beginning on.

    `at` is when a silence first held no longer, or what isn't silenced joined it.
    """

    TYPE: ClassVar[str] = "groundswell.incident.unsilenced.v1"
    was_silenced_by: str
    opened_at: datetime
    """When it began: as of then it counts."""


class IncidentCorrelated(IncidentEvent):
    """It is part of another incident: a child, which counts for nothing while it is one.

    `at` is when it began. Said again when its parent, or the rule, is another.
    """

    TYPE: ClassVar[str] = "groundswell.incident.correlated.v1"
    parent_id: str
    rule: str
    why: str
    """One sentence, for people."""


class IncidentUncorrelated(IncidentEvent):
    """It is no part of another after all: it counts like any other, from its beginning on.

    `at` is when it began.
    """

    TYPE: ClassVar[str] = "groundswell.incident.uncorrelated.v1"
    was_parent_id: str
    was_rule: str


class IncidentAcknowledged(IncidentEvent):
    """Somebody has seen it and is on it."""

    TYPE: ClassVar[str] = "groundswell.incident.acknowledged.v1"
    by: str


class IncidentAssigned(IncidentEvent):
    """A person took it, or was given it."""

    TYPE: ClassVar[str] = "groundswell.incident.assigned.v1"
    assignee: str | None


class IncidentSeverityChanged(IncidentEvent):
    """A person or a sender rated it otherwise."""

    TYPE: ClassVar[str] = "groundswell.incident.severity_changed.v1"
    severity: Severity
    was: Severity


class IncidentImpactAssessed(IncidentEvent):
    """Who was hit, as far as is known; each assessment replaces the one before."""

    TYPE: ClassVar[str] = "groundswell.incident.impact_assessed.v1"
    customers_affected: int | None = None
    revenue_at_risk: float | None = Field(default=None, description="in the deployment's currency")
    responder_hours: float | None = None


class IncidentServiceAssigned(IncidentEvent):
    """The service became known, or was corrected; its evidence follows to the new product."""

    TYPE: ClassVar[str] = "groundswell.incident.service_assigned.v1"
    service: str
    product: str
    tier: int
    was_service: str
    was_product: str


class IncidentLinked(IncidentEvent):
    """Somebody tied it to a problem record, a change or a ticket elsewhere."""

    TYPE: ClassVar[str] = "groundswell.incident.linked.v1"
    kind: Literal["problem", "change", "ticket"]
    reference: str


class IncidentCommented(IncidentEvent):
    """A comment was added; its text stays in the incidents service."""

    TYPE: ClassVar[str] = "groundswell.incident.commented.v1"
    by: str


class IncidentMitigated(IncidentEvent):
    """The harm is stopped; the cause is not yet gone."""

    TYPE: ClassVar[str] = "groundswell.incident.mitigated.v1"


class IncidentResolved(IncidentEvent):
    """It is over. `at` is when it ended."""

    TYPE: ClassVar[str] = "groundswell.incident.resolved.v1"
    opened_at: datetime


class IncidentReopened(IncidentEvent):
    """It came back after it was resolved."""

    TYPE: ClassVar[str] = "groundswell.incident.reopened.v1"


class IncidentClosed(IncidentEvent):
    """Nothing more is to be done; it stays as it is."""

    TYPE: ClassVar[str] = "groundswell.incident.closed.v1"


EVENTS: tuple[type[Contract], ...] = (
    ServiceRegistered,
    ServiceChanged,
    IncidentOpened,
    IncidentRedated,
    IncidentSilenced,
    IncidentUnsilenced,
    IncidentCorrelated,
    IncidentUncorrelated,
    IncidentAcknowledged,
    IncidentAssigned,
    IncidentSeverityChanged,
    IncidentImpactAssessed,
    IncidentServiceAssigned,
    IncidentLinked,
    IncidentCommented,
    IncidentMitigated,
    IncidentResolved,
    IncidentReopened,
    IncidentClosed,
)
