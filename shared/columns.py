"""Column types that mean the same on both engines, and how JSON is written on both."""

import json
from datetime import datetime
from typing import Any

import pydantic_core
from sqlalchemy import BigInteger, DateTime, Dialect, Integer, Text
from sqlalchemy.types import JSON, TypeDecorator, TypeEngine

from shared.clock import parse_rfc3339, rfc3339


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime: timestamptz on PostgreSQL, fixed-width RFC 3339 text on SQLite."""

    impl = Text
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(DateTime(timezone=True))
        return dialect.type_descriptor(Text())

    # In place of `process_bind_param` and its like: these are called for each value without ado.

    def bind_processor(self, dialect: Dialect) -> Any:
        return None if dialect.name == "postgresql" else _written

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return None if dialect.name == "postgresql" else _read


def _written(value: datetime | None) -> str | None:
    return None if value is None else rfc3339(value)


def _read(value: str | None) -> datetime | None:
    return None if value is None else parse_rfc3339(value)


Json = JSON()
"""A JSON column, kept as the text that `to_json` wrote, on both engines.

Not JSONB on PostgreSQL: it puts keys in another order, writes 1e300 with all its zeros and refuses
\\u0000, so the same history would not be the same on both engines.
"""

Serial = BigInteger().with_variant(Integer(), "sqlite")
"""An integer primary key that counts up by itself on both engines."""


_encoder = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def from_json(text: str) -> Any:
    """How both engines read it: three times as fast as `json`, which reads what nests deeper."""
    try:
        return pydantic_core.from_json(text)
    except ValueError:
        return json.loads(text)


def to_json(value: object) -> str:
    """How both engines write JSON. Raises ValueError for NaN and infinities."""
    return _encoder.encode(value)
