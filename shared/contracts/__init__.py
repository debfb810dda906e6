"""What the services promise each other: the event types, in one file per publisher.

`EVENTS` is the registry: every event type on the wire and its payload model. Changes are additive;
a breaking one is a new `.v2` class published beside `.v1`. Golden schemas guard that.
"""

from shared.contracts import feedback, incidents, roadmap
from shared.contracts.contract import Contract

EVENTS: dict[str, type[Contract]] = {
    event.TYPE: event for event in (*incidents.EVENTS, *feedback.EVENTS, *roadmap.EVENTS)
}

__all__ = ["EVENTS", "Contract"]
