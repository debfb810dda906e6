"""The tables `correlation_rules`, `correlations` (who is one incident by which rule) and
`correlations_due` (from where on all of that is to be decided anew)."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    Index,
    Integer,
    Row,
    Table,
    Text,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.catalog.store import service_names, services
from services.incidents.correlations.dependencies import Dependencies
from services.incidents.correlations.domain import Child, Group, Member, Rule
from services.incidents.incidents.store import incidents, parts
from services.incidents.metadata import metadata
from services.incidents.silences.matching import Matcher, labels_of
from shared.database import Json, UtcDateTime, insert_into
from shared.keys import one_of, packed
from shared.prepared import Prepared
from shared.refusals import Conflict

correlation_rules = Table(
    "correlation_rules",
    metadata,
    Column("name", Text, primary_key=True),
    Column("document", Json, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("version", Integer, nullable=False),
    Column("by", Text, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
)

correlations = Table(
    "correlations",
    metadata,
    Column("rule", Text, primary_key=True),
    Column("incident_id", Text, primary_key=True),
    Column("parent_id", Text, nullable=False),
    Column("began_at", UtcDateTime, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
    Index("correlations_by_time", "rule", "began_at"),
    Index("correlations_of_incident", "incident_id"),
)
"""A row for each member of each group, the parent's too. An incident is a child by one rule at most."""

correlations_due = Table(
    "correlations_due",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("incident_id", Text, nullable=False),
)
"""One row at most: the incident by opening after which all is to be looked at anew."""

THE_ONE = 1

Alert = tuple[str, str]


@dataclass(frozen=True, slots=True)
class StoredRule:
    """A rule as it was put, by whom and when."""

    name: str
    document: Mapping[str, Any]
    since: datetime
    version: int
    by: str
    changed_at: datetime

    def rule(self) -> Rule:
        """The rule that the document says. What it leaves out has its default."""
        said = self.document
        return Rule(
            name=self.name,
            matchers=tuple(
                Matcher(one["label"], one.get("op", "="), one["value"])
                for one in said.get("matchers", ())
            ),
            by=tuple(said.get("by", ())),
            dependencies=said.get("dependencies", False),
            hops=said.get("hops", 2),
            within=timedelta(seconds=said["within_seconds"]),
            span=timedelta(seconds=said["span_seconds"]),
            at_least=said.get("at_least", 2),
            since=self.since,
            enabled=said.get("enabled", True),
        )


async def load_rule(conn: AsyncConnection, name: str) -> StoredRule | None:
    query = select(correlation_rules).where(correlation_rules.c.name == name)
    row = (await conn.execute(query)).one_or_none()
    return None if row is None else stored_rule(row)


_RULES = Prepared(select(correlation_rules))


async def load_rules(conn: AsyncConnection) -> list[StoredRule]:
    """Every rule, also those that are switched off."""
    return [stored_rule(row) for row in await _RULES.rows(conn, {})]


def stored_rule(row: Row[Any]) -> StoredRule:
    return StoredRule(**row._asdict())  # pyright: ignore[reportPrivateUsage]


async def count_rules(conn: AsyncConnection) -> int:
    return (await conn.execute(select(func.count()).select_from(correlation_rules))).scalar_one()


async def save_rule(conn: AsyncConnection, changed: StoredRule, *, was: int | None) -> None:
    """Write it. `was` is the version it was loaded with, None for a new one. Raises Conflict."""
    values = {
        "name": changed.name,
        "document": dict(changed.document),
        "since": changed.since,
        "version": changed.version,
        "by": changed.by,
        "changed_at": changed.changed_at,
    }
    if was is None:
        await conn.execute(insert(correlation_rules).values(values))
        return
    query = update(correlation_rules).where(
        correlation_rules.c.name == changed.name, correlation_rules.c.version == was
    )
    if (await conn.execute(query.values(values))).rowcount != 1:
        raise Conflict(f"Rule {changed.name!r} was changed meanwhile; read it again and retry.")


async def remove_rule(conn: AsyncConnection, name: str) -> None:
    await conn.execute(delete(correlation_rules).where(correlation_rules.c.name == name))


