"""What time is it: the only place that asks the machine. Rules take time as an argument."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]

SKEW = timedelta(minutes=5)
"""How far ahead of our clock a sender's clock may run before its time is called impossible."""

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""Older event times are taken for a sender's mistake (year 1, the Unix epoch)."""


def utc_now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """The moment as RFC 3339 in UTC with microseconds: fixed width, so that text order is time order."""
    in_utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return in_utc.isoformat(timespec="microseconds")[:-6] + "Z"


def parse_rfc3339(text: str) -> datetime:
    """The inverse of `rfc3339`; takes any RFC 3339 offset. Raises ValueError without one."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset; write it as 2026-01-31T12:00:00Z")
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
