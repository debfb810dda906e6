"""Who does something, when, and because of what: handed to every command."""

from dataclasses import dataclass, replace
from datetime import datetime

from shared.contracts import Contract
from shared.envelope import Event
from shared.ids import new_id


@dataclass(frozen=True, slots=True)
class Context:
    """`now` is the wall clock at the edge; event times travel in the commands themselves."""

    service: str
    actor: str
    now: datetime
    correlation_id: str
    causation_id: str | None = None
    traceparent: str | None = None

    def event(self, data: Contract, *, subject: str, version: int, at: datetime) -> Event:
        """The event that says `data` happened to `subject` at event time `at`."""
        return Event(
            id=new_id("evt"),
            source=f"/groundswell/{self.service}",
            subject=subject,
            time=at,
            version=version,
            correlation_id=self.correlation_id,
            causation_id=self.causation_id,
            traceparent=self.traceparent,
            data=data,
        )

    def about(self, correlation_id: str) -> "Context":
        """The same, for a change that belongs to another story (an incident's, say)."""
        return replace(self, correlation_id=correlation_id)

    @classmethod
    def following(cls, event: Event, *, service: str, now: datetime) -> "Context":
        """For what a service does because of an event: same story, caused by that event."""
        return cls(
            service=service,
            actor=f"service:{service}",
            now=now,
            correlation_id=event.correlation_id,
            causation_id=event.id,
            traceparent=event.traceparent,
        )
