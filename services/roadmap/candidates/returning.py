"""Whether a theme asks for a decision, from when on, and why. Pure.

It follows from what the evidence says by now and from what people decided, not from the order in which
these were heard. By event time: what happened up to a decision was known to it, however late it is
heard of.
"""

from dataclasses import dataclass
from datetime import datetime

from services.roadmap.candidates.domain import Candidate
from services.roadmap.items.store import Settled
from services.roadmap.themes.store import Theme
from shared.clock import parse_rfc3339, rfc3339
from shared.contracts.feedback import ReasonData


@dataclass(frozen=True, slots=True)
class Past:
    """What was decided about a theme that no item is at work on.

    `stands_for_it`: the last decided candidate, or the one that it was merged into. `total_then`: the
    rows of evidence at the decision. `settled`: how the last item for it ended.
    """

    last: Candidate | None = None
    stands_for_it: Candidate | None = None
    total_then: int = 0
    settled: Settled | None = None


@dataclass(frozen=True, slots=True)
class Asking:
    """A theme asks for a decision since `at`. `why`: "" when it has no past; `risen`: since it rose, and
    not because of what became of an item; `measured`: since an outcome was looked at, whenever that was;
    `reasons`: beside those of its detectors."""

    at: datetime
    why: str
    risen: bool = True
    measured: bool = False
    reasons: tuple[ReasonData, ...] = ()


# past                 | asks when
# none                 | it rose
# declined             | it rose after the decision, and its evidence has grown
# accepted, delivered  | it rose after the delivery, or the outcome says `regressed`
# accepted, cancelled  | it rose after that, or evidence came while it stood
# merged               | the candidate that stands for it was decided about, and then as above
#
# By how much evidence must have grown is the detection policy's to say: feedback freezes the baseline
# at the decline, and lets the theme rise again past its own factor.
def asking(past: Past, theme: Theme | None) -> Asking | None:
    """Whether the theme asks for a decision; None: it doesn't."""
    decided = past.stands_for_it
    if decided is not None and decided.waiting:
        return None
    regressed = _regressed(past)
    rose_at = _rise_unheeded(past, theme)
    if rose_at is not None:
        return Asking(rose_at, _why(past, theme), reasons=(regressed,) if regressed else ())
    if regressed is not None:
        return Asking(_measured_at(past), regressed.text, False, True, (regressed,))
    return _goes_on(past, theme)


def _rise_unheeded(past: Past, theme: Theme | None) -> datetime | None:
    """The first rise that no decision has taken into account."""
    decided, settled = past.stands_for_it, past.settled
    heeded = [settled.at] if settled else []
    heeded += [decided.decided_at] if decided and decided.decided_at else []
    rises = theme.rises if theme else ()
    unheeded = [rise.rose_at for rise in rises if all(rise.rose_at > at for at in heeded)]
    if decided is not None and decided.state == "declined" and _total(theme) <= past.total_then:
        return None
    return min(unheeded, default=None)


def _regressed(past: Past) -> ReasonData | None:
    """Why the last delivery asks for a decision again; None when it went well, or when a candidate that
    came after it was decided about."""
    settled = past.settled
    if settled is None or settled.state != "regressed" or settled.outcome is None:
        return None
    if past.last is not None and past.last.raised_at > settled.at:
        return None
    numbers = settled.outcome["numbers"]
    return ReasonData(
        detector="outcome",
        name="regressed",
        text=f"Item {settled.item_id} was delivered and it got worse: {settled.outcome['text']}",
        numbers={name: number for name, number in numbers.items() if number is not None},
    )


def _measured_at(past: Past) -> datetime:
    assert past.settled is not None
    assert past.settled.outcome is not None
    return parse_rfc3339(past.settled.outcome["at"])


def _goes_on(past: Past, theme: Theme | None) -> Asking | None:
    """An item was given up, and the pain goes on: evidence came after that while the theme stood."""
    settled, decided = past.settled, past.stands_for_it
    if theme is None or settled is None or settled.state != "cancelled":
        return None
    if decided is not None and (decided.state == "declined" or decided.raised_at > settled.at):
        return None
    standing = [rise for rise in theme.rises if rise.last_at and rise.last_at > settled.at]
    return Asking(settled.at, _ended(settled), risen=False) if standing else None


def _why(past: Past, theme: Theme | None) -> str:
    decided = past.stands_for_it
    if decided is None:
        return _ended(past.settled) if past.settled else ""
    if decided.state == "declined":
        return (
            f"It was declined on {_day(decided)}; since then its evidence grew from "
            f"{past.total_then} to {_total(theme)} rows, and it rose again"
        )
    if past.settled is None:
        return f"It was accepted on {_day(decided)} and no item deals with it any more"
    return _ended(past.settled)


def _total(theme: Theme | None) -> int:
    return theme.total if theme else 0


def _ended(settled: Settled) -> str:
    how = "cancelled" if settled.state == "cancelled" else "delivered"
    return f"Item {settled.item_id} was {how} on {rfc3339(settled.at)[:10]}, and the pain is back"


def _day(candidate: Candidate) -> str:
    return rfc3339(candidate.decided_at)[:10] if candidate.decided_at else "an unknown day"
