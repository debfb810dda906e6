"""The tables `items`, `item_themes`, `item_candidates` and `item_log`. Load and save an item."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    Row,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    select,
    true,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap.items.domain import Item
from services.roadmap.items.refusals import ItemUnknown
from services.roadmap.metadata import metadata
from shared.contracts.roadmap import ItemEvent, ItemState
from shared.database import Json, UtcDateTime, insert_into
from shared.keys import one_of
from shared.prepared import Prepared
from shared.refusals import Conflict

items = Table(
    "items",
    metadata,
    Column("item_id", Text, primary_key=True),
    Column("title", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("horizon", Text, nullable=False),
    Column("quarter", Text),
    Column("objective_id", Text, ForeignKey("objectives.objective_id"), index=True),
    Column("owner", Text),
    Column("effort_person_months", Float),
    Column("duration_weeks", Float),
    Column("expected_reduction", Float),
    Column("expected_assumed", Boolean, nullable=False),
    Column("power", Json),
    Column("release", Text),
    Column("planned_at", UtcDateTime, nullable=False),
    Column("committed_at", UtcDateTime),
    Column("started_at", UtcDateTime),
    Column("delivered_at", UtcDateTime),
    Column("cancelled_at", UtcDateTime),
    Column("cancel_reason", Text),
    Column("outcome_id", Text),
    Column("outcome", Json),
    Column("verdict", Text),
    Column("block", Integer, nullable=False),
    Column("score", Float, nullable=False),
    Column("scored", Json),
    Column("correlation_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
)
Index("items_by_age", items.c.planned_at, items.c.item_id)
Index("items_by_score", items.c.block, items.c.score, items.c.item_id)
Index("items_by_state", items.c.state, items.c.block, items.c.score, items.c.item_id)
Index("items_by_state_and_age", items.c.state, items.c.planned_at, items.c.item_id)

item_themes = Table(
    "item_themes",
    metadata,
    Column("item_id", Text, ForeignKey("items.item_id"), primary_key=True),
    Column("theme_id", Text, primary_key=True, index=True),
    Column("in_work", Boolean, nullable=False),
)
Index(
    "item_themes_one_in_work",
    item_themes.c.theme_id,
    unique=True,
    sqlite_where=item_themes.c.in_work == true(),
    postgresql_where=item_themes.c.in_work == true(),
)

item_candidates = Table(
    "item_candidates",
    metadata,
    Column("candidate_id", Text, primary_key=True),
    Column("item_id", Text, ForeignKey("items.item_id"), nullable=False, index=True),
)
"""Which candidates became part of which item; their own story is in `candidates`."""

item_log = Table(
    "item_log",
    metadata,
    Column("item_id", Text, ForeignKey("items.item_id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("data", Json, nullable=False),
    Column("noted", Json, nullable=False),
)
"""Every event of an item, whole: it folds to the item. `noted`: what changed beside it."""


@dataclass(frozen=True, slots=True)
class Notes:
    """What is known of an item beside its log: who does it, what it takes, what it can show."""

    correlation_id: str
    owner: str | None = None
    effort_person_months: float | None = None
    duration_weeks: float | None = None
    expected_assumed: bool = False
    power: dict[str, Any] | None = None


Stored = tuple[Item, Notes]


@dataclass(frozen=True, slots=True)
class Settled:
    """An item is through with a theme: it delivered at this event time, or was cancelled. `outcome`:
    what was last measured of it."""

    item_id: str
    state: ItemState
    at: datetime
    title: str = ""
    product: str = ""
    outcome: dict[str, Any] | None = None


async def load(conn: AsyncConnection, item_id: str) -> Stored:
    """Raises ItemUnknown."""
    found = await find(conn, item_id)
    if found is None:
        raise ItemUnknown(f"There is no item {item_id!r}; list them with GET /v1/items.")
    return found


async def find(conn: AsyncConnection, item_id: str) -> Stored | None:
    row = (await conn.execute(select(items).where(items.c.item_id == item_id))).one_or_none()
    if row is None:
        return None
    themed = (
        select(item_themes.c.theme_id)
        .where(item_themes.c.item_id == item_id)
        .order_by(item_themes.c.theme_id)
    )
    return _item(row, tuple((await conn.execute(themed)).scalars())), _notes(row)


_IN_WORK_FOR = Prepared(
    select(item_themes.c.item_id).where(
        item_themes.c.theme_id == bindparam("theme"), item_themes.c.in_work == true()
    )
)


async def in_work_for(conn: AsyncConnection, theme_id: str) -> str | None:
    """The id of the item that deals with this theme now; there is at most one."""
    rows = await _IN_WORK_FOR.rows(conn, {"theme": theme_id})
    return rows[0].item_id if rows else None


_DEALT_WITH = Prepared(select(item_themes.c.theme_id).where(one_of(item_themes.c.theme_id)))


async def dealt_with(conn: AsyncConnection, theme_ids: Sequence[str]) -> set[str]:
    """Those of these themes that any item deals or ever dealt with."""
    return {row.theme_id for row in await _DEALT_WITH.of(conn, theme_ids)}


_ENDED_AT = func.coalesce(items.c.delivered_at, items.c.cancelled_at, type_=UtcDateTime)
_SETTLED_LAST = Prepared(
    select(
        items.c.item_id,
        items.c.state,
        _ENDED_AT.label("at"),
        items.c.title,
        items.c.product,
        items.c.outcome,
    )
    .join(item_themes, item_themes.c.item_id == items.c.item_id)
    .where(one_of(item_themes.c.theme_id), _ENDED_AT.is_not(None))
    .order_by(_ENDED_AT.desc(), items.c.item_id.desc())
    .limit(1)
)


async def settled_last(conn: AsyncConnection, theme_ids: Sequence[str]) -> Settled | None:
    """How the last item that dealt with any of these themes ended: the latest by event time."""
    rows = await _SETTLED_LAST.of(conn, theme_ids)
    return Settled(**rows[0]._asdict()) if rows else None


async def all_in_work(conn: AsyncConnection) -> list[str]:
    """The items that deal with any theme now."""
    query = select(item_themes.c.item_id).where(item_themes.c.in_work == true()).distinct()
    return list((await conn.execute(query)).scalars())


async def save(conn: AsyncConnection, item: Item, notes: Notes, *, was: int | None) -> None:
    """Write the item and its themes. `was` is the version it was loaded with, None for a new one.

    Raises Conflict when somebody else changed it, or took one of its themes, meanwhile.
    """
    values = asdict(item) | asdict(notes)
    del values["theme_ids"]
    if was is None:
        await conn.execute(insert(items).values(**values, block=0, score=0.0))
    else:
        query = update(items).where(items.c.item_id == item.item_id, items.c.version == was)
        if (await conn.execute(query.values(values))).rowcount != 1:
            raise Conflict(f"Item {item.item_id} was changed meanwhile; read it again and retry.")
    await _save_themes(conn, item)


async def _save_themes(conn: AsyncConnection, item: Item) -> None:
    gone = delete(item_themes).where(
        item_themes.c.item_id == item.item_id, item_themes.c.theme_id.not_in(item.theme_ids)
    )
    await conn.execute(gone)
    if not item.theme_ids:
        return
    rows = [
        {"item_id": item.item_id, "theme_id": theme_id, "in_work": item.in_work}
        for theme_id in item.theme_ids
    ]
    upsert = insert_into(conn, item_themes)
    try:
        await conn.execute(
            upsert.on_conflict_do_update(
                index_elements=["item_id", "theme_id"], set_={"in_work": upsert.excluded.in_work}
            ),
            rows,
        )
    except IntegrityError as clash:
        raise Conflict(
            f"Another item has just taken a theme of item {item.item_id}; read it and retry."
        ) from clash


async def link(conn: AsyncConnection, item_id: str, candidate_ids: Sequence[str]) -> None:
    """Note that these candidates became part of the item. Idempotent."""
    rows = [{"candidate_id": one, "item_id": item_id} for one in candidate_ids]
    if rows:
        await conn.execute(insert_into(conn, item_candidates).on_conflict_do_nothing(), rows)


async def write_down(
    conn: AsyncConnection,
    event: ItemEvent,
    version: int,
    *,
    actor: str,
    recorded_at: datetime,
    noted: dict[str, Any],
) -> None:
    """Add an event to the item's log."""
    await conn.execute(
        insert(item_log).values(
            item_id=event.item_id,
            version=version,
            kind=event.TYPE.split(".")[2],
            at=event.at,
            recorded_at=recorded_at,
            actor=actor,
            data=event.model_dump(mode="json"),
            noted=noted,
        )
    )