async def forget_groups(conn: AsyncConnection, rule: str) -> datetime | None:
    """Forget what was decided by this rule. Says when the first of that began."""
    of_rule = correlations.c.rule == rule
    first = (await conn.execute(select(func.min(correlations.c.began_at)).where(of_rule))).scalar()
    await conn.execute(delete(correlations).where(of_rule))
    return first


async def load_dependencies(conn: AsyncConnection) -> Dependencies:
    """Which services depend on which, by the catalog as it is now."""
    names = await conn.execute(select(service_names.c.claimed, service_names.c.name))
    aliases = {row.claimed: row.name for row in names}
    stated = await conn.execute(select(services.c.name, services.c.dependencies))
    return Dependencies({row.name: row.dependencies for row in stated}, aliases)


_MEMBER = (
    incidents.c.id,
    incidents.c.opened_at,
    incidents.c.source,
    incidents.c.fingerprint,
    incidents.c.service,
    incidents.c.product,
    incidents.c.severity,
    incidents.c.alert_name,
    incidents.c.labels,
)


def _member(row: Any) -> Member:
    labels = labels_of(
        row.labels,
        source=row.source,
        service=row.service,
        severity=row.severity,
        alert_name=row.alert_name,
    )
    return Member(
        row.id, row.opened_at, row.source, row.fingerprint, row.service, row.product, labels
    )


_FIRST = bindparam("first", type_=UtcDateTime())
_LAST = bindparam("last", type_=UtcDateTime())

_MEMBERS = select(*_MEMBER).where(
    incidents.c.opened_at >= _FIRST,
    incidents.c.opened_at <= _LAST,
    incidents.c.silenced_by.is_(None),
)
_NO_CHILDREN = _MEMBERS.where(
    ~exists().where(
        correlations.c.incident_id == incidents.c.id,
        one_of(correlations.c.rule, keys="rules"),
        correlations.c.parent_id != incidents.c.id,
    )
)
_OF_ALERTS = one_of(incidents.c.source, incidents.c.fingerprint, keys="alerts")
_BETWEEN = {
    (True, True): Prepared(_NO_CHILDREN.where(_OF_ALERTS)),
    (True, False): Prepared(_NO_CHILDREN),
    (False, True): Prepared(_MEMBERS.where(_OF_ALERTS)),
    (False, False): Prepared(_MEMBERS),
}
"""By whether children of rules are left out, and whether it is about some alerts alone."""


async def members_between(
    conn: AsyncConnection,
    first: datetime,
    last: datetime,
    *,
    alerts: Collection[Alert] | None = None,
    not_children_by: Sequence[str] = (),
) -> list[Member]:
    """What was opened from `first` to `last`, of these alerts or of any, isn't silenced, and is no
    child by these rules. Members of whatever rule."""
    values: dict[str, Any] = {"first": first, "last": last}
    if not_children_by:
        values["rules"] = packed((rule,) for rule in not_children_by)
    if alerts is not None:
        values["alerts"] = packed(alerts)
    statement = _BETWEEN["rules" in values, "alerts" in values]
    return [_member(row) for row in await statement.rows(conn, values)]


async def newest_between(
    conn: AsyncConnection, first: datetime, last: datetime, limit: int
) -> list[Member]:
    """The newest of what was opened from `first` to `last` and isn't silenced."""
    query = select(*_MEMBER).where(
        incidents.c.opened_at >= first,
        incidents.c.opened_at <= last,
        incidents.c.silenced_by.is_(None),
    )
    newest = query.order_by(incidents.c.opened_at.desc(), incidents.c.id.desc()).limit(limit)
    return [_member(row) for row in await conn.execute(newest)]


_MEMBERS_OF = Prepared(select(*_MEMBER).where(one_of(incidents.c.id)))


async def members_of(conn: AsyncConnection, ids: Iterable[str]) -> dict[str, Member]:
    """These incidents, as rules see them; unknown ids are absent."""
    return {row.id: _member(row) for row in await _MEMBERS_OF.of(conn, ids)}


