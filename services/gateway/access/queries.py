"""Reads of the API keys, straight from SQL to the answer. Never a hash."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.access.store import api_keys
from shared.http.fields import View
from shared.http.pages import Page, page_of


class KeyView(View):
    """An API key without its secret."""

    id: str
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None
    last_used_at: datetime | None
    """To the minute."""
    integration_id: str | None
    """Whose key it is, where it is an integration's."""


def view(row: Row[Any]) -> KeyView:
    return KeyView.model_validate(row)


async def list_keys(conn: AsyncConnection, *, limit: int, cursor: str | None) -> Page[KeyView]:
    """Keys, the newest first."""
    columns = [column for column in api_keys.c if column.name != "hash"]
    sort = [api_keys.c.id]
    return await page_of(conn, select(*columns), sort, limit=limit, cursor=cursor, view=view)
