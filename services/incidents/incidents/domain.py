"""What may be asked of an incident, and what then happens: commands, the state table, `decide`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.incidents.catalog.domain import DEFAULT_TIER, UNASSIGNED, Service
from services.incidents.incidents.incident import Entry, Incident, Link, State
from services.incidents.incidents.refusals import (
    IncidentAlready,
    IncidentNotOpen,
    IncidentNotResolved,
    TimeBeforeIncident,
)
from shared.clock import rfc3339
from shared.contracts import incidents as said
from shared.contracts.incidents import Severity


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """`entry` is the catalog's entry of `claimed_service`, or None when it has none."""

    id: str
    source: str
    title: str
    severity: Severity
    opened_at: datetime
    claimed_service: str | None = None
    entry: Service | None = None
    alert_name: str | None = None
    description: str = ""
    customers_affected: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    links: tuple[Link, ...] = ()
    fingerprint: str | None = None
    external_ref: str | None = None
    silenced_by: str | None = None


@dataclass(frozen=True, slots=True)
class Redate:
    """It began at another time than was said."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Silence:
    """All of it fell into silences, as far as is known by now; `by` is the first of them."""

    by: str


@dataclass(frozen=True, slots=True)
class Unsilence:
    """Some of it is to be heard, from then on."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Correlate:
    """By a rule it is part of another incident; `why` is one sentence."""

    parent_id: str
    rule: str
    why: str


@dataclass(frozen=True, slots=True)
class Uncorrelate:
    """It is part of no other incident."""


@dataclass(frozen=True, slots=True)
class Acknowledge:
    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class Mitigate:
    at: datetime


@dataclass(frozen=True, slots=True)
class Resolve:
    at: datetime
    by_hand: bool = True


@dataclass(frozen=True, slots=True)
class Reopen:
    at: datetime
    by_hand: bool = True


@dataclass(frozen=True, slots=True)
class Close:
    at: datetime


@dataclass(frozen=True, slots=True)
class ChangeSeverity:
    at: datetime
    severity: Severity


@dataclass(frozen=True, slots=True)
class Assign:
    at: datetime
    assignee: str | None


@dataclass(frozen=True, slots=True)
class AssignService:
    at: datetime
    entry: Service


@dataclass(frozen=True, slots=True)
class AssessImpact:
    at: datetime
    customers_affected: int | None
    revenue_at_risk: float | None
    responder_hours: float | None


@dataclass(frozen=True, slots=True)
class TieTo:
    at: datetime
    link: Link


@dataclass(frozen=True, slots=True)
class Comment:
    at: datetime
    by: str
    text: str


Command = (
    Redate
    | Silence
    | Unsilence
    | Correlate
    | Uncorrelate
    | Acknowledge
    | Mitigate
    | Resolve
    | Reopen
    | Close
    | ChangeSeverity
    | Assign
    | AssignService
    | AssessImpact
    | TieTo
    | Comment
)


def opened(command: OpenIncident) -> Entry:
    """What opening says. Of a service that the catalog lacks, the claimed name is kept as it is."""
    entry = command.entry
    event = said.IncidentOpened(
        incident_id=command.id,
        at=command.opened_at,
        source=command.source,
        title=command.title,
        alert_name=command.alert_name,
        service=entry.name if entry else command.claimed_service or UNASSIGNED,
        product=entry.product if entry else UNASSIGNED,
        tier=entry.tier if entry else DEFAULT_TIER,
        severity=command.severity,
        customers_affected=command.customers_affected,
        labels=dict(command.labels),
        linked=bool(command.links),
        silenced_by=command.silenced_by,
    )
    kept = {
        "fingerprint": command.fingerprint,
        "external_ref": command.external_ref,
        "claimed_service": command.claimed_service,
        "description": command.description,
        "links": [{"kind": link.kind, "reference": link.reference} for link in command.links],
    }
    return Entry(event, {name: value for name, value in kept.items() if value})


# The states, and what a command makes of each ("–": refused; "=": nothing changes, nothing is said).
#
#                open          acknowledged  mitigated   resolved    closed
# acknowledge    acknowledged  –             –           –           –
# mitigate       mitigated     mitigated     –           –           –
# resolve        resolved      resolved      resolved    –           –
# close          –             –             –           closed      –
# reopen         –             –             –           open        open, by a person only
# redate         another start: said in every state but closed; else "="
# (un)silence    said in every state but closed when it isn't so already; else "="
# (un)correlate  said in every state, closed too, when it isn't so already; else "="
# severity, assignee, service, impact, link: said in every state when they differ, else "="
# comment        said in every state
def decide(incident: Incident, command: Command) -> list[Entry]:
    """What happens when this is asked of the incident; [] when it is so already.

    Raises a refusal that says what to do instead.
    """
    if not isinstance(command, Redate | Silence | Unsilence | Correlate | Uncorrelate):
        _not_before(incident, command.at)
    match command:
        case Acknowledge() | Mitigate() | Resolve() | Close() | Reopen():
            return [_step(incident, command)]
        case Redate(at):
            another = at != incident.opened_at and incident.state != "closed"
            event = said.IncidentRedated(
                incident_id=incident.id,
                at=at,
                was_opened_at=incident.opened_at,
                silenced_by=incident.silenced_by,
            )
            return [Entry(event)] if another else []
        case Silence() | Unsilence():
            return _silenced(incident, command)
        case Correlate() | Uncorrelate():
            return _correlated(incident, command)
        case Comment(at, by, text):
            event = said.IncidentCommented(incident_id=incident.id, at=at, by=by)
            return [Entry(event, {"text": text})]
        case _:
            return _stated(incident, command)


