"""The policy of the recurrence detector: its numbers, their defaults and what they may be.

Data, not code: stored with a version, edited through the API, and named in each decision.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from math import isfinite
from typing import Any


class InvalidPolicy(ValueError):
    """The policy can't be used. `problems` says what to change, one sentence each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class RecurrencePolicy:
    """When a theme's occurrences make it rise and fall; refuses numbers that make no sense.

    `on`, `off`: occurrences in the window to rise, and below which it falls.
    `alpha`: how improbable the count must be under the theme's own baseline.
    `impact_floor_minutes`: customer-impact minutes in the window that count without any surprise;
    None looks at surprise alone.
    `quiet_days`: how long the count must stay below `off`; `cooldown_days`: no new rise so soon
    after a fall.
    `baseline_days`: how far before the window the theme's own baseline reaches.
    `baseline_floor`: the least that is expected per window, so that a theme without a past can
    rise, yet not on next to nothing.
    `dispersion`: the size of the negative binomial; the smaller, the more clustering is normal.
    `min_customers`: some occurrence in the window must have affected as many. Where none says how
    many it affected, this does not stand in the way.
    `growth_factor`: how much the evidence must have grown since a dismissal to rise again.
    """

    window_days: int = 28
    on: int = 5
    off: int = 2
    distinct_days: int = 3
    alpha: float = 0.01
    impact_floor_minutes: float | None = 6_000.0
    quiet_days: int = 14
    cooldown_days: int = 7
    baseline_days: int = 84
    baseline_floor: float = 0.5
    dispersion: float = 4.0
    min_customers: int = 0
    growth_factor: float = 1.5
    version: int = 1

    def __post_init__(self) -> None:
        problems = tuple(_problems(self))
        if problems:
            raise InvalidPolicy(problems)

    def to_json(self) -> dict[str, object]:
        """Plain values; `from_json` reads them back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "RecurrencePolicy":
        """The policy that these values state; what is absent keeps its default.

        Raises InvalidPolicy.
        """
        refuse_unknown(data, {field.name for field in fields(cls)})
        return cls(**{name: _as_whole(name, value) for name, value in data.items()})


_AT_LEAST = {
    "window_days": 1,
    "on": 1,
    "off": 1,
    "distinct_days": 1,
    "quiet_days": 1,
    "cooldown_days": 0,
    "baseline_days": 1,
    "min_customers": 0,
    "growth_factor": 1,
    "version": 1,
}
_ABOVE_ZERO = ("alpha", "impact_floor_minutes", "baseline_floor", "dispersion")
_WHOLE = _AT_LEAST.keys() - {"growth_factor"}
_LONGEST_DAYS = 3_660


def _problems(policy: RecurrencePolicy) -> Iterator[str]:
    broken = list(_broken_numbers(policy))
    yield from broken
    if not broken:
        yield from _broken_relations(policy)


def _broken_numbers(policy: RecurrencePolicy) -> Iterator[str]:
    for name, value in policy.to_json().items():
        if value is None and name == "impact_floor_minutes":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            yield f"Set {name} to a number; it is {value!r}."
        elif name in _WHOLE and value != int(value):
            yield f"Set {name} to a whole number; it is {value:g}."
        elif name in _AT_LEAST and value < _AT_LEAST[name]:
            yield f"Set {name} to {_AT_LEAST[name]} or more; it is {value:g}."
        elif name in _ABOVE_ZERO and value <= 0:
            yield f"Set {name} above 0; it is {value:g}."
        elif name.endswith("_days") and value > _LONGEST_DAYS:
            yield f"Set {name} to {_LONGEST_DAYS} or less; it is {value:g}."


def _broken_relations(policy: RecurrencePolicy) -> Iterator[str]:
    if policy.off > policy.on:
        yield f"Set off to at most on ({policy.on}); it is {policy.off}, so a rise would never hold."
    if policy.alpha >= 1:
        yield f"Set alpha below 1; it is {policy.alpha:g}. 0.01 is one false rise in a hundred."
    if policy.distinct_days > policy.on:
        yield (
            f"Set distinct_days to at most on ({policy.on}); it is {policy.distinct_days}: "
            f"so many occurrences can't lie on more days than that."
        )
    if policy.distinct_days > policy.window_days:
        yield (
            f"Set distinct_days to at most window_days ({policy.window_days}); "
            f"it is {policy.distinct_days}."
        )
    if policy.baseline_days < policy.window_days:
        yield (
            f"Set baseline_days to at least window_days ({policy.window_days}); it is "
            f"{policy.baseline_days}, too short to say what a window usually holds."
        )


def _as_whole(name: str, value: Any) -> Any:
    """JSON knows one kind of number: 5.0 is a whole one."""
    is_whole = name in _WHOLE and isinstance(value, float) and value.is_integer()
    return int(value) if is_whole else value


def refuse_unknown(data: Mapping[str, Any], names: set[str]) -> None:
    """Raises InvalidPolicy for what isn't one of a policy's settings, and lists those."""
    unknown = sorted(data.keys() - names)
    if unknown:
        listed = ", ".join(sorted(names))
        raise InvalidPolicy(
            tuple(f"No setting is called {name!r}; use {listed}." for name in unknown)
        )
