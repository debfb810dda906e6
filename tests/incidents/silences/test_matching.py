"""Matchers mean what Alertmanager's mean, on the sender's labels and on our words."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.incidents.silences.matching import (
    BadExpression,
    Matcher,
    Operator,
    compiled,
    labels_of,
    matches_empty,
)

LABELS = {"alertname": "DiskFull", "instance": "db-1.example:9100", "empty": ""}


def holds(label: str, op: Operator, value: str) -> bool:
    return compiled([Matcher(label, op, value)])(LABELS)


@pytest.mark.parametrize(
    ("label", "op", "value", "expected"),
    [
        ("alertname", "=", "DiskFull", True),
        ("alertname", "=", "Disk", False),
        ("alertname", "!=", "DiskFull", False),
        ("alertname", "!=", "Disk", True),
        ("alertname", "=~", "Disk", False),
        ("alertname", "=~", "Disk.*", True),
        ("alertname", "=~", "CPU|Disk", False),
        ("alertname", "=~", "CPU|DiskFull", True),
        ("alertname", "=~", "DiskFul", False),
        ("alertname", "!~", "Disk", True),
        ("alertname", "!~", "Disk.+", False),
        ("instance", "=~", r"db-\d\.example:\d+", True),
        ("missing", "=", "", True),
        ("missing", "=~", ".*", True),
        ("missing", "=~", ".+", False),
        ("missing", "!=", "", False),
        ("missing", "!~", "x", True),
        ("empty", "=", "", True),
    ],
)
def test_a_matcher_holds_as_alertmanager_s_does(
    label: str, op: Operator, value: str, expected: bool
) -> None:
    assert holds(label, op, value) is expected


def test_all_matchers_have_to_hold() -> None:
    first, other = Matcher("alertname", "=", "DiskFull"), Matcher("instance", "=~", "db-2.*")
    assert compiled([first])(LABELS)
    assert not compiled([first, other])(LABELS)


@pytest.mark.parametrize("value", ["(", "a**", r"(?<=x)y", r"(a)\1", "x{2000}"])
def test_what_re2_cannot_run_is_refused_with_a_reason(value: str) -> None:
    with pytest.raises(BadExpression, match="regular expression"):
        compiled([Matcher("a", "=~", value)])


def test_an_expression_that_ruins_others_takes_no_time() -> None:
    matcher = compiled([Matcher("a", "=~", "(a*)*b|(a|a)*c|(a+)+d")])
    began = time.perf_counter()
    assert not matcher({"a": "a" * 4_000})
    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize(
    ("matcher", "expected"),
    [
        (Matcher("a", "=", ""), True),
        (Matcher("a", "=", "x"), False),
        (Matcher("a", "!=", "x"), True),
        (Matcher("a", "=~", "x?"), True),
        (Matcher("a", "!~", "x"), True),
        (Matcher("a", "!~", ".*"), False),
    ],
)
def test_what_matches_a_missing_label_is_known(matcher: Matcher, expected: bool) -> None:
    assert matches_empty(matcher) is expected


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_a_literal_matches_itself_alone_by_either_operator(value: str, other: str) -> None:
    labels = {"a": other}
    equal = compiled([Matcher("a", "=", value)])(labels)
    assert equal is (value == other)
    escaped = "".join(re.escape(one) if one.isascii() and one != "\x00" else one for one in value)
    if "\x00" not in value:
        assert compiled([Matcher("a", "=~", escaped)])(labels) is equal
        assert compiled([Matcher("a", "!~", escaped)])(labels) is not equal
    assert compiled([Matcher("a", "!=", value)])(labels) is not equal


def test_the_sender_s_label_comes_before_our_word_of_its_name() -> None:
    seen = labels_of(
        {"severity": "warning", "pod": "a"},
        source="prometheus",
        service="payments",
        severity="medium",
        alert_name=None,
    )
    assert seen == {
        "severity": "warning",
        "pod": "a",
        "source": "prometheus",
        "service": "payments",
    }
