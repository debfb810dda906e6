"""Matchers of labels, in Alertmanager's words: `=`, `!=`, `=~`, `!~`. Pure.

Regular expressions are RE2's, fully anchored: a match takes time in proportion to its text, whatever
the expression.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import re2  # pyright: ignore[reportMissingTypeStubs]

Operator = Literal["=", "!=", "=~", "!~"]
OPERATORS: tuple[Operator, ...] = get_args(Operator)

LONGEST = 1_024
"""Characters of a matcher's value."""
MEMORY = 1 << 20
"""Bytes that one compiled expression may take; RE2 refuses what needs more."""

Holds = Callable[[Mapping[str, str]], bool]


class BadExpression(ValueError):
    """What should be a regular expression is none; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label. A label that isn't there is the empty text."""

    label: str
    op: Operator
    value: str

    def __str__(self) -> str:
        return f'{self.label}{self.op}"{self.value}"'


def compiled(matchers: Sequence[Matcher]) -> Holds:
    """Whether labels meet all of these. Raises BadExpression."""
    conditions = [_condition(matcher) for matcher in matchers]

    def holds(labels: Mapping[str, str]) -> bool:
        return all(condition(labels) for condition in conditions)

    return holds


def matches_empty(matcher: Matcher) -> bool:
    """Whether a label that isn't there meets it: alone it would silence nearly everything."""
    return _condition(matcher)({})


def labels_of(
    labels: Mapping[str, str],
    *,
    source: str,
    service: str | None,
    severity: str,
    alert_name: str | None,
) -> dict[str, str]:
    """What matchers look at: the sender's labels and, where it has none of that name, our words."""
    ours = {"source": source, "service": service, "severity": severity, "alertname": alert_name}
    return {name: value for name, value in ours.items() if value is not None} | dict(labels)


def _condition(matcher: Matcher) -> Holds:
    label, value = matcher.label, matcher.value
    match matcher.op:
        case "=":
            return lambda labels: labels.get(label, "") == value
        case "!=":
            return lambda labels: labels.get(label, "") != value
        case "=~":
            fits = _fits(value)
            return lambda labels: fits(labels.get(label, ""))
        case "!~":
            fits = _fits(value)
            return lambda labels: not fits(labels.get(label, ""))


@lru_cache(maxsize=1_000)
def _fits(expression: str) -> Callable[[str], bool]:
    options = re2.Options()
    options.max_mem = MEMORY
    options.log_errors = False
    try:
        pattern = re2.compile(expression, options)
    except re2.error as error:
        (why,) = error.args or ("it can't be read",)
        said = why.decode(errors="replace") if isinstance(why, bytes) else str(why)
        raise BadExpression(
            f"{expression[:60]!r} is not a regular expression of RE2: {said}"
        ) from None
    return lambda text: pattern.fullmatch(text) is not None
