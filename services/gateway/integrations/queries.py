"""Reads of integrations, straight from SQL to the answer. Never a secret."""

from collections import defaultdict
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.access.queries import KeyView
from services.gateway.access.store import api_keys
from services.gateway.integrations.domain import Integration, IntegrationUnknown
from services.gateway.integrations.store import integration_of, integrations
from shared.http.fields import View
from shared.http.pages import Page, page_of


class IntegrationView(View):
    """A sender's account. `keys` are those that were not revoked."""

    id: str
    name: str
    source: str
    service: str | None
    signals_per_minute: int | None
    signed: bool
    """What it sends must be signed."""
    keys: list[KeyView]
    created_at: datetime
    created_by: str
    ended_at: datetime | None
    version: int


async def list_integrations(
    conn: AsyncConnection, *, limit: int, cursor: str | None
) -> Page[IntegrationView]:
    """Integrations, the newest first."""
    sort = [integrations.c.id]
    found = await page_of(
        conn, select(integrations), sort, limit=limit, cursor=cursor, view=integration_of
    )
    views = await shown(conn, found.items)
    return Page[IntegrationView](items=views, next=found.next)


async def integration(conn: AsyncConnection, integration_id: str) -> IntegrationView:
    """One. Raises IntegrationUnknown."""
    query = select(integrations).where(integrations.c.id == integration_id)
    row = (await conn.execute(query)).one_or_none()
    if row is None:
        raise IntegrationUnknown(
            f"There is no integration {integration_id!r}; GET /v1/integrations lists them."
        )
    return (await shown(conn, [integration_of(row)]))[0]


async def shown(conn: AsyncConnection, some: list[Integration]) -> list[IntegrationView]:
    """These with their keys."""
    query = select(api_keys).where(
        api_keys.c.integration_id.in_([one.id for one in some]), api_keys.c.revoked_at.is_(None)
    )
    keys: defaultdict[str, list[KeyView]] = defaultdict(list)
    for row in await conn.execute(query.order_by(api_keys.c.id)):
        keys[row.integration_id].append(KeyView.model_validate(row))
    return [
        IntegrationView(
            id=one.id,
            name=one.name,
            source=one.source,
            service=one.service,
            signals_per_minute=one.signals_per_minute,
            signed=bool(one.secrets),
            keys=keys[one.id],
            created_at=one.created_at,
            created_by=one.created_by,
            ended_at=one.ended_at,
            version=one.version,
        )
        for one in some
    ]