def _silenced(incident: Incident, command: Silence | Unsilence) -> list[Entry]:
    was = incident.silenced_by
    if incident.state == "closed" or (was is not None) is isinstance(command, Silence):
        return []
    if isinstance(command, Silence):
        event = said.IncidentSilenced(
            incident_id=incident.id, at=incident.opened_at, silenced_by=command.by
        )
        return [Entry(event)]
    assert was is not None, "what isn't silenced was taken for so above"
    lifted = said.IncidentUnsilenced(
        incident_id=incident.id,
        at=max(command.at, incident.opened_at),
        was_silenced_by=was,
        opened_at=incident.opened_at,
    )
    return [Entry(lifted)]


def _correlated(incident: Incident, command: Correlate | Uncorrelate) -> list[Entry]:
    """Which incidents are one changes nothing about any of them, so it may be said of a closed one."""
    about: dict[str, Any] = {"incident_id": incident.id, "at": incident.opened_at}
    if isinstance(command, Correlate):
        same = (command.parent_id, command.rule) == (incident.parent_id, incident.correlated_by)
        event = said.IncidentCorrelated(
            **about, parent_id=command.parent_id, rule=command.rule, why=command.why
        )
        return [] if same else [Entry(event)]
    if incident.parent_id is None or incident.correlated_by is None:
        return []
    over = said.IncidentUncorrelated(
        **about, was_parent_id=incident.parent_id, was_rule=incident.correlated_by
    )
    return [Entry(over)]


def _step(incident: Incident, command: Acknowledge | Mitigate | Resolve | Close | Reopen) -> Entry:
    about: dict[str, Any] = {"incident_id": incident.id, "at": command.at}
    match command:
        case Acknowledge():
            _must_be_open(incident, "acknowledged")
            if incident.state != "open":
                raise IncidentAlready(f"Incident {incident.id} is already {incident.state}.")
            return Entry(said.IncidentAcknowledged(**about, by=command.by))
        case Mitigate():
            _must_be_open(incident, "mitigated")
            if incident.state == "mitigated":
                raise IncidentAlready(f"Incident {incident.id} is already mitigated.")
            return Entry(said.IncidentMitigated(**about))
        case Resolve():
            _must_be_open(incident, "resolved")
            since = incident.reopened_at
            if command.by_hand and since and command.at < since:
                raise TimeBeforeIncident(
                    f"It was reopened at {rfc3339(since)}; give that moment or a later one as `at`."
                )
            event = said.IncidentResolved(**about, opened_at=incident.opened_at)
            return Entry(event, {"by_hand": True} if command.by_hand else {})
        case Close():
            _must_be_over(incident, ("resolved",), "closed", command.at)
            return Entry(said.IncidentClosed(**about))
        case Reopen():
            over: tuple[State, ...] = ("resolved", "closed") if command.by_hand else ("resolved",)
            _must_be_over(incident, over, "reopened", command.at)
            kept = {"by_hand": True} if command.by_hand else {}
            return Entry(said.IncidentReopened(**about), kept)


def _stated(
    incident: Incident, command: ChangeSeverity | Assign | AssignService | AssessImpact | TieTo
) -> list[Entry]:
    about: dict[str, Any] = {"incident_id": incident.id, "at": command.at}
    match command:
        case ChangeSeverity():
            same = command.severity == incident.severity
            event = said.IncidentSeverityChanged(
                **about, severity=command.severity, was=incident.severity
            )
        case Assign():
            same = command.assignee == incident.assignee
            event = said.IncidentAssigned(**about, assignee=command.assignee)
        case AssignService():
            entry = command.entry
            now = (entry.name, entry.product, entry.tier)
            same = now == (incident.service, incident.product, incident.tier)
            event = said.IncidentServiceAssigned(
                **about,
                service=entry.name,
                product=entry.product,
                tier=entry.tier,
                was_service=incident.service,
                was_product=incident.product,
            )
        case AssessImpact():
            assessed = (
                command.customers_affected,
                command.revenue_at_risk,
                command.responder_hours,
            )
            same = assessed == (
                incident.customers_affected,
                incident.revenue_at_risk,
                incident.responder_hours,
            )
            event = said.IncidentImpactAssessed(
                **about,
                customers_affected=assessed[0],
                revenue_at_risk=assessed[1],
                responder_hours=assessed[2],
            )
        case TieTo():
            same = command.link in incident.links
            event = said.IncidentLinked(
                **about, kind=command.link.kind, reference=command.link.reference
            )
    return [] if same else [Entry(event)]


def _not_before(incident: Incident, at: datetime) -> None:
    if at < incident.opened_at:
        raise TimeBeforeIncident(
            f"`at` lies before the incident was opened at {rfc3339(incident.opened_at)};"
            " give that moment or a later one."
        )


def _must_be_open(incident: Incident, verb: str) -> None:
    if not incident.is_open:
        raise IncidentNotOpen(
            f"Incident {incident.id} is {incident.state} and can't be {verb}; reopen it first."
        )


def _must_be_over(incident: Incident, states: tuple[State, ...], verb: str, at: datetime) -> None:
    if incident.is_open:
        raise IncidentNotResolved(
            f"Incident {incident.id} is {incident.state} and can't be {verb}; resolve it first."
        )
    if incident.state not in states:
        raise IncidentAlready(f"Incident {incident.id} is already closed.")
    if incident.resolved_at and at < incident.resolved_at:
        raise TimeBeforeIncident(
            f"It was resolved at {rfc3339(incident.resolved_at)}; give that moment or a later"
            " one as `at`."
        )
