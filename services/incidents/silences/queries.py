"""Reads of silences, straight from SQL to the answer."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.silences.domain import Day, Recurrence, Silence, holds_until
from services.incidents.silences.matching import Operator
from services.incidents.silences.refusals import SilenceUnknown
from services.incidents.silences.store import silence_of, silences
from shared.http.fields import View
from shared.http.pages import Page, page_of

State = Literal["active", "pending", "ended"]


class SilenceMatcherView(View):
    """One condition on one label."""

    label: str
    op: Operator
    value: str


class SilenceRecurrenceView(View):
    """On which days, from what time of day in which time zone, for how many minutes."""

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    days: list[Day]
    begins: Annotated[str, Field(alias="from")]
    minutes: int
    timezone: str


class SilenceView(View):
    """A silence. `state` says where now lies in it; what recurs may be active and not hold now."""

    id: str
    comment: str
    matchers: list[SilenceMatcherView]
    starts_at: datetime
    ends_at: datetime
    recurrence: SilenceRecurrenceView | None
    state: State
    holds_now: bool
    created_by: str
    created_at: datetime
    ended_at: datetime | None
    """When somebody ended it before its time."""
    ended_by: str | None


def shown(silence: Silence, now: datetime) -> SilenceView:
    return SilenceView(
        id=silence.id,
        comment=silence.comment,
        matchers=[SilenceMatcherView.model_validate(one) for one in silence.matchers],
        starts_at=silence.starts_at,
        ends_at=silence.ends_at,
        recurrence=silence.recurrence and _recurrence(silence.recurrence),
        state=_state(silence, now),
        holds_now=holds_until(silence, now) is not None,
        created_by=silence.created_by,
        created_at=silence.created_at,
        ended_at=silence.ended_at,
        ended_by=silence.ended_by,
    )


async def silence(conn: AsyncConnection, silence_id: str, now: datetime) -> SilenceView:
    """The silence of that id. Raises SilenceUnknown."""
    query = select(silences).where(silences.c.id == silence_id)
    row = (await conn.execute(query)).one_or_none()
    if row is None:
        raise SilenceUnknown(silence_id)
    return shown(silence_of(row), now)


async def list_silences(
    conn: AsyncConnection, state: State | None, now: datetime, *, limit: int, cursor: str | None
) -> Page[SilenceView]:
    """Silences, last made first."""
    query = select(silences)
    if state == "ended":
        query = query.where(silences.c.over_at <= now)
    elif state is not None:
        began = silences.c.starts_at <= now
        query = query.where(silences.c.over_at > now, began if state == "active" else ~began)

    def view(row: Row[Any]) -> SilenceView:
        return shown(silence_of(row), now)

    return await page_of(conn, query, [silences.c.id], limit=limit, cursor=cursor, view=view)


def _state(silence: Silence, now: datetime) -> State:
    if silence.over_at <= now:
        return "ended"
    return "active" if silence.starts_at <= now else "pending"


def _recurrence(recurrence: Recurrence) -> SilenceRecurrenceView:
    return SilenceRecurrenceView(
        days=list(recurrence.days),
        begins=recurrence.begins.strftime("%H:%M"),
        minutes=recurrence.lasts // timedelta(minutes=1),
        timezone=recurrence.timezone,
    )
