"""What is counted of every post of signals, whatever its format."""

from collections.abc import Sequence
from time import monotonic

from prometheus_client import Counter

from services.incidents import metrics
from services.incidents.signals.continuing import Post
from services.incidents.signals.limits import Limits, SenderOverItsLimit
from services.incidents.signals.recording import Written
from services.incidents.signals.signal import Signal
from services.incidents.signals.writer import SignalStoreUnavailable, Writer
from shared.auth import Sender
from shared.refusals import Overloaded

KNOWN_SOURCES = 50
"""Sources that get a label of their own; the API lets callers name any, so the rest is `other`."""

_REASONS = {SignalStoreUnavailable: "no_database", SenderOverItsLimit: "over_limit"}
_accepted: dict[str, Counter] = {}
"""By label, looked up once: that costs more than counting."""


async def take_in(
    writer: Writer, post: Post, sender: Sender | None = None, limits: Limits | None = None
) -> list[Written]:
    """Write the post, and count it. Raises Overloaded as the writer does, or for the sender's limit."""
    try:
        if sender is not None and limits is not None:
            limits.spend(sender, len(post.signals), monotonic())
        written = await writer.write(post)
    except Overloaded as refusal:
        reason = _REASONS.get(type(refusal), "overloaded")
        metrics.ingest_rejected.labels(reason).inc()
        raise
    _count(post.signals, written)
    return written


def _count(signals: Sequence[Signal], written: Sequence[Written]) -> None:
    sources: dict[str, int] = {}
    truncated = 0
    for signal in signals:
        sources[signal.source] = sources.get(signal.source, 0) + 1
        truncated = max(truncated, signal.truncated)
        if signal.skewed:
            metrics.signals_skewed.labels(_label(signal.source)).inc()
    for source, count in sources.items():
        _accepted_from(source).inc(count)
    if dropped := len(signals) - len(written):
        metrics.signals_dropped.inc(dropped)
    if silenced := sum(one.silenced for one in written):
        metrics.signals_silenced.inc(silenced)
    if truncated:
        metrics.signals_truncated.inc(truncated)


def refused(reason: str) -> None:
    """Count a post that never came as far as the writer."""
    metrics.ingest_rejected.labels(reason).inc()


def _accepted_from(source: str) -> Counter:
    label = _label(source)
    found = _accepted.get(label)
    if found is None:
        found = _accepted[label] = metrics.ingest_accepted.labels(label)
    return found


def _label(source: str) -> str:
    return source if source in _accepted or len(_accepted) < KNOWN_SOURCES else "other"
