"""What a rule takes together: the first is the parent, no straggler holds it open, no order counts."""

from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.incidents.correlations.dependencies import NONE, Dependencies
from services.incidents.correlations.domain import (
    Child,
    Group,
    Member,
    Rule,
    correlated,
    difference,
    grouped,
    why,
)
from services.incidents.silences.matching import Matcher
from tests.incidents.correlations.groups import (
    FLAPPING,
    RULES,
    SHOP,
    at,
    member,
    members,
    rule,
)

HOURS = 3600


def children(rule: Rule, *some: Member, dependencies: Dependencies = NONE) -> dict[str, str]:
    found = correlated([rule], some, dependencies)
    return {child: one.parent for child, one in found.items()}


def test_what_shares_the_labels_is_one_and_the_first_is_the_parent() -> None:
    some = [member("c", 40, zone="eu"), member("a", 0, zone="eu"), member("b", 20, zone="us")]
    assert children(rule(by=("zone",)), *some) == {"c": "a"}


def test_what_lacks_a_label_is_one_with_nothing() -> None:
    assert children(rule(by=("zone",)), member("a", 0), member("b", 1)) == {}


def test_members_may_be_as_far_apart_as_the_gap_and_no_further() -> None:
    by_zone = rule(by=("zone",))
    assert children(by_zone, member("a", 0, zone="eu"), member("b", 60, zone="eu")) == {"b": "a"}
    assert children(by_zone, member("a", 0, zone="eu"), member("b", 60.001, zone="eu")) == {}


def test_a_group_spans_no_more_than_was_said_however_steadily_others_follow() -> None:
    some = [member(f"{n}", 50 * n, zone="eu") for n in range(8)]
    assert children(rule(by=("zone",)), *some) == {
        "1": "0",
        "2": "0",
        "3": "0",
        "5": "4",
        "6": "4",
        "7": "4",
    }


def test_too_few_are_no_group_and_the_next_begins_anew() -> None:
    some = [member("a", 0, zone="eu"), *[member(f"b{n}", 170 + n, zone="eu") for n in range(3)]]
    three = rule(by=("zone",), at_least=3, within=timedelta(seconds=180))
    assert children(three, *some) == {"b1": "a", "b2": "a", "b0": "a"}
    four = rule(by=("zone",), at_least=4, within=timedelta(seconds=180))
    assert children(four, member("z", -15, zone="eu"), *some) == {"b0": "a", "b1": "a", "b2": "a"}


@pytest.mark.parametrize(
    ("name", "value", "together"),
    [("service", "api", True), ("service", "unassigned", False), ("product", "Shop", True)],
)
def test_a_rule_goes_by_service_or_product_unless_nobody_knows_them(
    name: str, value: str, together: bool
) -> None:
    some = [member(one, 0, service=value if name == "service" else one) for one in "ab"]
    assert bool(children(rule(by=(name,)), *some)) is together


def test_only_what_the_matchers_hold_for_and_what_began_since_are_members() -> None:
    critical = Matcher("severity", "=", "critical")
    some = [member(f"{n}", n, zone="eu", severity="low" if n else "critical") for n in range(3)]
    assert children(rule(by=("zone",), matchers=(critical,)), *some) == {}
    assert children(rule(by=("zone",), since=at(1)), *some) == {"2": "1"}
    assert children(rule(by=("zone",), enabled=False), *some) == {}


def test_what_depends_on_another_is_one_with_it_and_the_most_upstream_is_the_parent() -> None:
    some = [
        member("w", 0, service="web"),
        member("a", 10, service="api"),
        member("d", 20, service="db"),
        member("m", 20, service="mail"),
    ]
    by_dependencies = rule(dependencies=True)
    assert children(by_dependencies, *some, dependencies=SHOP) == {"w": "d", "a": "d"}
    assert children(rule(dependencies=True, hops=1), *some, dependencies=SHOP) == {"w": "a"}


def test_what_began_later_than_the_gap_after_the_first_is_no_parent() -> None:
    some = [
        member("w", 0, service="web"),
        member("a", 50, service="api"),
        member("d", 100, service="db"),
    ]
    assert children(rule(dependencies=True), *some, dependencies=SHOP) == {"w": "a", "d": "a"}


def test_two_that_only_share_what_depends_on_them_are_not_one() -> None:
    some = [member("o", 0, service="orders"), member("p", 1, service="payments")]
    assert children(rule(dependencies=True), *some, dependencies=SHOP) == {}
    both = [*some, member("d", 2, service="db")]
    assert children(rule(dependencies=True), *both, dependencies=SHOP) == {"o": "d", "p": "d"}


