"""What a path found: as text, or in words for whoever has to mend the mapping."""

from typing import cast

from services.incidents.mappings.paths import MISSING


class UnusableValue(Exception):
    """A rule found something that its field can't be. `str()` says what, and what to do."""


def plain(value: object) -> str | None:
    """The value as text; None for null and for nothing. Raises UnusableValue."""
    if value is MISSING or value is None:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float) and abs(value) < 1e300:
        return str(value)
    raise UnusableValue(f"{shown(value)}; point it to a text, a number, true or false")


def shown(value: object) -> str:
    """What stands there, in a few words for whoever has to mend it."""
    match value:
        case dict():
            return "an object"
        case list():
            return f"a list of {len(cast('list[object]', value)):,}"
        case str():
            return f"the text {_beginning(value)!r}"
        case None:
            return "null"
        case _:
            return "a number, true or false" if abs(cast(float, value)) < 1e300 else "a huge number"


def _beginning(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
