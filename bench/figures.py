"""What was measured, as values: a figure with what is asked of it, and a part of the bench with its table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One measured value. `against` says beside what; a `floor` or a `ceiling` where one is asked."""

    name: str
    value: float
    unit: str
    against: str
    floor: float | None = None
    ceiling: float | None = None

    @property
    def met(self) -> bool:
        """A value that is no number (nothing was measured) meets nothing."""
        if self.floor is not None and not self.value >= self.floor:
            return False
        return self.ceiling is None or self.value <= self.ceiling

    @property
    def asked(self) -> str:
        if self.floor is not None:
            return f"≥ {number(self.floor)}"
        return f"≤ {number(self.ceiling)}" if self.ceiling is not None else ""

    def to_json(self) -> dict[str, Any]:
        """Not a number is null, which JSON has."""
        value = self.value if self.value == self.value else None
        plain = {"name": self.name, "value": value, "unit": self.unit, "against": self.against}
        bounds = {"floor": self.floor, "ceiling": self.ceiling}
        return plain | {name: bound for name, bound in bounds.items() if bound is not None}


@dataclass
class Table:
    """A table as Markdown shows it; `notes` stand below it."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list[Sequence[str]])
    notes: list[str] = field(default_factory=list[str])


@dataclass
class Outcome:
    """What a part of the bench brings home."""

    tables: list[Table] = field(default_factory=list[Table])
    figures: list[Figure] = field(default_factory=list[Figure])


@dataclass
class Run:
    """A whole run: outcomes of the parts that came through, and what became of the others."""

    outcomes: dict[str, Outcome] = field(default_factory=dict[str, Outcome])
    failed: dict[str, str] = field(default_factory=dict[str, str])
    """Part → why it failed."""

    @property
    def figures(self) -> list[Figure]:
        return [figure for outcome in self.outcomes.values() for figure in outcome.figures]

    @property
    def missed(self) -> list[Figure]:
        return [figure for figure in self.figures if not figure.met]

    @property
    def status(self) -> int:
        """The exit status: 1 when something that is asked was missed, or a part failed."""
        return 1 if self.missed or self.failed else 0

    def add(self, name: str, part: Callable[[], Outcome]) -> None:
        """Run a part; when it fails, remember why: the others still get their turn."""
        try:
            self.outcomes[name] = part()
        except Exception as error:
            self.failed[name] = f"{type(error).__name__}: {error}"


def ratio(value: float, other: float) -> float:
    """NaN, which meets no floor, where there is nothing to compare with."""
    return value / other if other else float("nan")


def number(value: float) -> str:
    """As people read it: three digits that matter, thousands parted."""
    if value != value:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
