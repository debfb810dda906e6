"""What a rule answers when it says no. A refusal knows its HTTP status and says what to do.

Refusal (409)
├── NotFound (404)          no such thing, or not yours to see
├── Invalid (422)           the request contradicts itself or a bound
├── VersionMismatch (412)   If-Match names another version than the stored one
├── Conflict (409)          somebody else changed it meanwhile; the edge retries, then answers so
└── Overloaded (503)        no room now; nothing was written

A service's own refusals subclass these and are named for what they refuse:
`IncidentAlreadyResolved(Refusal)`. The problem's `type` is made from the class name.
"""

import re
from typing import ClassVar


class Refusal(Exception):
    """A rule said no. `str()` is the sentence shown to the caller: what is wrong, what to do."""

    status: ClassVar[int] = 409

    @property
    def slug(self) -> str:
        """`IncidentAlreadyResolved` → `incident-already-resolved`; stable, clients may match it."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", type(self).__name__).lower()


class NotFound(Refusal):
    status = 404


class Invalid(Refusal):
    status = 422


class VersionMismatch(Refusal):
    status = 412


class Conflict(Refusal):
    status = 409


class Overloaded(Refusal):
    """Retry later: `retry_after` is in seconds."""

    status = 503
    retry_after: int = 1
