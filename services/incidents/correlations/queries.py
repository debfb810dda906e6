"""Reads of correlations: the rules as they are, and what one would take together of what is stored."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.correlations import store
from services.incidents.correlations.dependencies import NONE
from services.incidents.correlations.domain import Group, Member, Rule, grouped, why
from services.incidents.correlations.refusals import CorrelationRuleUnknown
from services.incidents.correlations.store import correlation_rules, stored_rule
from shared.http.fields import JsonObject, View
from shared.http.pages import Page, page_of

MOST = 20_000
"""Incidents that a preview looks at: the newest."""


class CorrelationRuleView(View):
    """A rule: what was put, by whom and when, and from when on it holds."""

    name: str
    rule: JsonObject
    since: datetime
    version: int
    by: str
    changed_at: datetime


def shown(stored: store.StoredRule) -> CorrelationRuleView:
    return CorrelationRuleView(
        name=stored.name,
        rule=dict(stored.document),
        since=stored.since,
        version=stored.version,
        by=stored.by,
        changed_at=stored.changed_at,
    )


def _view(row: Row[Any]) -> CorrelationRuleView:
    return shown(stored_rule(row))


async def rule(conn: AsyncConnection, name: str) -> CorrelationRuleView:
    """The rule of that name. Raises CorrelationRuleUnknown."""
    found = await store.load_rule(conn, name)
    if found is None:
        raise CorrelationRuleUnknown(name)
    return shown(found)


async def list_rules(
    conn: AsyncConnection, *, limit: int, cursor: str | None
) -> Page[CorrelationRuleView]:
    """Rules by name."""
    return await page_of(
        conn,
        select(correlation_rules),
        [correlation_rules.c.name],
        limit=limit,
        cursor=cursor,
        view=_view,
        descending=False,
    )


@dataclass(frozen=True, slots=True)
class LookedBack:
    """What a rule would have taken together, newest first, and why each child is one."""

    complete: bool
    incidents: int
    groups: list[Group] = field(default_factory=list[Group])
    members: dict[str, Member] = field(default_factory=dict[str, Member])
    reasons: dict[str, str] = field(default_factory=dict[str, str])


async def look_back(
    conn: AsyncConnection, asked: Rule, since: datetime, now: datetime, most_told: int
) -> LookedBack:
    """Of the incidents opened since then, by this rule alone. Only reads."""
    dependencies = await store.load_dependencies(conn) if asked.dependencies else NONE
    some = await store.newest_between(conn, since, now, MOST)
    members = {one.id: one for one in some}
    groups = grouped(asked, some, dependencies)[::-1]
    reasons = {
        child: why(asked, members[child], members[group.parent], dependencies)
        for group in groups[:most_told]
        for child in group.members - {group.parent}
    }
    return LookedBack(len(some) < MOST, len(some), groups, members, reasons)
