"""Reads of mappings, straight from SQL to the answer."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.mappings.mapping import MappingUnknown
from services.incidents.mappings.store import mappings
from shared.http.fields import JsonObject, View
from shared.http.pages import Page, page_of


class MappingView(View):
    """A mapping: what was put, by whom and when."""

    name: str
    document: JsonObject
    version: int
    by: str
    changed_at: datetime


def view(row: Row[Any]) -> MappingView:
    return MappingView.model_validate(row)


async def mapping(conn: AsyncConnection, name: str) -> MappingView:
    """The mapping of that name. Raises MappingUnknown."""
    row = (await conn.execute(select(mappings).where(mappings.c.name == name))).one_or_none()
    if row is None:
        raise MappingUnknown(name)
    return view(row)


async def list_mappings(
    conn: AsyncConnection, *, limit: int, cursor: str | None
) -> Page[MappingView]:
    """Mappings by name."""
    return await page_of(
        conn,
        select(mappings),
        [mappings.c.name],
        limit=limit,
        cursor=cursor,
        view=view,
        descending=False,
    )
