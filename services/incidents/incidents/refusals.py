"""What is said when an incident can't do as it is asked.

Refusal (409)
├── IncidentUnknown (404)      no incident of that id
├── IncidentAlready            it is in that state already
├── IncidentNotOpen            only what is open can be acknowledged, mitigated, resolved
├── IncidentNotResolved        only what is over can be closed or reopened
├── AlertHasOpenIncident       its alert has a newer incident that is open
├── TimeBeforeIncident (422)   an event time that precedes what it follows
└── ServiceNotInCatalog (422)  register it first
"""

from shared.refusals import Invalid, NotFound, Refusal


class IncidentUnknown(NotFound):
    pass


class IncidentAlready(Refusal):
    pass


class IncidentNotOpen(Refusal):
    pass


class IncidentNotResolved(Refusal):
    pass


class AlertHasOpenIncident(Refusal):
    pass


class TimeBeforeIncident(Invalid):
    pass


class ServiceNotInCatalog(Invalid):
    pass
