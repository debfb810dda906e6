"""The values that scores are made from and made of: a theme's evidence in numbers, and a part.

It owns no rule: what the numbers are worth is said in `attention`, `cost_of_delay` and `rice`.
"""

import math
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Literal, get_args

Severity = Literal["critical", "high", "medium", "low"]

#: No count or measure of one theme comes near this; below it no product of ours overflows.
LARGEST = 1e12


@dataclass(frozen=True)
class EvidenceNumbers:
    """A theme's evidence as it was known at `as_of`, as the feedback service states it.

    Incidents are counted by when they opened: `opened_28d` and `opened_14d` in that many days up
    to `as_of`, `earlier_count` before the last 14 days, over the `earlier_days` in which the
    theme could have been seen. `top_severity_28d` counts the two highest severities as known
    then. `linked` counts incidents already tied to a problem, change or item. `customers_max` is
    the most affected by one incident, `customers_90d` the distinct ones of a quarter; None says
    that nobody knows. Raises ValueError on a number that no theme can have.
    """

    as_of: datetime
    total: int
    open: int
    opened_28d: int
    top_severity_28d: int
    opened_14d: int
    earlier_count: int
    earlier_days: float
    linked: int
    impact_minutes_total: float
    impact_minutes_per_week: float
    responder_hours_per_week: float
    customers_max: int | None
    customers_90d: int | None
    feedback_count: int
    votes: int
    severity_max: Severity | None

    def __post_init__(self) -> None:
        if self.as_of.utcoffset() != timedelta(0):
            raise ValueError(f"as_of is {self.as_of.isoformat()}: give a time in UTC with its zone")
        if self.severity_max is not None and self.severity_max not in get_args(Severity):
            known = ", ".join(get_args(Severity))
            raise ValueError(f"severity_max is {self.severity_max!r}: use one of {known}, or none")
        for field in fields(self):
            value: object = getattr(self, field.name)
            if isinstance(value, int | float) and not 0 <= value <= LARGEST:
                raise ValueError(f"{field.name} is {value}: give a number from 0 to {LARGEST:.0e}")


@dataclass(frozen=True)
class ScorePart:
    """One summand of a score: contribution = value x weight, and `text` says it with its numbers.

    `name` is stable, so that two scores of one method can be compared part by part.
    """

    name: str
    value: float
    weight: float
    contribution: float
    text: str


def weighed(name: str, value: float, weight: float, text: str) -> ScorePart:
    """The part that `value` at `weight` contributes."""
    return ScorePart(name, value, weight, value * weight, text)


def total_of(parts: tuple[ScorePart, ...]) -> float:
    """What the parts come to: the score's value, correctly rounded whatever their order."""
    return math.fsum(part.contribution for part in parts)


def figure(number: float) -> str:
    """The number for a person: at most two decimals, or two digits if it is smaller than that."""
    if 0 < abs(number) < 0.01:
        return f"{number:.2g}"
    text = f"{number:,.2f}"
    return text.rstrip("0").rstrip(".")


def counted(count: int, noun: str) -> str:
    """'1 incident', '3 incidents'."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
