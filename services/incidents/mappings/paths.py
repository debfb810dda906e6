"""JSONPath expressions (RFC 9535) that others write, run on bodies that others send: both bounded.

What a step looks at is counted before it is looked at, so no expression and no body takes long.
Refused, since their time can't be told beforehand or their use is small: descendants (`..`), functions
(`match` and `search` run regular expressions), `$` inside a filter, and filters within filters.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

from jsonpath import JSONPath, JSONPathEnvironment, JSONPathError, JSONPathMatch
from jsonpath.filter import (
    BaseExpression,
    BooleanLiteral,
    FilterExpression,
    FloatLiteral,
    InfixExpression,
    IntegerLiteral,
    Nil,
    PrefixExpression,
    RelativeFilterQuery,
    StringLiteral,
)
from jsonpath.segments import JSONPathChildSegment
from jsonpath.selectors import (
    Filter,
    IndexSelector,
    JSONPathSelector,
    NameSelector,
    SliceSelector,
    WildcardSelector,
)

LONGEST = 256
"""Characters of an expression."""
MOST_WIDE = 3
"""Steps of an expression that may find several things."""
MOST_LOOKS = 200_000
"""What all wide steps of a mapping may look at in one body: some tenths of a second at the worst, and
enough for a thousand alerts with five filters each."""
OF_A_STEP = 10
"""What a wide step costs before it looks at anything."""

_LITERALS = (StringLiteral, IntegerLiteral, FloatLiteral, BooleanLiteral, Nil)
_PLAIN = (NameSelector, IndexSelector)
_ENVIRONMENT = JSONPathEnvironment(strict=True, filter_caching=False)


class PathRefused(ValueError):
    """The expression is not JSONPath, or more of it than is run here."""


class TooManyLooks(Exception):
    """The body is too large for what the mapping's expressions look at in it."""


class Missing:
    """What a path found when it found nothing; `null` is something else."""


MISSING = Missing()


@dataclass(slots=True)
class Budget:
    """What may still be looked at in one body."""

    left: int = MOST_LOOKS

    def spend(self, looks: int) -> None:
        self.left -= looks
        if self.left < 0:
            raise TooManyLooks


Plain = tuple[str | int, ...]
"""Names and indexes, each of which finds at most one thing."""


@dataclass(frozen=True, slots=True)
class Path:
    """An expression that may be run: from its first wide step to its last, and what is around them."""

    text: str
    before: Plain
    wide: tuple[tuple[JSONPathSelector, ...], ...]
    after: Plain

    @property
    def is_plain(self) -> bool:
        """It finds one thing or nothing, at no cost to speak of."""
        return not self.wide


class _Node(JSONPathMatch):
    """A thing that was found, without the way to it: nobody asks for that, and it costs the most."""

    __slots__ = ()

    def add_child(self, *children: JSONPathMatch) -> None:
        """Not remembered: without it, what was looked at can go at once."""

    def new_child(self, obj: object, key: int | str) -> JSONPathMatch:
        return _node(obj)


def _node(obj: object) -> _Node:
    # The root is asked for by `$` inside filters, which are refused.
    return _Node(filter_context={}, obj=obj, parent=None, path="", parts=(), root=())


def compiled(text: str) -> Path:
    """The expression, ready to run. Raises PathRefused, which says what to write instead."""
    if len(text) > LONGEST:
        raise PathRefused(f"is longer than {LONGEST} characters; shorten it")
    try:
        parsed = _ENVIRONMENT.compile(text)
    except (JSONPathError, RecursionError, ValueError, OverflowError) as error:
        # Its str() points at the place on lines of its own, and fails where the text is empty.
        complaint = str(error.args[0])[:200] if error.args else type(error).__name__
        raise PathRefused(f"is not JSONPath: {complaint}; write it as $.name") from error
    if not isinstance(parsed, JSONPath):
        raise PathRefused("joins several paths; write one")
    segments = tuple(_selectors(segment) for segment in parsed.segments)
    if sum(_is_wide(one) for one in segments) > MOST_WIDE:
        raise PathRefused(
            f"has more than {MOST_WIDE} steps that may find several things; use names"
        )
    for selector in (one for segment in segments for one in segment):
        if isinstance(selector, Filter):
            _check(selector.expression)
    return _parted(text, segments)


