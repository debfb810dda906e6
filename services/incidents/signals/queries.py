"""Reads of signals, straight from SQL to the answer."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.signals.signal import Status
from services.incidents.signals.store import signal_payloads, signals
from shared.contracts.incidents import Severity
from shared.http.fields import View
from shared.http.pages import Page, page_of
from shared.refusals import NotFound


class SignalUnknown(NotFound):
    """No signal of that id."""


class SignalView(View):
    """One occurrence of an alert, as its sender stated it, and how often it was sent again."""

    id: str
    incident_id: str
    source: str
    fingerprint: str
    status: Status
    starts_at: datetime
    ends_at: datetime | None
    received_at: datetime
    last_seen_at: datetime
    repeats: int
    title: str
    alert_name: str | None
    description: str
    service: str | None
    severity: Severity
    customers_affected: int | None
    labels: dict[str, str]
    annotations: dict[str, str]
    url: str | None
    truncated: int
    skewed: bool


_PAYLOAD = [column for column in signal_payloads.c if column.name != "signal_id"]
_WHOLE: Select[Any] = select(signals, *_PAYLOAD).join(
    signal_payloads, signal_payloads.c.signal_id == signals.c.id
)


def view(row: Row[Any]) -> SignalView:
    return SignalView.model_validate(row)


async def signal(conn: AsyncConnection, signal_id: str) -> SignalView:
    """The signal of that id. Raises SignalUnknown."""
    row = (await conn.execute(_WHOLE.where(signals.c.id == signal_id))).one_or_none()
    if row is None:
        raise SignalUnknown(f"There is no signal {signal_id!r}; GET /v1/signals lists them.")
    return view(row)


async def list_signals(
    conn: AsyncConnection,
    *,
    incident_id: str | None = None,
    source: str | None = None,
    status: Status | None = None,
    limit: int,
    cursor: str | None,
) -> Page[SignalView]:
    """Signals, last arrived first."""
    query = _WHOLE
    if incident_id is not None:
        query = query.where(signals.c.incident_id == incident_id)
    if source is not None:
        query = query.where(signals.c.source == source)
    if status is not None:
        query = query.where(signals.c.status == status)
    return await page_of(conn, query, [signals.c.id], limit=limit, cursor=cursor, view=view)


class Counted(NamedTuple):
    """Distinct occurrences, their repeats, and the most alerts that one message left out."""

    signals: int
    repeats: int
    truncated: int = 0


_NUMBERS = (func.count(), func.coalesce(func.sum(signals.c.repeats), 0))


async def count_all(conn: AsyncConnection, source: str | None) -> Counted:
    """The signals of one source, or all, in numbers."""
    query = select(*_NUMBERS).select_from(signals)
    if source is not None:
        query = query.where(signals.c.source == source)
    return Counted(*(await conn.execute(query)).one())


async def count_of(conn: AsyncConnection, incident_id: str) -> Counted:
    """The signals of one incident in numbers."""
    query = (
        select(*_NUMBERS, func.coalesce(func.max(signal_payloads.c.truncated), 0))
        .join_from(signals, signal_payloads, signal_payloads.c.signal_id == signals.c.id)
        .where(signals.c.incident_id == incident_id)
    )
    return Counted(*(await conn.execute(query)).one())
