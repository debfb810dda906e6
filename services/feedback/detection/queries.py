"""Reads of the policies, straight from SQL to the answer."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.detection import store
from services.feedback.detection.settings import settings_of
from services.feedback.detection.store import EVERY_PRODUCT, StoredPolicy, policy_history
from shared.http.fields import View
from shared.http.pages import Page, page_of


class PolicyView(View):
    """What a detector goes by. `product` null: for every product without a policy of its own.

    `inherited`: nobody set one for this product, so this is the common one; its `version` is 0.
    """

    detector: str
    product: str | None
    settings: dict[str, float | None]
    inherited: bool
    version: int
    by: str
    changed_at: datetime


class PolicyVersionView(PolicyView):
    """One version that a policy had."""

    seq: int


def policy_view(policy: StoredPolicy, inherited: bool = False) -> PolicyView:
    return PolicyView(
        detector=policy.detector,
        product=policy.product or None,
        settings=dict(policy.settings),  # pyright: ignore[reportArgumentType]
        inherited=inherited,
        version=policy.version,
        by=policy.by,
        changed_at=policy.changed_at,
    )


async def policy(conn: AsyncConnection, detector: str, product: str | None) -> PolicyView:
    """What holds for this product, or for all. Raises DetectorUnknown."""
    own = await store.current(conn, detector, product)
    if own.version > 0:
        return policy_view(own)
    common = policy_view(await store.current(conn, detector, None), inherited=True)
    return common.model_copy(update={"product": product, "version": 0})


async def policy_versions(
    conn: AsyncConnection, detector: str, product: str | None, *, limit: int, cursor: str | None
) -> Page[PolicyVersionView]:
    """Every version that was set, newest first. Raises DetectorUnknown."""
    settings_of(detector, {})
    query = select(policy_history).where(
        policy_history.c.detector == detector,
        policy_history.c.product == (product or EVERY_PRODUCT),
    )
    return await page_of(
        conn, query, [policy_history.c.seq], limit=limit, cursor=cursor, view=_version
    )


def _version(row: Row[Any]) -> PolicyVersionView:
    values = {**row._mapping, "product": row.product or None}  # pyright: ignore[reportPrivateUsage]
    return PolicyVersionView(**values, inherited=False)
