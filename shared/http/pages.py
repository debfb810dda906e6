"""Lists page by key: `limit`, an opaque `cursor`, and `next` in the answer. Never by offset."""

import base64
import binascii
import json
import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from sqlalchemy import BigInteger, ColumnElement, Row, Select, literal, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.clock import parse_rfc3339, rfc3339
from shared.http.fields import View
from shared.refusals import Invalid

LARGEST_PAGE = 200

Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="rows a page")]
Cursor = Annotated[
    str | None, Query(max_length=2000, description="`next` of the page before; opaque")
]

Item = TypeVar("Item")


class Page(View, Generic[Item]):
    """One page of a list; `next` is null on the last."""

    items: list[Item]
    next: str | None = None


class InvalidCursor(Invalid):
    """The cursor was not made by this list."""

    def __init__(self) -> None:
        super().__init__("This cursor is not one of ours; leave it out to begin at the first page.")


async def page_of(
    conn: AsyncConnection,
    query: Select[Any],
    sort: Sequence[ColumnElement[Any]],
    *,
    limit: int,
    cursor: str | None,
    view: Callable[[Row[Any]], Item],
    descending: bool = True,
) -> Page[Item]:
    """One page of `query` by the columns `sort`, of which the last must be unique.

    Every column of `sort` must be selected by the query under its own name and not be null.
    Raises InvalidCursor for a cursor that is not ours.
    """
    if cursor is not None:
        after = tuple_(*_decode(cursor, sort))
        query = query.where(tuple_(*sort) < after if descending else tuple_(*sort) > after)
    order = [column.desc() if descending else column.asc() for column in sort]
    rows = (await conn.execute(query.order_by(*order).limit(limit + 1))).all()
    following = _encode(rows[limit - 1], sort) if len(rows) > limit else None
    return Page(items=[view(row) for row in rows[:limit]], next=following)


def values_of(row: Row[Any]) -> dict[str, Any]:
    """What the row holds, by column. Views are made of it quicker than of the row's attributes."""
    return dict(zip(row._fields, row, strict=True))  # pyright: ignore[reportPrivateUsage]


def _encode(row: Row[Any], sort: Sequence[ColumnElement[Any]]) -> str:
    keys = [row._mapping[column] for column in sort]  # pyright: ignore[reportPrivateUsage]
    plain = [{"t": rfc3339(key)} if isinstance(key, datetime) else key for key in keys]
    return base64.urlsafe_b64encode(json.dumps(plain).encode()).decode().rstrip("=")


def _decode(cursor: str, sort: Sequence[ColumnElement[Any]]) -> list[ColumnElement[Any]]:
    wrong = InvalidCursor()
    try:
        plain: Any = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        keys = [_key(one) for one in plain] if isinstance(plain, list) else []  # pyright: ignore[reportUnknownVariableType]
    except (binascii.Error, ValueError, KeyError, OverflowError, RecursionError) as error:
        raise wrong from error
    if len(keys) != len(sort):
        raise wrong
    if not all(_fits(key, column) for key, column in zip(keys, sort, strict=True)):
        raise wrong
    return [literal(key, column.type) for key, column in zip(keys, sort, strict=True)]


def _key(plain: Any) -> Any:
    return parse_rfc3339(str(plain["t"])) if isinstance(plain, dict) else plain  # pyright: ignore[reportUnknownArgumentType]


def _fits(key: object, column: ColumnElement[Any]) -> bool:
    """Can this be a value of the column? What no engine can hold must not get as far as one."""
    expected = column.type.python_type
    match key:
        case bool():
            return expected is bool
        case int():
            widest = 2**63 if expected is float or isinstance(column.type, BigInteger) else 2**31
            return expected in (int, float) and -widest <= key < widest
        case float():
            return expected is float and math.isfinite(key)
        case str():
            return expected is str and _encodable(key)
        case _:
            return isinstance(key, expected)


def _encodable(text: str) -> bool:
    if "\x00" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
