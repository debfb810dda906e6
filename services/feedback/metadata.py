"""The tables of the feedback service register here; each noun's `store.py` defines its own."""

from collections.abc import Iterable

from sqlalchemy import MetaData

metadata = MetaData()

CHUNK = 500
"""The most values in one IN list."""


def chunks(values: Iterable[str]) -> Iterable[list[str]]:
    """The values, sorted, in lists that fit into one IN."""
    ordered = sorted(values)
    return (ordered[start : start + CHUNK] for start in range(0, len(ordered), CHUNK))