def test_a_rule_may_ask_for_labels_and_dependencies() -> None:
    some = [
        member("w", 0, service="web", zone="eu"),
        member("a", 1, service="api", zone="eu"),
        member("b", 1, service="api", zone="us"),
        member("m", 1, service="mail", zone="eu"),
    ]
    both = rule(by=("zone",), dependencies=True)
    assert children(both, *some, dependencies=SHOP) == {"w": "a"}


def test_services_that_depend_on_each_other_in_a_circle_have_the_first_as_parent() -> None:
    circle = Dependencies({"a": ["b"], "b": ["a"]})
    some = [member("2", 1, service="a"), member("1", 0, service="b")]
    assert children(rule(dependencies=True), *some, dependencies=circle) == {"2": "1"}


def test_an_alert_that_opens_four_times_in_two_hours_flaps() -> None:
    opens = [member(f"{n}", 0.5 * HOURS * n, alert="disk") for n in range(6)]
    other = member("x", 10, alert="other")
    assert children(FLAPPING, *opens[:3], other) == {}
    assert children(FLAPPING, *opens, other) == {"1": "0", "2": "0", "3": "0", "4": "0"}


def test_whose_alert_is_unknown_never_flaps() -> None:
    by_hand = [Member(f"{n}", at(n), "api", None, "api", "Shop", {}) for n in range(6)]
    assert children(FLAPPING, *by_hand) == {}


def test_a_child_by_one_rule_is_no_member_of_the_next_and_a_parent_may_be() -> None:
    flaps = [member(f"f{n}", 600 * n, alert="disk", zone="eu") for n in range(5)]
    other = member("a", -10, zone="eu")
    found = correlated([rule("a-zone", by=("zone",), at_least=2), FLAPPING], [*flaps, other], NONE)
    assert found == {
        **{f"f{n}": Child("f0", "flapping") for n in range(1, 5)},
        "f0": Child("a", "a-zone"),
    }


def test_of_what_began_at_one_moment_the_parent_is_not_the_one_that_arrived_first() -> None:
    for ids in permutations("abc"):
        some = [
            member(id_, 0, alert=alert, zone="eu")
            for id_, alert in zip(ids, ("x", "y", "z"), strict=True)
        ]
        assert set(children(rule(by=("zone",)), *some).values()) == {ids[0]}


def test_the_reason_says_what_they_share_and_how_far_they_are_apart() -> None:
    web, db = member("w", 0, service="web", zone="eu"), member("d", 20, service="db", zone="eu")
    far = rule(by=("zone",), dependencies=True, hops=3)
    assert why(far, web, db, SHOP) == (
        "By rule storm, it shares with d, which began 20 s after it: zone eu, web depends on db."
    )
    again = member("2", 1800, alert="w")
    assert why(FLAPPING, again, web, NONE) == (
        "By rule flapping, the same alert opened w 30 min before it."
    )


@settings(max_examples=150, deadline=None)
@given(members(), st.randoms(use_true_random=False))
def test_no_order_and_no_repetition_changes_anything(some: list[Member], rng: object) -> None:
    expected = correlated(RULES, some, SHOP)
    mixed = [*some, *some[::2]]
    rng.shuffle(mixed)  # type: ignore[attr-defined]
    assert correlated(RULES[::-1], mixed, SHOP) == expected


@settings(max_examples=150, deadline=None)
@given(members())
def test_every_child_has_a_parent_that_is_no_child_by_the_same_rule(some: list[Member]) -> None:
    found = correlated(RULES, some, SHOP)
    known = {one.id for one in some}
    for child, one in found.items():
        assert one.parent in known - {child}
        above = found.get(one.parent)
        assert above is None or above.rule != one.rule


@settings(max_examples=150, deadline=None)
@given(members(), st.integers(0, 23))
def test_what_one_member_changes_is_found_by_looking_around_it(
    some: list[Member], which: int
) -> None:
    """The groups before it stay, those after it are as they were once none that differs is under way."""
    for one in RULES:
        changed = some[which % len(some)] if some else member("inc_0", 0)
        old = grouped(one, [m for m in some if m is not changed], SHOP)
        new = grouped(one, some, SHOP)
        begin = changed.opened_at - one.span
        assert [g for g in old if g.began_at < begin] == [g for g in new if g.began_at < begin]
        found = difference(
            [g for g in old if g.began_at >= begin],
            [g for g in new if g.began_at >= begin],
            changed.opened_at,
        )
        assert (set(old) - set(found.gone)) | set(found.made) == set(new)


def test_groups_that_are_the_same_are_no_difference() -> None:
    one = Group("a", at(0), at(50), frozenset("ab"))
    other = Group("c", at(60), at(70), frozenset("cd"))
    found = difference([one, other], [other], at(40))
    assert (found.gone, found.made, found.settled_to) == ((one,), (), at(50))
