"""Whether a theme that was decided about before asks for a decision again, and why. Pure.

By event time: what happened up to a decision was known to it, however late it is heard of.
"""

from dataclasses import dataclass

from services.roadmap.candidates.domain import Candidate
from services.roadmap.items.store import Settled
from services.roadmap.themes.store import Theme
from shared.clock import rfc3339


@dataclass(frozen=True, slots=True)
class Past:
    """What was decided about a theme that has no candidate waiting and no item at work on it.

    `stands_for_it`: the last candidate, or the one that it was merged into. `total_then`: the rows
    of evidence at the decision. `settled`: how the last item for it ended.
    """

    last: Candidate | None = None
    stands_for_it: Candidate | None = None
    total_then: int = 0
    settled: Settled | None = None


def why_it_rises(past: Past, theme: Theme) -> str | None:
    """Why an escalation at `theme.at` raises a candidate; "" when it has no past; None: it doesn't.

    After a declined candidate the evidence must have grown. By how much is the detection policy's
    to say: feedback freezes the baseline at the decline, and escalates again past its own factor.
    """
    if past.settled is not None and theme.at <= past.settled.at:
        return None
    decided = past.stands_for_it
    if decided is None:
        return _ended(past) if past.settled else ""
    if decided.waiting:
        return None
    if decided.decided_at is not None and theme.at <= decided.decided_at:
        return None
    if decided.state == "declined":
        if theme.total <= past.total_then:
            return None
        return (
            f"It was declined on {_day(decided)}; since then its evidence grew from "
            f"{past.total_then} to {theme.total} rows, and it rose again"
        )
    if past.settled is None:
        return f"It was accepted on {_day(decided)} and no item deals with it any more"
    return _ended(past)


def why_it_goes_on(past: Past, theme: Theme) -> str | None:
    """Why new evidence of an escalated theme raises a candidate, without a new rise: its item was
    given up.
    """
    settled = past.settled
    if settled is None or settled.state != "cancelled":
        return None
    decided = past.stands_for_it
    if decided is not None and (decided.waiting or decided.state == "declined"):
        return None
    return _ended(past) if theme.at > settled.at else None


def _ended(past: Past) -> str:
    assert past.settled is not None
    how = "cancelled" if past.settled.state == "cancelled" else "delivered"
    day = rfc3339(past.settled.at)[:10]
    return f"Item {past.settled.item_id} was {how} on {day}, and the pain is back"


def _day(candidate: Candidate) -> str:
    return rfc3339(candidate.decided_at)[:10] if candidate.decided_at else "an unknown day"