def first(path: Path, value: object, budget: Budget) -> object:
    """The first thing that the path finds in the value, or MISSING. Raises TooManyLooks."""
    if path.is_plain:
        return _at(path.before, value)
    return next(every(path, value, budget), MISSING)


def every(path: Path, value: object, budget: Budget) -> Iterator[object]:
    """What the path finds in the value, in its order, as far as it is asked. Raises TooManyLooks."""
    value = _at(path.before, value)
    if path.is_plain or value is MISSING:
        found = iter((value,))
    else:
        found = (_at(path.after, node.obj) for node in _wide(path, value, budget))
    return (one for one in found if one is not MISSING)


def _wide(path: Path, value: object, budget: Budget) -> Iterable[JSONPathMatch]:
    nodes: Iterable[JSONPathMatch] = [_node(value)]
    for selectors in path.wide:
        nodes = _step(nodes, selectors, budget)
    return nodes


def _step(
    nodes: Iterable[JSONPathMatch], selectors: tuple[JSONPathSelector, ...], budget: Budget
) -> Iterator[JSONPathMatch]:
    for node in nodes:
        for selector in selectors:
            budget.spend(_price(selector, node.obj))
            yield from selector.resolve(node)


def _price(selector: JSONPathSelector, value: object) -> int:
    """What the selector looks at: a filter looks at each element once for each of its parts."""
    if isinstance(selector, _PLAIN) or not isinstance(value, dict | list):
        return 1
    parts = _parts(selector.expression) if isinstance(selector, Filter) else 1
    return OF_A_STEP + parts * len(cast("list[object]", value))


def _parts(expression: BaseExpression) -> int:
    if isinstance(expression, RelativeFilterQuery):
        return 2 + len(expression.path.segments)
    return 1 + sum(_parts(child) for child in expression.children())


def _at(plain: Plain, value: object) -> object:
    for step in plain:
        if isinstance(step, str):
            if not isinstance(value, dict) or step not in value:
                return MISSING
            value = cast("dict[str, object]", value)[step]
        else:
            if not isinstance(value, list):
                return MISSING
            items = cast("list[object]", value)
            if not -len(items) <= step < len(items):
                return MISSING
            value = items[step]
    return value


def _parted(text: str, segments: tuple[tuple[JSONPathSelector, ...], ...]) -> Path:
    places = [i for i, selectors in enumerate(segments) if _is_wide(selectors)]
    begin, end = (places[0], places[-1] + 1) if places else (len(segments), len(segments))
    return Path(text, _plain(segments[:begin]), segments[begin:end], _plain(segments[end:]))


def _plain(segments: tuple[tuple[JSONPathSelector, ...], ...]) -> Plain:
    steps: list[str | int] = []
    for (selector,) in segments:
        match selector:
            case NameSelector():
                steps.append(selector.name)
            case IndexSelector():
                steps.append(selector.index)
            case _:
                raise AssertionError("a wide step is not plain")
    return tuple(steps)


def _selectors(segment: object) -> tuple[JSONPathSelector, ...]:
    if not isinstance(segment, JSONPathChildSegment):
        raise PathRefused("looks at all descendants (..); write the names on the way")
    taken = (*_PLAIN, SliceSelector, WildcardSelector, Filter)
    if not all(isinstance(one, taken) for one in segment.selectors):
        raise PathRefused("has a step that is not in RFC 9535; use names, indexes, slices, *, ?")
    return segment.selectors


def _is_wide(selectors: tuple[JSONPathSelector, ...]) -> bool:
    return len(selectors) > 1 or not all(isinstance(one, _PLAIN) for one in selectors)


def _check(expression: BaseExpression) -> None:
    """Refuse all but comparisons with a literal and tests for presence, joined by && || ! and ()."""
    match expression:
        case RelativeFilterQuery():
            if not expression.path.singular_query():
                raise PathRefused("has a wide step inside a filter; use names and indexes there")
        case FilterExpression() | PrefixExpression():
            for child in expression.children():
                _check(child)
        case InfixExpression():
            sides = (expression.left, expression.right)
            if not (expression.logical or any(isinstance(one, _LITERALS) for one in sides)):
                raise PathRefused("compares two paths; compare with a text, a number, true or null")
            for side in sides:
                _check(side)
        case _ if isinstance(expression, _LITERALS):
            pass
        case _:
            raise PathRefused(
                "has a function or $ inside a filter; compare what is at @ with a literal there"
            )
