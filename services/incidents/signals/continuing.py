"""Which firing signals say no more than that their alert still fires. Pure.

A sender that tells no start says "it fires" again and again. Each of these taken for a beginning of its
own would be another episode of the same incident, for as long as nobody says that it is over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from services.incidents.signals.signal import Signal
from services.incidents.signals.store import Alert
from shared.context import Context


@dataclass(frozen=True, slots=True)
class Post:
    """The signals of one request: all of them are recorded, or none. `ctx.now` is their arrival.

    `by_alert`: its format knows alerts and no occurrences of them. While an alert fires, whatever says
    so is a repeat; and an end of one of which no beginning is known is dropped, as the format has it.
    """

    signals: Sequence[Signal]
    ctx: Context
    by_alert: bool = False


def tells_no_start(post: Post, signal: Signal) -> bool:
    """Whether it fires and doesn't say since when: an adapter puts its arrival there then."""
    return signal.status == "firing" and (post.by_alert or signal.starts_at == post.ctx.now)


def alert_of(signal: Signal) -> Alert:
    return Alert(signal.source, signal.fingerprint)


def continued(posts: Sequence[Post], firing: Mapping[tuple[str, str], datetime]) -> list[Post]:
    """The same posts, in which what tells no start has that of its alert, where that fires already.

    `firing`: since when alerts fire that do, before these posts. Within them it follows their order.
    """
    since = dict(firing)
    return [
        Post([_continued(post, signal, since) for signal in post.signals], post.ctx, post.by_alert)
        for post in posts
    ]


def _continued(post: Post, signal: Signal, since: dict[tuple[str, str], datetime]) -> Signal:
    alert = alert_of(signal)
    if signal.status == "resolved":
        since.pop(alert, None)
        return signal
    start = since.setdefault(alert, signal.starts_at)
    if start >= signal.starts_at or not tells_no_start(post, signal):
        return signal
    return msgspec.structs.replace(signal, starts_at=start)
