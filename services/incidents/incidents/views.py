"""The answers about incidents: their shapes, and how an incident becomes one."""

from datetime import datetime
from typing import Any

from services.incidents.incidents.incident import Incident, LinkKind, State
from shared.contracts.incidents import Severity
from shared.contracts.roadmap import Horizon, ItemState
from shared.http.fields import View


class IncidentLinkView(View):
    """A record elsewhere that the incident is tied to."""

    kind: LinkKind
    reference: str


class IncidentView(View):
    """An incident."""

    id: str
    source: str
    external_ref: str | None
    fingerprint: str | None
    title: str
    alert_name: str | None
    description: str
    service: str
    claimed_service: str | None
    product: str
    tier: int
    severity: Severity
    state: State
    opened_at: datetime
    acknowledged_at: datetime | None
    mitigated_at: datetime | None
    resolved_at: datetime | None
    closed_at: datetime | None
    reopened_at: datetime | None
    assignee: str | None
    customers_affected: int | None
    revenue_at_risk: float | None
    responder_hours: float | None
    labels: dict[str, str]
    links: list[IncidentLinkView]
    resolutions: int
    reopenings: int
    silenced_by: str | None
    """The silence that all of it fell into. It counts for nothing, but all else is done to it."""
    parent_id: str | None
    """The incident that it is a part of: then it counts for nothing, but all else is done to it."""
    correlated_by: str | None
    """The rule that says so; `flapping` says that its alert had fired too often."""
    version: int


class ListedIncidentView(IncidentView):
    """An incident, and how many are a part of it."""

    children: int


class IncidentItemView(View):
    """The roadmap item that deals with the incident's theme."""

    item_id: str
    title: str
    state: ItemState
    horizon: Horizon
    quarter: str | None
    delivered_at: datetime | None


class IncidentDetailView(ListedIncidentView):
    """An incident, with what its signals, its theme and the roadmap say."""

    episodes: int
    """How often its alert fired."""
    signals: int
    repeats: int
    truncated: int
    """Alerts that a sender left out of a message about this incident: there may be more to it."""
    theme_id: str | None
    item: IncidentItemView | None


class IncidentEntryView(View):
    """One step of an incident. `at` is when it happened, `recorded_at` when we heard of it."""

    version: int
    kind: str
    at: datetime
    recorded_at: datetime
    actor: str
    data: dict[str, Any]


class IncidentSummaryView(View):
    """What there is, in numbers."""

    signals: int
    """Distinct occurrences stored."""
    repeats: int
    """Redeliveries and repeats of those."""
    incidents: int
    open: int
    """Open, acknowledged or mitigated now."""
    opened: int
    """Ever opened."""
    resolved: int
    """Resolved at least once; `incidents` less `open` are so now."""
    reopened: int
    """Reopened at least once."""
    resolutions: int
    reopenings: int
    silenced: int
    """Of `incidents`, those that fell into a silence."""
    correlated: int
    """Of `incidents`, those that are a part of another."""
    by_severity: dict[Severity, int]
    open_by_severity: dict[Severity, int]


def shown(incident: Incident) -> IncidentView:
    """The answer to a command that left the incident so."""
    return IncidentView.model_validate(incident)