async def note_outcome(conn: AsyncConnection, item_id: str, outcome: dict[str, Any]) -> None:
    """Show this assessment on the item; it is beside the item's own versions."""
    query = update(items).where(items.c.item_id == item_id)
    await conn.execute(query.values(outcome=outcome, verdict=outcome["verdict"]))


async def outcome_of(conn: AsyncConnection, item_id: str) -> dict[str, Any] | None:
    query = select(items.c.outcome).where(items.c.item_id == item_id)
    return (await conn.execute(query)).scalar_one_or_none()


async def note_score(
    conn: AsyncConnection, item_id: str, *, block: int, score: float, scored: dict[str, Any] | None
) -> None:
    """Set the item's rank; it is beside the item's own versions."""
    query = update(items).where(items.c.item_id == item_id)
    await conn.execute(query.values(block=block, score=score, scored=scored))


def _item(row: Row[Any], theme_ids: tuple[str, ...]) -> Item:
    return Item(
        item_id=row.item_id,
        title=row.title,
        product=row.product,
        state=row.state,
        horizon=row.horizon,
        planned_at=row.planned_at,
        quarter=row.quarter,
        theme_ids=theme_ids,
        objective_id=row.objective_id,
        expected_reduction=row.expected_reduction,
        release=row.release,
        committed_at=row.committed_at,
        started_at=row.started_at,
        delivered_at=row.delivered_at,
        cancelled_at=row.cancelled_at,
        cancel_reason=row.cancel_reason,
        outcome_id=row.outcome_id,
        version=row.version,
    )


def _notes(row: Row[Any]) -> Notes:
    return Notes(
        correlation_id=row.correlation_id,
        owner=row.owner,
        effort_person_months=row.effort_person_months,
        duration_weeks=row.duration_weeks,
        expected_assumed=row.expected_assumed,
        power=row.power,
    )
