"""Which incidents are one incident, by a rule: a function of the set of them, by event time. Pure.

Members of a rule are the incidents that its matchers hold for and that have all that it goes `by`.
Two are joined when they agree in that, began no more than `within` apart and, where dependencies are
asked for, are of services of which one depends on the other. From the earliest member on: all that are
joined to it, directly or over others, and began no more than `span` after it, are a group if they are
`at_least` so many. The rest begins anew with the next earliest. Whether a member is of a group is thus
decided by what began within `span` before the group and `span` after, and by nothing else.
"""

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.incidents.catalog.domain import UNASSIGNED
from services.incidents.correlations.dependencies import Dependencies
from services.incidents.silences.matching import Matcher, compiled

ALERT, SERVICE, PRODUCT = "alert", "service", "product"
"""What a rule may go by that is no label; `alert` is one and the same (source, fingerprint)."""

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """What is taken together. `hops`: over how many steps a service may depend on another. Incidents
    that began before `since` are left alone."""

    name: str
    matchers: tuple[Matcher, ...]
    by: tuple[str, ...]
    dependencies: bool
    hops: int
    within: timedelta
    span: timedelta
    at_least: int
    since: datetime
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Member:
    """An incident as rules see it. `labels` are what matchers look at."""

    id: str
    opened_at: datetime
    source: str
    fingerprint: str | None
    service: str
    product: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Group:
    """Members that are one incident, by when they began."""

    parent: str
    began_at: datetime
    last_at: datetime
    members: frozenset[str]


@dataclass(frozen=True, slots=True)
class Child:
    """That an incident is part of another, and by which rule."""

    parent: str
    rule: str


def in_order(rules: Iterable[Rule]) -> list[Rule]:
    """Those that hold, in the order in which they are asked: what is one and the same alert is put
    together first. Who is a child by one is no member of those after it; a parent may be."""
    holding = (rule for rule in rules if rule.enabled)
    return sorted(holding, key=lambda rule: (ALERT not in rule.by, rule.name))


def correlated(
    rules: Iterable[Rule], members: Iterable[Member], dependencies: Dependencies
) -> dict[str, Child]:
    """Every child among these members. Their order, and how often one is named, change nothing."""
    left = {one.id: one for one in members}
    children: dict[str, Child] = {}
    for rule in in_order(rules):
        for group in grouped(rule, left.values(), dependencies):
            for member in group.members - {group.parent}:
                children[member] = Child(group.parent, rule.name)
                del left[member]
    return children


def grouped(rule: Rule, members: Iterable[Member], dependencies: Dependencies) -> list[Group]:
    """The groups that these members make by this rule, by when they began."""
    holds = compiled(rule.matchers)
    by_key: defaultdict[Key, list[Member]] = defaultdict(list)
    for member in {one.id: one for one in members}.values():
        if member.opened_at >= rule.since and holds(member.labels):
            key = key_of(rule, member)
            if key is not None:
                by_key[key].append(member)
    groups = [
        group for some in by_key.values() for group in _Pool(rule, some, dependencies).groups()
    ]
    return sorted(groups, key=lambda group: (group.began_at, group.parent))


def key_of(rule: Rule, member: Member) -> Key | None:
    """What the member has of what the rule goes by; None when it lacks any of it."""
    found: list[str] = []
    for name in rule.by:
        match name:
            case "alert":
                found += [member.source, member.fingerprint or ""]
            case "service":
                found.append("" if member.service == UNASSIGNED else member.service)
            case "product":
                found.append("" if member.product == UNASSIGNED else member.product)
            case _:
                found.append(member.labels.get(name, ""))
    if rule.dependencies and member.service == UNASSIGNED:
        return None
    return tuple(found) if all(found) else None


def _when(member: Member) -> tuple[datetime, str, str, str, str]:
    """Of what began at the same moment the first is not the one that arrived first, as its id would be."""
    one = member
    return one.opened_at, one.source, one.service, one.fingerprint or "", one.id