_GROUPS = select(correlations).where(
    correlations.c.rule == bindparam("named"),
    correlations.c.began_at >= _FIRST,
    correlations.c.began_at <= _LAST,
)
_GROUPS_BETWEEN = Prepared(_GROUPS)
_GROUPS_OF_ALERTS = Prepared(
    _GROUPS.join(incidents, incidents.c.id == correlations.c.incident_id).where(_OF_ALERTS)
)


async def groups_between(
    conn: AsyncConnection,
    rule: str,
    first: datetime,
    last: datetime,
    alerts: Collection[Alert] | None = None,
) -> list[Group]:
    """The groups of this rule that begin from `first` to `last`, of these alerts or of any."""
    values: dict[str, Any] = {"named": rule, "first": first, "last": last}
    if alerts is None:
        return _groups(await _GROUPS_BETWEEN.rows(conn, values))
    values["alerts"] = packed(alerts)
    return _groups(await _GROUPS_OF_ALERTS.rows(conn, values))


def _groups(rows: Iterable[Row[Any]]) -> list[Group]:
    by_parent: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        by_parent[row.parent_id].append(row)
    return [
        Group(parent, some[0].began_at, some[0].last_at, frozenset(r.incident_id for r in some))
        for parent, some in by_parent.items()
    ]


async def replace_groups(
    conn: AsyncConnection, rule: str, gone: Collection[Group], made: Collection[Group]
) -> None:
    """Write that there are other groups now by this rule. A member that began elsewhen, by what is
    stored but wasn't heard yet, leaves the group that it was in; what remains of that is decided anew
    once it is heard."""
    for some in parts({member for group in (*gone, *made) for member in group.members}):
        query = delete(correlations).where(correlations.c.rule == rule)
        await conn.execute(query.where(correlations.c.incident_id.in_(some)))
    rows = [
        {
            "rule": rule,
            "incident_id": member,
            "parent_id": group.parent,
            "began_at": group.began_at,
            "last_at": group.last_at,
        }
        for group in made
        for member in sorted(group.members)
    ]
    if rows:
        await conn.execute(insert(correlations), rows)


async def children(conn: AsyncConnection, ids: Iterable[str]) -> dict[str, Child]:
    """Whose child each of these incidents is, and by which rule; the others are absent."""
    found: dict[str, Child] = {}
    for some in parts(ids):
        query = select(correlations).where(
            correlations.c.incident_id.in_(some),
            correlations.c.parent_id != correlations.c.incident_id,
        )
        for row in await conn.execute(query):
            found[row.incident_id] = Child(row.parent_id, row.rule)
    return found


async def due(conn: AsyncConnection) -> tuple[datetime, str] | None:
    """After which incident, by opening, all is to be looked at anew; None when nothing is."""
    row = (await conn.execute(select(correlations_due))).one_or_none()
    return None if row is None else (row.opened_at, row.incident_id)


async def make_due(conn: AsyncConnection, moment: datetime) -> None:
    """Have everything looked at anew that was opened then or later, and what is due already."""
    before = await due(conn)
    if before is None or moment <= before[0]:
        await move_due(conn, (moment, ""))


async def move_due(conn: AsyncConnection, to: tuple[datetime, str] | None) -> None:
    """Go on from there the next time; None: it is done."""
    if to is None:
        await conn.execute(delete(correlations_due))
        return
    upsert = insert_into(conn, correlations_due)
    values = {"opened_at": to[0], "incident_id": to[1]}
    await conn.execute(
        upsert.values(id=THE_ONE, **values).on_conflict_do_update(
            index_elements=["id"], set_=values
        )
    )


async def opened_after(
    conn: AsyncConnection, place: tuple[datetime, str], limit: int
) -> list[tuple[datetime, str]]:
    """The next incidents after this one by opening: when, and which."""
    key = tuple_(incidents.c.opened_at, incidents.c.id)
    query = select(incidents.c.opened_at, incidents.c.id).where(key > place)
    ordered = query.order_by(incidents.c.opened_at, incidents.c.id).limit(limit)
    return [(row.opened_at, row.id) for row in await conn.execute(ordered)]
