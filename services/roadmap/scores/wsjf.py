"""WSJF, weighted shortest job first: cost of delay divided by how long the job takes.

A duration is never invented: without one there is no WSJF.
"""

from dataclasses import dataclass

from services.roadmap.scores.cost_of_delay import CostOfDelay
from services.roadmap.scores.numbers import ScorePart, figure, total_of, weighed


@dataclass(frozen=True)
class Wsjf:
    """Cost of a week's delay for each week of work. `unit` is that of the cost of delay."""

    value: float
    unit: str
    duration_weeks: float
    parts: tuple[ScorePart, ...]
    text: str


def wsjf(cost: CostOfDelay, duration_weeks: float | None) -> Wsjf | None:
    """The cost of delay per week of work, part by part, or None while nobody says how long."""
    if duration_weeks is None:
        return None
    parts = tuple(
        weighed(part.name, part.value, part.weight / duration_weeks, part.text)
        for part in cost.parts
    )
    text = f"{cost.text}, over {figure(duration_weeks)} weeks of work"
    return Wsjf(total_of(parts), cost.unit, duration_weeks, parts, text)
