"""What moved a score: the difference of two scores of one candidate, in words and numbers.

It compares what the scores carry and never scores again, so it holds for stored scores too.
"""

import math
from dataclasses import dataclass

from services.roadmap.scores.numbers import ScorePart, figure
from services.roadmap.scores.rice import Rice
from services.roadmap.scores.score import TITLES, Score
from services.roadmap.scores.wsjf import Wsjf

#: Less than this share of the larger score is rounding, not a move.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Move:
    """By how much one part moved the score, what it was and what it is now."""

    name: str
    delta: float
    before: str
    after: str


def explain_change(before: Score, after: Score) -> str:
    """One sentence on which parts moved the score and by how much, the largest first.

    The moves add up to the difference. Scores of different methods or units do not compare: then
    the sentence says what replaced what, and why.
    """
    if (before.method, before.unit) != (after.method, after.unit):
        return _replaced(before, after)
    rounding = ROUNDING * max(abs(before.value), abs(after.value))
    moves = [move for move in moves_between(before, after) if abs(move.delta) > rounding]
    headline = _headline(before, after, rounding)
    if not moves:
        return f"{headline}: no part of it moved.{_policy(before, after)}"
    reasons = "; ".join(
        f"{move.name} {_signed(move.delta)} (was {move.before}; now {move.after})" for move in moves
    )
    return f"{headline}: {reasons}.{_policy(before, after)}"


def _headline(before: Score, after: Score, rounding: float) -> str:
    title = TITLES[after.method]
    delta = after.value - before.value
    if abs(delta) <= rounding:
        return f"{title} stays at {figure(after.value)}"
    verb = "rose" if delta > 0 else "fell"
    return f"{title} {verb} by {figure(abs(delta))} to {figure(after.value)}"


def moves_between(before: Score, after: Score) -> list[Move]:
    """What each part moved the score by, largest first. Both must be of one method and unit."""
    if before.rice is not None and after.rice is not None and after.method == "rice":
        moves = _factor_moves(before.rice, after.rice)
    elif before.wsjf is not None and after.wsjf is not None and after.method == "wsjf":
        moves = _cost_moves(before.wsjf, after.wsjf)
    else:
        moves = _part_moves(before.parts, after.parts)
    return sorted(moves, key=lambda move: abs(move.delta), reverse=True)


def _part_moves(before: tuple[ScorePart, ...], after: tuple[ScorePart, ...]) -> list[Move]:
    earlier = {part.name: part for part in before}
    later = {part.name: part for part in after}
    return [
        Move(
            name,
            _contribution(later.get(name)) - _contribution(earlier.get(name)),
            _stated(earlier.get(name), later.get(name)),
            _stated(later.get(name), earlier.get(name)),
        )
        for name in later | earlier
    ]


def _contribution(part: ScorePart | None) -> float:
    return 0.0 if part is None else part.contribution


def _stated(part: ScorePart | None, other: ScorePart | None) -> str:
    if part is None:
        return "not counted"
    if other is None or math.isclose(part.weight, other.weight):
        return part.text
    return f"{part.text}, at weight {figure(part.weight)}"


def _cost_moves(before: Wsjf, after: Wsjf) -> list[Move]:
    """The parts' moves at the new duration, and the rest, which the duration itself moved."""
    shift = before.duration_weeks / after.duration_weeks
    at_new_duration = tuple(
        ScorePart(part.name, part.value, part.weight * shift, part.contribution * shift, part.text)
        for part in before.parts
    )
    duration = Move(
        "duration",
        before.value * (shift - 1),
        f"{figure(before.duration_weeks)} weeks",
        f"{figure(after.duration_weeks)} weeks",
    )
    return [duration, *_part_moves(at_new_duration, after.parts)]


def _factor_moves(before: Rice, after: Rice) -> list[Move]:
    """What each factor of a product moved it by: its share of the log of the ratio.

    The logarithmic mean divides the difference exactly and in no order of precedence (the LMDI
    decomposition of index numbers). A reach of 0 has no logarithm, and explains everything.
    """
    if not before.value or not after.value:
        delta = after.value - before.value
        return [Move("reach", delta, f"{before.reach:,}", f"{after.reach:,}")]
    level = (
        before.value
        if math.isclose(before.value, after.value)
        else (after.value - before.value) / math.log(after.value / before.value)
    )
    effort_shift = before.effort_person_months / after.effort_person_months
    ratios = (
        ("reach", after.reach / before.reach, before.reach, after.reach),
        ("impact", after.impact / before.impact, before.impact, after.impact),
        ("confidence", after.confidence / before.confidence, before.confidence, after.confidence),
        ("effort", effort_shift, before.effort_person_months, after.effort_person_months),
    )
    return [
        Move(name, level * math.log(ratio), figure(was), figure(now))
        for name, ratio, was, now in ratios
    ]


def _replaced(before: Score, after: Score) -> str:
    was = f"{TITLES[before.method]} ({figure(before.value)} {before.unit})"
    now = f"{TITLES[after.method]} ({figure(after.value)} {after.unit})"
    reasons = [f"no longer {reason}" for reason in before.missing if reason not in after.missing]
    reasons += [f"now {reason}" for reason in after.missing if reason not in before.missing]
    because = f": {'; '.join(reasons)}" if reasons else ""
    return (
        f"Ranked by {now} instead of {was}{because}. The two values do not compare."
        f"{_policy(before, after)}"
    )


def _policy(before: Score, after: Score) -> str:
    if before.policy_version == after.policy_version:
        return ""
    return f" Policy version {after.policy_version} replaced version {before.policy_version}."


def _signed(delta: float) -> str:
    return f"+{figure(delta)}" if delta > 0 else f"-{figure(-delta)}"
