"""What an integration is: one sender's account. No I/O; the clock is an argument."""

from dataclasses import dataclass
from datetime import datetime

from shared.auth import Sender
from shared.refusals import NotFound, Refusal

SOURCE = r"^[a-z0-9][a-z0-9_.-]{0,63}$"
SENDS = frozenset({"ingest"})
"""The scopes of whatever comes from one, by key or by signature."""
MOST_KEYS = 2
"""Active at once: the one in use, and the one that replaces it."""
MOST_SECRETS = 2
"""A sender that signs changes its secret like that, too."""


@dataclass(frozen=True, slots=True)
class Integration:
    """`secrets` are those its sender signs with, sealed: with any, it takes nothing unsigned."""

    id: str
    name: str
    source: str
    service: str | None
    signals_per_minute: int | None
    secrets: tuple[str, ...]
    created_at: datetime
    created_by: str
    version: int = 1
    ended_at: datetime | None = None

    def sender(self) -> Sender:
        """What the services are told about whatever it sends."""
        return Sender(self.id, self.source, self.service, self.signals_per_minute)


class IntegrationUnknown(NotFound):
    """No integration has this id."""


class SourceTaken(Refusal):
    """Two integrations would speak with one name, and their alerts would be taken for the same."""


class TooManyKeys(Refusal):
    """A rotation has two keys; a third would stay for ever."""


class IntegrationEnded(Refusal):
    """It takes nothing any more, and can't be changed."""
