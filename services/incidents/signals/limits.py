"""How much an integration may send: so many signals a minute, with a minute's worth at once.

A token bucket that may go into debt: what doesn't fit into the rest of a minute is still taken whole,
and what follows waits until that is made up for. Else a large post could never be taken at all.
"""

from dataclasses import dataclass, field
from math import ceil

from shared.auth import Sender
from shared.refusals import Overloaded

MOST_SENDERS = 10_000
"""Remembered; beyond it, those that have sent nothing for a minute are forgotten."""


class SenderOverItsLimit(Overloaded):
    """The integration has sent more than it may, for now."""

    def __init__(self, limit: int, seconds: int) -> None:
        """`seconds` until it may send again."""
        super().__init__(
            f"This integration may send {limit:,} signals a minute, and has; send it again in"
            f" {seconds} s, or have an administrator raise signals_per_minute."
        )
        self.retry_after = seconds


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


@dataclass(slots=True)
class Limits:
    """Of one process: several of them let through so many times as much."""

    _buckets: dict[str, _Bucket] = field(default_factory=dict[str, _Bucket])

    def spend(self, sender: Sender, count: int, now: float) -> None:
        """Count these signals, at `now` (seconds of a monotonic clock). Raises SenderOverItsLimit."""
        limit = sender.signals_per_minute
        if limit is None:
            return
        bucket = self._buckets.get(sender.integration_id)
        if bucket is None:
            self._forget(now)
            bucket = self._buckets[sender.integration_id] = _Bucket(limit, now)
        bucket.tokens = min(limit, bucket.tokens + (now - bucket.at) * limit / 60)
        bucket.at = now
        if bucket.tokens < 1:
            raise SenderOverItsLimit(limit, max(1, ceil((1 - bucket.tokens) * 60 / limit)))
        bucket.tokens -= count

    def _forget(self, now: float) -> None:
        if len(self._buckets) >= MOST_SENDERS:
            kept = {id: one for id, one in self._buckets.items() if now - one.at < 60}
            self._buckets = kept
