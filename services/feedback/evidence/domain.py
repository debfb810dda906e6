"""One row of the ledger, and what each incident event makes of it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from shared.contracts import Contract
from shared.contracts.incidents import (
    IncidentCorrelated,
    IncidentImpactAssessed,
    IncidentLinked,
    IncidentOpened,
    IncidentRedated,
    IncidentReopened,
    IncidentResolved,
    IncidentServiceAssigned,
    IncidentSeverityChanged,
    IncidentSilenced,
    IncidentUncorrelated,
    IncidentUnsilenced,
)

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True)
class Entry:
    """Evidence of one theme at a time: `theme_id` is None for what was unlinked from every theme, and
    for an incident while it is `silenced` or part of another, its `parent_id`: that is kept up to date, and
    is evidence of nothing.

    `ended_at` None: it goes on still. `severity_then` is what was known at its opening.
    `source_version` is the version of the source's last event that was taken in. `voice` and
    `customer` say whose word it is, when it is feedback.
    """

    id: str
    theme_id: str | None
    kind: str
    source_id: str
    source_version: int
    at: datetime
    product: str
    service: str
    title: str
    alert_name: str | None
    labels: Mapping[str, str]
    ended_at: datetime | None = None
    severity_then: str | None = None
    severity: str | None = None
    customers: int | None = None
    tier: int | None = None
    responder_hours: float | None = None
    revenue_at_risk: float | None = None
    linked: bool = False
    votes: int = 0
    voice: str | None = None
    customer: str | None = None
    silenced: bool = False
    parent_id: str | None = None

    @property
    def counts(self) -> bool:
        """Is it evidence of anything?"""
        return not self.silenced and self.parent_id is None


def opened(entry_id: str, event: IncidentOpened, version: int) -> Entry:
    """The first entry of an incident; it has no theme yet."""
    return Entry(
        id=entry_id,
        theme_id=None,
        kind="incident",
        source_id=event.incident_id,
        source_version=version,
        at=event.at,
        product=event.product,
        service=event.service,
        title=event.title,
        alert_name=event.alert_name,
        labels=event.labels,
        severity_then=event.severity,
        severity=event.severity,
        customers=event.customers_affected,
        tier=event.tier,
        linked=event.linked,
        silenced=event.silenced_by is not None,
    )


# event               ended_at   what changes
# redated             ≥ at       at: when it began
# silenced            –          silenced: it is evidence of nothing, from its opening on
# unsilenced          –          not silenced: it is evidence, from its opening on
# correlated          –          parent_id: it is evidence of nothing, from its opening on
# uncorrelated        –          no parent_id: it is evidence, from its opening on
# severity_changed    –          severity (severity_then stays as it was known at the opening)
# impact_assessed     –          customers, revenue and hours, as far as they are stated
# service_assigned    –          service, product, tier: the entry belongs to another theme then
# linked              –          linked
# resolved            at         a resolution before the opening counts as one at the opening
# reopened            null       it goes on again
def evolve(entry: Entry, event: Contract, version: int) -> Entry:
    """The entry after an event of its incident; the very same object for a stale or foreign one."""
    if version <= entry.source_version:
        return entry
    match event:
        case IncidentRedated():
            ended_at = entry.ended_at and max(entry.ended_at, event.at)
            changed = replace(entry, at=event.at, ended_at=ended_at)
        case IncidentSilenced():
            changed = replace(entry, silenced=True)
        case IncidentUnsilenced():
            changed = replace(entry, silenced=False)
        case IncidentCorrelated():
            changed = replace(entry, parent_id=event.parent_id)
        case IncidentUncorrelated():
            changed = replace(entry, parent_id=None)
        case IncidentSeverityChanged():
            changed = replace(entry, severity=event.severity)
        case IncidentImpactAssessed():
            changed = replace(
                entry,
                customers=_stated(event.customers_affected, entry.customers),
                revenue_at_risk=_stated(event.revenue_at_risk, entry.revenue_at_risk),
                responder_hours=_stated(event.responder_hours, entry.responder_hours),
            )
        case IncidentServiceAssigned():
            changed = replace(entry, service=event.service, product=event.product, tier=event.tier)
        case IncidentLinked():
            changed = replace(entry, linked=True)
        case IncidentResolved():
            changed = replace(entry, ended_at=max(event.at, entry.at))
        case IncidentReopened():
            changed = replace(entry, ended_at=None)
        case _:
            return entry
    return replace(changed, source_version=version)


def _stated(new: Number | None, old: Number | None) -> Number | None:
    return old if new is None else new