class _Pool:
    """The members of one key that are of no group yet, by service and time."""

    def __init__(self, rule: Rule, members: list[Member], dependencies: Dependencies) -> None:
        self._rule = rule
        self._dependencies = dependencies
        self._all = sorted(members, key=_when)
        self._left: defaultdict[str, list[Member]] = defaultdict(list)
        for member in self._all:
            self._left[self._place(member)].append(member)
        self._near: dict[str, list[str]] = {}

    def groups(self) -> Iterable[Group]:
        taken: set[str] = set()
        for first in self._all:
            if first.id in taken:
                continue
            found = self._joined_to(first)
            if len(found) >= self._rule.at_least:
                taken |= {one.id for one in found}
                yield self._group(found)
            else:
                for one in found:
                    if one is not first:
                        insort(self._left[self._place(one)], one, key=_when)

    def _place(self, member: Member) -> str:
        return member.service if self._rule.dependencies else ""

    def _joined_to(self, first: Member) -> list[Member]:
        """It and all that is joined to it, taken out of the pool."""
        rule, latest = self._rule, first.opened_at + self._rule.span
        own = self._left[self._place(first)]
        del own[bisect_left(own, _when(first), key=_when)]
        found = [first]
        for one in found:
            until = min(latest, one.opened_at + rule.within)
            for place in self._places_near(self._place(one)):
                some = self._left[place]
                begin = bisect_left(some, one.opened_at - rule.within, key=_opened)
                end = bisect_right(some, until, key=_opened)
                found += some[begin:end]
                del some[begin:end]
        return sorted(found, key=_when)

    def _places_near(self, place: str) -> list[str]:
        near = self._near.get(place)
        if near is None:
            hops = self._rule.hops
            near = [one for one in self._left if self._dependencies.joins(place, one, hops)]
            self._near[place] = near
        return near

    def _group(self, members: Sequence[Member]) -> Group:
        return Group(
            parent=_parent(self._rule, members, self._dependencies).id,
            began_at=members[0].opened_at,
            last_at=members[-1].opened_at,
            members=frozenset(one.id for one in members),
        )


def _opened(member: Member) -> datetime:
    return member.opened_at


def _parent(rule: Rule, members: Sequence[Member], dependencies: Dependencies) -> Member:
    """The first; where dependencies are asked for, of those that began within the gap after it the one
    that most of them depend on."""
    first = members[0]
    if not rule.dependencies:
        return first
    early = [one for one in members if one.opened_at - first.opened_at <= rule.within]
    services = {one.service for one in early}
    upstream = {one: dependencies.upstream(one, rule.hops).keys() & services for one in services}
    downstream = {one: sum(one in some for some in upstream.values()) for one in services}
    return min(
        early,
        key=lambda one: (-downstream[one.service], len(upstream[one.service]), *_when(one)),
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """The groups that are no more, and those that there are instead."""

    gone: tuple[Group, ...]
    made: tuple[Group, ...]
    settled_to: datetime
    """Up to here the difference reaches; what began later is as it was."""


def difference(old: Collection[Group], new: Collection[Group], last: datetime) -> Difference:
    """What a change of members, the last of which began at `last`, makes of groups.

    Groups begin one after the other, so a change moves those that are under way when it happens, and
    those that are under way when these end; once no group is that differs, all goes on as before.
    """
    was, now = set(old), set(new)
    settled = last
    gone: list[Group] = []
    made: list[Group] = []
    for group in sorted(was ^ now, key=lambda one: (one.began_at, one.last_at)):
        if group.began_at > settled:
            break
        settled = max(settled, group.last_at)
        (gone if group in was else made).append(group)
    return Difference(tuple(gone), tuple(made), settled)


def why(rule: Rule, child: Member, parent: Member, dependencies: Dependencies) -> str:
    """One sentence that says what makes a child of it."""
    if rule.by == (ALERT,) and not rule.dependencies:
        what = f"the same alert opened {parent.id} {_apart(child, parent)}"
    else:
        shared = [f"{name} {key}" for name, key in _shared(rule, child)]
        if rule.dependencies:
            shared.append(_dependence(rule, child, parent, dependencies))
        what = f"it shares with {parent.id}, which began {_apart(child, parent)}: "
        what += ", ".join(shared)
    return f"By rule {rule.name}, {what}."


def _shared(rule: Rule, child: Member) -> Iterable[tuple[str, str]]:
    for name in rule.by:
        match name:
            case "alert":
                yield "alert", child.fingerprint or ""
            case "service":
                yield name, child.service
            case "product":
                yield name, child.product
            case _:
                yield name, child.labels.get(name, "")


def _dependence(rule: Rule, child: Member, parent: Member, dependencies: Dependencies) -> str:
    if child.service == parent.service:
        return f"service {child.service}"
    if parent.service in dependencies.upstream(child.service, rule.hops):
        return f"{child.service} depends on {parent.service}"
    if child.service in dependencies.upstream(parent.service, rule.hops):
        return f"{parent.service} depends on {child.service}"
    return f"what {child.service} and {parent.service} depend on, or what depends on both"


def _apart(child: Member, parent: Member) -> str:
    seconds = round((child.opened_at - parent.opened_at).total_seconds())
    number, unit = (abs(seconds), "s") if abs(seconds) < 120 else (abs(seconds) // 60, "min")
    return f"{number} {unit} {'before' if seconds >= 0 else 'after'} it"
