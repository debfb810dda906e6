"""The tables `themes`, `theme_keys` and `theme_decisions`. Many themes are loaded and saved at once."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Index,
    Integer,
    Row,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.metadata import metadata
from services.feedback.themes.domain import Theme, ThemeUnknown
from shared.clock import EARLIEST, parse_rfc3339, rfc3339
from shared.database import Json, Serial, UtcDateTime, insert_into
from shared.keys import one_of, packed
from shared.prepared import Prepared, Upsert

themes = Table(
    "themes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("product", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("title_given", Boolean, nullable=False),
    Column("template", Text, nullable=False),
    Column("alert_name", Text),
    Column("state", Text, nullable=False),
    Column("rose_at", UtcDateTime),
    Column("told", Text, nullable=False),
    Column("announced", Json, nullable=False),
    Column("told_as_of", UtcDateTime, index=True),
    Column("dismissed_at", UtcDateTime),
    Column("merged_into", Text, index=True),
    Column("evidence_count", Integer, nullable=False),
    Column("first_at", UtcDateTime, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
    Column("review_at", UtcDateTime, index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("version", Integer, nullable=False),
    Index("themes_last", "last_at", "id"),
    Index("themes_state_last", "state", "last_at", "id"),
    Index("themes_product_last", "product", "last_at", "id"),
)

theme_keys = Table(
    "theme_keys",
    metadata,
    Column("key", Text, primary_key=True),
    Column("theme_id", Text, nullable=False, index=True),
)
"""Which theme takes what has this key. The key itself carries the version of the rule that made it."""

theme_decisions = Table(
    "theme_decisions",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("theme_id", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("other_theme_id", Text, nullable=False, index=True),
    Column("evidence_ids", Json, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)
"""merge: `theme_id` went into `other_theme_id`; split: `theme_id` came out of `other_theme_id`."""


def theme(row: Row[Any]) -> Theme:
    """The theme of a whole row."""
    values = row._asdict()  # pyright: ignore[reportPrivateUsage]
    values["announced"] = {name: parse_rfc3339(at) for name, at in row.announced.items()}
    return Theme(**values)


def _values(one: Theme) -> dict[str, Any]:
    values = {column.name: getattr(one, column.name) for column in themes.c}
    values["announced"] = {name: rfc3339(at) for name, at in one.announced.items()}
    return values


async def load(conn: AsyncConnection, theme_id: str) -> Theme:
    """The theme. Raises ThemeUnknown."""
    found = await load_many(conn, [theme_id])
    if theme_id not in found:
        raise ThemeUnknown(f"There is no theme {theme_id!r}; find one with GET /v1/themes.")
    return found[theme_id]


_LOAD = Prepared(select(themes).where(one_of(themes.c.id)).order_by(themes.c.id))


async def load_many(conn: AsyncConnection, theme_ids: Iterable[str]) -> dict[str, Theme]:
    """These themes, by id; unknown ids are absent."""
    return {row.id: theme(row) for row in await _LOAD.of(conn, theme_ids)}


_LIVE_IDS = Prepared(select(themes.c.id, themes.c.merged_into).where(one_of(themes.c.id)))


async def live_ids(conn: AsyncConnection, theme_ids: Iterable[str]) -> dict[str, str]:
    """For each of these ids the theme that it is now: itself, or what it was merged into.

    `merged_into` always names a live theme, so one step is enough. Unknown ids are absent.
    """
    return {row.id: row.merged_into or row.id for row in await _LIVE_IDS.of(conn, theme_ids)}


_ADD = Prepared(insert(themes))


async def add(conn: AsyncConnection, new: Sequence[Theme]) -> None:
    """Enter themes."""
    await _ADD.many(conn, [_values(one) for one in new])


async def claim_keys(conn: AsyncConnection, wanted: Mapping[str, str]) -> dict[str, str]:
    """Let these keys (key → theme id) lead to their themes from now on, and say where each leads:
    elsewhere, if somebody else was first."""
    rows = [{"key": key, "theme_id": theme_id} for key, theme_id in sorted(wanted.items())]
    if not rows:
        return {}
    query = insert_into(conn, theme_keys).values(rows).on_conflict_do_nothing()
    claimed = set((await conn.execute(query.returning(theme_keys.c.key))).scalars())
    lost = await by_key(conn, wanted.keys() - claimed)
    return {**wanted, **lost}


_SAVE = Upsert(themes, "id")


async def save(conn: AsyncConnection, changed: Sequence[Theme]) -> None:
    """Write themes that this transaction loaded: nobody else writes meanwhile."""
    await _SAVE.many(conn, [_values(one) for one in changed])


_BY_KEY = Prepared(select(theme_keys.c.key, theme_keys.c.theme_id).where(one_of(theme_keys.c.key)))


async def by_key(conn: AsyncConnection, keys: Iterable[str]) -> dict[str, str]:
    """The theme ids that these keys lead to; unknown keys are absent."""
    wanted = [(key,) for key in sorted(set(keys))]
    if not wanted:
        return {}
    return {row.key: row.theme_id for row in await _BY_KEY.rows(conn, {"keys": packed(wanted)})}


async def follow_merge(conn: AsyncConnection, theme_id: str, into: str) -> None:
    """Whatever was merged into `theme_id` earlier is part of `into` now."""
    earlier = update(themes).where(themes.c.merged_into == theme_id)
    await conn.execute(earlier.values(merged_into=into))


async def move_keys(conn: AsyncConnection, theme_id: str, into: str) -> None:
    """What comes with a key of `theme_id` belongs to `into` from now on."""
    query = update(theme_keys).where(theme_keys.c.theme_id == theme_id)
    await conn.execute(query.values(theme_id=into))


async def drop_keys(conn: AsyncConnection, theme_id: str) -> None:
    """What comes with a key of `theme_id` opens a new theme from now on."""
    await conn.execute(delete(theme_keys).where(theme_keys.c.theme_id == theme_id))


async def note_decision(
    conn: AsyncConnection,
    kind: str,
    theme_id: str,
    other: str,
    *,
    by: str,
    reason: str,
    at: datetime,
    evidence_ids: Sequence[str] = (),
) -> None:
    """Keep who merged or split what, and why."""
    await conn.execute(
        insert(theme_decisions).values(
            theme_id=theme_id,
            kind=kind,
            other_theme_id=other,
            evidence_ids=list(evidence_ids),
            by=by,
            reason=reason,
            at=at,
        )
    )


async def due(conn: AsyncConnection, as_of: datetime, limit: int) -> list[str]:
    """Live themes whose state may have changed by `as_of` though nothing came in; longest due first."""
    query = (
        select(themes.c.id)
        .where(themes.c.review_at <= as_of)
        .order_by(themes.c.review_at, themes.c.id)
        .limit(limit)
    )
    return list((await conn.execute(query)).scalars())


async def told_before(conn: AsyncConnection, before: datetime, limit: int) -> list[str]:
    """Live themes whose numbers were last told as of an earlier time; the oldest told first."""
    query = (
        select(themes.c.id)
        .where(themes.c.told_as_of < before)
        .order_by(themes.c.told_as_of, themes.c.id)
        .limit(limit)
    )
    return list((await conn.execute(query)).scalars())


_MAKE_KNOWN = Prepared(
    update(themes)
    .where(
        themes.c.id == bindparam("theme"),
        themes.c.told_as_of.is_(None),
        themes.c.state != "merged",
    )
    .values(told_as_of=bindparam("since", type_=UtcDateTime()))
)


async def make_known(conn: AsyncConnection, theme_ids: Iterable[str]) -> None:
    """Have the numbers of these themes told from now on; those of live ones that are not told yet."""
    rows = [{"theme": id, "since": EARLIEST} for id in sorted(set(theme_ids))]
    await _MAKE_KNOWN.many(conn, rows)


async def make_due(conn: AsyncConnection, product: str | None) -> None:
    """Have all live themes, or those of one product, looked at again at the next review."""
    query = update(themes).where(themes.c.state != "merged")
    if product is not None:
        query = query.where(themes.c.product == product)
    await conn.execute(query.values(review_at=EARLIEST))
