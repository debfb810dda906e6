"""The table `themes`: a copy of what feedback published, so that decisions need not ask for it.

It is no authority: feedback owns themes, and each row only follows the newest version seen.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Column, Integer, Row, Table, Text, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap.metadata import metadata
from shared.contracts.feedback import EvidenceNumbersData, ReasonData, RiseData
from shared.database import Json, UtcDateTime
from shared.keys import one_of
from shared.prepared import Prepared, Upsert

ThemeState = Literal["escalated", "quiet", "merged"]

themes = Table(
    "themes",
    metadata,
    Column("theme_id", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("product", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("into_theme_id", Text, index=True),
    Column("reasons", Json, nullable=False),
    Column("evidence", Json),
    Column("rises", Json, nullable=False, server_default="[]"),
)

LONGEST_CHAIN = 50
"""Merges that are followed before a chain is taken for a circle."""


@dataclass(frozen=True, slots=True)
class Theme:
    """A theme as of `version`; `at` is the event time of what was said last. `rises`: every time that
    it stood up, oldest first, as far as the evidence says so by now."""

    theme_id: str
    version: int
    at: datetime
    product: str
    service: str
    title: str
    state: ThemeState
    reasons: tuple[ReasonData, ...] = ()
    evidence: EvidenceNumbersData | None = None
    into_theme_id: str | None = None
    rises: tuple[RiseData, ...] = ()

    @property
    def quiet_since(self) -> datetime | None:
        """When the last rise fell, or when it was said that there never was one; None when it stands."""
        if self.state == "escalated":
            return None
        return max((rise.fell_at for rise in self.rises if rise.fell_at), default=self.at)

    @property
    def total(self) -> int:
        """Rows of evidence, or 0 when none was ever told."""
        return self.evidence.total if self.evidence else 0


_LOAD = Prepared(select(themes).where(one_of(themes.c.theme_id)))


async def load(conn: AsyncConnection, theme_id: str) -> Theme | None:
    found = await load_many(conn, [theme_id])
    return found[0] if found else None


async def load_many(conn: AsyncConnection, theme_ids: Iterable[str]) -> list[Theme]:
    """Those of these themes that feedback has spoken of, in no order."""
    return [_theme(row) for row in await _LOAD.of(conn, theme_ids)]


_SAVE = Upsert(themes, "theme_id")


async def save(conn: AsyncConnection, changed: Sequence[Theme]) -> None:
    """Enter themes, or replace what is known of them."""
    await _SAVE.many(conn, [_values(theme) for theme in changed])


def _values(theme: Theme) -> dict[str, Any]:
    return {
        "theme_id": theme.theme_id,
        "version": theme.version,
        "at": theme.at,
        "product": theme.product,
        "service": theme.service,
        "title": theme.title,
        "state": theme.state,
        "into_theme_id": theme.into_theme_id,
        "reasons": [reason.model_dump(mode="json") for reason in theme.reasons],
        "evidence": theme.evidence.model_dump(mode="json") if theme.evidence else None,
        "rises": [rise.model_dump(mode="json") for rise in theme.rises],
    }


_WITH_PARTS = Prepared(select(themes.c.into_theme_id).where(one_of(themes.c.into_theme_id)))


async def with_parts(conn: AsyncConnection, theme_ids: Iterable[str]) -> set[str]:
    """Those of these themes that another one was merged into."""
    return {row.into_theme_id for row in await _WITH_PARTS.of(conn, theme_ids)}


_FOLLOWING = Prepared(
    select(themes.c.into_theme_id).where(
        themes.c.theme_id == bindparam("theme"), themes.c.state == "merged"
    )
)


async def standing_for(conn: AsyncConnection, theme_id: str) -> str:
    """The theme that this one is part of by now: itself, or what it was merged into."""
    seen = {theme_id}
    current = theme_id
    for _ in range(LONGEST_CHAIN):
        rows = await _FOLLOWING.rows(conn, {"theme": current})
        following = rows[0].into_theme_id if rows else None
        if following is None or following in seen:
            return current
        seen.add(following)
        current = following
    return current


_PARTS = Prepared(
    select(themes.c.theme_id).where(one_of(themes.c.into_theme_id), themes.c.state == "merged")
)


async def merged_into(conn: AsyncConnection, theme_id: str) -> list[str]:
    """The themes that are part of this one by now."""
    found: list[str] = []
    frontier = [theme_id]
    while frontier:
        rows = await _PARTS.of(conn, frontier)
        frontier = sorted({row.theme_id for row in rows} - {theme_id, *found})
        found += frontier
    return found


async def standing_for_all(conn: AsyncConnection, theme_ids: Sequence[str]) -> tuple[str, ...]:
    """`standing_for` of each, without repeats, in order."""
    return tuple(dict.fromkeys([await standing_for(conn, theme_id) for theme_id in theme_ids]))


def _theme(row: Row[Any]) -> Theme:
    return Theme(
        theme_id=row.theme_id,
        version=row.version,
        at=row.at,
        product=row.product,
        service=row.service,
        title=row.title,
        state=row.state,
        reasons=tuple(ReasonData.model_validate(reason) for reason in row.reasons),
        evidence=EvidenceNumbersData.model_validate(row.evidence) if row.evidence else None,
        into_theme_id=row.into_theme_id,
        rises=tuple(RiseData.model_validate(rise) for rise in row.rises),
    )
