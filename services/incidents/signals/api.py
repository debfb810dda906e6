"""HTTP of signals: what was stored of them. What senders post to is in `senders_api`."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from services.incidents.signals import queries
from services.incidents.signals.queries import SignalView
from services.incidents.signals.signal import Status
from shared.context import Context
from shared.http.context import Db, needs
from shared.http.pages import Cursor, Limit, Page

router = APIRouter(tags=["signals"])

Reader = Annotated[Context, needs("incidents:read")]
SignalId = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]


@router.get("/v1/signals", summary="List signals, last arrived first")
async def list_signals(
    ctx: Reader,
    db: Db,
    incident_id: Annotated[str | None, Query(max_length=200)] = None,
    source: Annotated[str | None, Query(max_length=200)] = None,
    status: Annotated[Status | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[SignalView]:
    async with db.read() as conn:
        return await queries.list_signals(
            conn,
            incident_id=incident_id,
            source=source,
            status=status,
            limit=limit,
            cursor=cursor,
        )


@router.get("/v1/signals/{signal_id}", summary="Read a signal")
async def read_signal(signal_id: SignalId, ctx: Reader, db: Db) -> SignalView:
    async with db.read() as conn:
        return await queries.signal(conn, signal_id)
