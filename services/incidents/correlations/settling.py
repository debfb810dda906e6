"""Decides anew who is whose child after something changed, and says so of each it changes.

Looks only at what can be concerned: what began within the span of a rule around the change.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.correlations import store
from services.incidents.correlations.dependencies import NONE, Dependencies
from services.incidents.correlations.domain import (
    ALERT,
    Child,
    Rule,
    difference,
    grouped,
    in_order,
    why,
)
from services.incidents.correlations.store import Alert
from services.incidents.incidents import commands
from services.incidents.incidents import store as incident_store
from services.incidents.incidents.domain import Command, Correlate, Uncorrelate
from services.incidents.incidents.incident import Incident
from services.incidents.incidents.store import Change
from shared.context import Context
from shared.database import Database
from shared.ids import new_id

BATCH = 500
"""Incidents that one transaction looks at anew."""


@dataclass(frozen=True, slots=True)
class Spot:
    """That something changed about an incident of this alert, which began then."""

    at: datetime
    alert: Alert | None


@dataclass(frozen=True, slots=True)
class _Cluster:
    """Changes so near to each other that they are looked at together."""

    first: datetime
    last: datetime
    alerts: frozenset[Alert]


async def settle(
    conn: AsyncConnection, spots: Collection[Spot], ctx: Context, *, ids: Collection[str] = ()
) -> int:
    """Decide anew around these changes, in the caller's transaction. Publishes what that changes, and
    what of these incidents isn't as their groups say; returns of how many. Idempotent."""
    stored = [one.rule() for one in await store.load_rules(conn)]
    rules = in_order(stored)
    asks = any(rule.dependencies for rule in rules)
    dependencies = await store.load_dependencies(conn) if asks else NONE
    known, concerned = set(spots), set(ids)
    before: list[str] = []
    for rule in rules:
        moved: set[str] = set()
        for cluster in _clusters(rule, known):
            moved |= await _settle_rule(conn, rule, before, cluster, dependencies)
        members = await store.members_of(conn, moved)
        known |= {
            Spot(one.opened_at, _alert(one.source, one.fingerprint)) for one in members.values()
        }
        concerned |= moved
        before.append(rule.name)
    return await _tell(conn, concerned, {one.name: one for one in stored}, dependencies, ctx)


async def settle_due(db: Database, now: datetime) -> int:
    """Look anew at the next incidents of those that a changed rule makes due.

    One transaction for at most 500; returns how many, so that the caller can go on. Idempotent.
    """
    async with db.read() as conn:
        if await store.due(conn) is None:
            return 0
    request = new_id("req")
    ctx = Context("incidents", "service:incidents", now, request, request)
    async with db.begin() as conn:
        place = await store.due(conn)
        if place is None:
            return 0
        some = await store.opened_after(conn, place, BATCH)
        ids = [incident_id for _, incident_id in some]
        known = await store.members_of(conn, ids)
        spots = {Spot(one.opened_at, _alert(one.source, one.fingerprint)) for one in known.values()}
        await settle(conn, spots, ctx, ids=ids)
        # failpoint: correlations.settled
        await store.move_due(conn, some[-1] if len(some) == BATCH else None)
    return len(some)


def _alert(source: str, fingerprint: str | None) -> Alert | None:
    return None if fingerprint is None else (source, fingerprint)


def _clusters(rule: Rule, spots: Iterable[Spot]) -> list[_Cluster]:
    """The changes that concern the rule, parted where no group can reach from one to the next."""
    concerning = [one for one in spots if ALERT not in rule.by or one.alert is not None]
    found: list[list[Spot]] = []
    for spot in sorted(concerning, key=lambda one: one.at):
        if found and spot.at - found[-1][-1].at <= 3 * rule.span:
            found[-1].append(spot)
        else:
            found.append([spot])
    return [
        _Cluster(
            some[0].at, some[-1].at, frozenset(one.alert for one in some if one.alert is not None)
        )
        for some in found
    ]


async def _settle_rule(
    conn: AsyncConnection,
    rule: Rule,
    before: Sequence[str],
    cluster: _Cluster,
    dependencies: Dependencies,
) -> set[str]:
    """The incidents whose groups changed. A group that began more than a span before the change can't
    be concerned, and keeps what it has; on the other side the look widens until all is as it was."""
    alerts = cluster.alerts if ALERT in rule.by else None
    begin, span = cluster.first - rule.span, rule.span
    end = cluster.last + 2 * span
    while True:
        old = await store.groups_between(conn, rule.name, begin - span, end, alerts)
        fixed = {member for one in old if one.began_at < begin for member in one.members}
        old = [one for one in old if one.began_at >= begin]
        found = await store.members_between(conn, begin, end, alerts=alerts, not_children_by=before)
        new = grouped(rule, [one for one in found if one.id not in fixed], dependencies)
        differs = difference(old, new, cluster.last)
        if differs.settled_to + span <= end:  # groups that begin by then were seen whole
            break
        end = differs.settled_to + 2 * span
    await store.replace_groups(conn, rule.name, differs.gone, differs.made)
    return {member for group in (*differs.gone, *differs.made) for member in group.members}


def _is_child(incident: Incident) -> Child | None:
    if incident.parent_id is None or incident.correlated_by is None:
        return None
    return Child(incident.parent_id, incident.correlated_by)


async def _tell(
    conn: AsyncConnection,
    ids: Collection[str],
    rules: dict[str, Rule],
    dependencies: Dependencies,
    ctx: Context,
) -> int:
    """Have each of these incidents be the child that it is by now, or none."""
    children = await store.children(conn, ids)
    known = await incident_store.load(conn, ids)
    moved = {one for one, incident in known.items() if _is_child(incident) != children.get(one)}
    members = await store.members_of(
        conn, moved | {children[one].parent for one in moved & children.keys()}
    )
    changes: list[Change] = []
    for one in sorted(moved):
        child = children.get(one)
        command: Command = Uncorrelate()
        if child is not None:
            reason = why(rules[child.rule], members[one], members[child.parent], dependencies)
            command = Correlate(child.parent, child.rule, reason)
        changes.append(commands.after(commands.unchanged(known[one], ctx), command))
    await commands.record(conn, [change for change in changes if change.entries])
    return len(changes)
