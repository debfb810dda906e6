"""Reads of the catalog, straight from SQL to the answer."""

from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.catalog.store import services
from shared.http.fields import View
from shared.http.pages import Page, page_of
from shared.refusals import NotFound


class ServiceView(View):
    """A catalog entry."""

    name: str
    product: str
    owner: str | None
    tier: int
    dependencies: list[str]
    aliases: list[str]
    version: int


class ServiceUnknown(NotFound):
    """No such entry in the catalog."""


def view(row: Row[Any]) -> ServiceView:
    return ServiceView.model_validate(row)


async def service(conn: AsyncConnection, name: str) -> ServiceView:
    """The entry of that name. Raises ServiceUnknown."""
    row = (await conn.execute(select(services).where(services.c.name == name))).one_or_none()
    if row is None:
        raise ServiceUnknown(
            f"The catalog has no service {name!r}; register it with PUT /v1/catalog/services/{{name}}."
        )
    return view(row)


async def list_services(
    conn: AsyncConnection, *, product: str | None, limit: int, cursor: str | None
) -> Page[ServiceView]:
    """Entries by name, optionally of one product."""
    query = select(services)
    if product is not None:
        query = query.where(services.c.product == product)
    return await page_of(
        conn, query, [services.c.name], limit=limit, cursor=cursor, view=view, descending=False
    )
