"""Rows by any of many keys of several columns: one statement, one parameter, and the index is used.

SQLite reads the whole table for `(a, b) IN ((1, 2), (3, 4))`, though not where the list is a subquery;
PostgreSQL plans such a list anew each time. So the keys travel as one JSON text that the engine unpacks.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Text, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType

from shared.clock import rfc3339
from shared.columns import UtcDateTime

Key = Sequence[str | datetime]


class _OneOf(FunctionElement[Any]):
    """`(columns) IN (the keys)`; its clauses are the columns and, last, the parameter."""

    inherit_cache = True
    name = "one_of"
    type = NullType()  # with that of a truth value it would be compared with 1, and miss the index


def one_of(*columns: ColumnElement[Any], keys: str = "keys") -> ColumnElement[bool]:
    """Whether these columns, of text or time, hold one of the keys of `packed` in this parameter."""
    return _OneOf(*columns, bindparam(keys, type_=Text()))


def packed(keys: Iterable[Key]) -> str:
    """These keys, each as long as there are columns, as the parameter of `one_of`."""
    rows = [[rfc3339(v) if isinstance(v, datetime) else v for v in key] for key in keys]
    return msgspec.json.encode(rows).decode()


@compiles(_OneOf, "sqlite")
def _of_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    *columns, keys = (compiler.process(one, **kw) for one in element.clauses)
    items = ", ".join(f"json_extract(value, '$[{i}]')" for i in range(len(columns)))
    return f"({', '.join(columns)}) IN (SELECT {items} FROM json_each({keys}))"  # noqa: S608  names of columns and parameters


@compiles(_OneOf, "postgresql")
def _of_postgres(element: Any, compiler: Any, **kw: Any) -> str:
    *columns, keys = (compiler.process(one, **kw) for one in element.clauses)
    items = ", ".join(
        f"CAST(value ->> {i} AS {'timestamptz' if isinstance(one.type, UtcDateTime) else 'text'})"
        for i, one in enumerate([*element.clauses][:-1])
    )
    unpacked = f"json_array_elements(CAST({keys} AS json))"
    return f"({', '.join(columns)}) IN (SELECT {items} FROM {unpacked} AS unpacked(value))"  # noqa: S608
