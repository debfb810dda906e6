"""The request bodies of incidents, each field with its bound."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from services.incidents.incidents.incident import LinkKind
from shared.contracts.incidents import Severity
from shared.http.fields import Amount, Body, Count, Happened, Line, Name, Prose

Labels = Annotated[dict[Name, Line], Field(max_length=64)]


class IncidentLinkBody(Body):
    """A record elsewhere: a problem, a change, a ticket."""

    kind: LinkKind
    reference: Name


class IncidentBody(Body):
    """An incident that a person or a tool opens."""

    title: Line
    service: Name | None = None
    severity: Severity
    opened_at: Happened | None = None
    description: Prose = ""
    customers_affected: Count | None = None
    source: Name = "api"
    external_ref: Annotated[
        Name | None, Field(description="its id elsewhere; sent again, it is the same incident")
    ] = None
    labels: Labels = {}
    links: Annotated[list[IncidentLinkBody], Field(max_length=50)] = []


class IncidentStepBody(Body):
    """When it happened; left out: now."""

    at: Happened | None = None


class IncidentSeverityBody(IncidentStepBody):
    severity: Severity


class IncidentAssignBody(IncidentStepBody):
    assignee: Name | None


class IncidentServiceBody(IncidentStepBody):
    service: Name


class IncidentImpactBody(IncidentStepBody):
    """Who was hit, as far as is known. It replaces the assessment before it, whole."""

    customers_affected: Count | None = None
    revenue_at_risk: Amount | None = None
    responder_hours: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] | None = None


class IncidentTieBody(IncidentStepBody):
    kind: LinkKind
    reference: Name


class IncidentCommentBody(IncidentStepBody):
    text: Annotated[Prose, Field(min_length=1)]


HistoryKind = Literal[
    "acknowledged",
    "mitigated",
    "resolved",
    "reopened",
    "closed",
    "severity_changed",
    "assigned",
    "service_assigned",
    "impact_assessed",
    "linked",
    "commented",
]

NEEDED: dict[HistoryKind, tuple[str, ...]] = {
    "severity_changed": ("severity",),
    "service_assigned": ("service",),
    "linked": ("link",),
    "commented": ("text",),
}
"""The fields without which a history entry of that kind says nothing."""


class IncidentHistoryBody(Body):
    """One thing that happened to an imported incident. Which fields it needs depends on `kind`."""

    kind: HistoryKind
    at: Happened
    by: Name | None = None
    severity: Severity | None = None
    assignee: Name | None = None
    service: Name | None = None
    link: IncidentLinkBody | None = None
    text: Prose | None = None
    customers_affected: Count | None = None
    revenue_at_risk: Amount | None = None
    responder_hours: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _complete(self) -> "IncidentHistoryBody":
        missing = [name for name in NEEDED.get(self.kind, ()) if not getattr(self, name)]
        if missing:
            raise ValueError(f"an entry of kind {self.kind} needs `{missing[0]}`; add it")
        return self


class ImportedIncidentBody(Body):
    """An incident as another tool knows it, with what happened to it so far, in order."""

    source: Name
    external_ref: Name
    title: Line
    opened_at: Happened
    service: Name | None = None
    severity: Severity
    alert_name: Name | None = None
    description: Prose = ""
    customers_affected: Count | None = None
    labels: Labels = {}
    links: Annotated[list[IncidentLinkBody], Field(max_length=50)] = []
    history: Annotated[list[IncidentHistoryBody], Field(max_length=500)] = []

    @model_validator(mode="after")
    def _in_order(self) -> "ImportedIncidentBody":
        earlier: list[datetime] = [self.opened_at]
        for number, entry in enumerate(self.history):
            if entry.at < earlier[-1]:
                raise ValueError(
                    f"history[{number}] ({entry.kind}) happened before what precedes it;"
                    " send the history in order of time, none of it before opened_at"
                )
            earlier.append(entry.at)
        return self


class IncidentImportBody(Body):
    incidents: Annotated[list[ImportedIncidentBody], Field(min_length=1, max_length=500)]
