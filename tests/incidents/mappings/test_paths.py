"""Expressions that others write: standard ones run, costly ones are refused, none takes long."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.incidents.mappings.paths import (
    MISSING,
    Budget,
    PathRefused,
    TooManyLooks,
    compiled,
    every,
    first,
)

BODY: dict[str, Any] = {
    "name": "disk",
    "odd name": 1,
    "tags": [{"k": "env", "v": "prod"}, {"k": "team", "v": None}, {"k": "zone"}],
    "parts": {"a": {"n": 1}, "b": {"n": 2}},
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("$.name", ["disk"]),
        ("$['odd name']", [1]),
        ("$.tags[0].v", ["prod"]),
        ("$.tags[-1].k", ["zone"]),
        ("$.tags[7]", []),
        ("$.name.x", []),
        ("$.tags[1].v", [None]),
        ("$.tags[*].k", ["env", "team", "zone"]),
        ("$.tags[:2].k", ["env", "team"]),
        ("$.parts.*.n", [1, 2]),
        ("$.parts['b','a'].n", [2, 1]),
        ("$.tags[?@.k == 'env'].v", ["prod"]),
        ("$.tags[?@.v].k", ["env", "team"]),
        ("$.tags[?!@.v || @.v == null].k", ["team", "zone"]),
        ("$.parts[?@.n >= 2].n", [2]),
        ("$.tags[?(@.k == 'env' && @.v != 'test')].v", ["prod"]),
    ],
)
def test_a_standard_expression_finds_what_it_says(text: str, found: list[object]) -> None:
    path = compiled(text)
    assert list(every(path, BODY, Budget())) == found
    assert first(path, BODY, Budget()) == (found[0] if found else MISSING)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not JSONPath"),
        ("name", "is not JSONPath"),
        ("$.tags[", "is not JSONPath"),
        ("$[" + "9" * 60 + "]", "is not JSONPath"),
        ("$[?@.a == 1e999]", "is not JSONPath"),
        ("$.a" * 100, "is longer than 256"),
        ("$..name", "descendants"),
        ("$.a..b[*]", "descendants"),
        ("$.tags[?match(@.k, '(a+)+$')]", "a function"),
        ("$.tags[?search(@.k, '(a|a)*$')]", "a function"),
        ("$.tags[?length(@.k) > 3]", "a function"),
        ("$.tags[?@.k == $.name]", "compares two paths"),
        ("$.tags[?@.k == @.v]", "compares two paths"),
        ("$.tags[?$.name]", "a function or $"),
        ("$.tags[?@[?@.x]]", "a wide step inside a filter"),
        ("$.tags[?@.*]", "a wide step inside a filter"),
        ("$.tags[?@.k =~ /(a+)+/]", "is not JSONPath"),
        ("$.a | $.b", "is not JSONPath"),
        ("$.tags.~k", "is not JSONPath"),
    ],
)
def test_what_is_not_run_is_refused_when_it_is_written(text: str, why: str) -> None:
    with pytest.raises(PathRefused, match=why.replace("$", r"\$")):
        compiled(text)


def test_what_is_looked_at_is_counted_before_it_is_looked_at() -> None:
    path = compiled("$.all[*]")
    budget = Budget(20)  # the step, and ten elements
    assert len(list(every(path, {"all": [0] * 10}, budget))) == 10
    with pytest.raises(TooManyLooks):
        first(path, {"all": [0]}, budget)


def test_plain_names_and_indexes_cost_nothing() -> None:
    assert first(compiled("$.tags[0].k"), BODY, Budget(0)) == "env"


SIGNS = [
    "$",
    "@",
    ".",
    "..",
    "a",
    "[",
    "]",
    "(",
    ")",
    "*",
    "?",
    "!",
    "'",
    '"',
    "==",
    "<",
    "&&",
    "||",
]
WORDS = [
    "0",
    "-1",
    "1e9",
    ":",
    ",",
    " ",
    "null",
    "true",
    "match(",
    "\\",
    "\ud800",
    "\x00",
    "é",
    "~",
]
PIECES = st.sampled_from([*SIGNS, *WORDS])


@settings(max_examples=400, deadline=500)
@given(st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=60))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    for stated in (text, f"$.a[?{text}]", f"${text}"):
        try:
            path = compiled(stated)
        except PathRefused:
            continue  # any other exception fails
        for body in (BODY, [1, [2, {"a": [3]}]], {"a": [{"a": 1}, "a", None]}):
            assert len(list(every(path, body, Budget()))) <= 200


DEEP = "(" * 120 + "@.a" + ")" * 120


@pytest.mark.parametrize(
    "text",
    [
        f"$[?{DEEP}]",
        "$[?" + "!" * 240 + "@.a]",
        "$[?" + "@.a||" * 45 + "@.b]",
        "$[*][*][*].x",
        "$[*][?@.x][?@.y].x",
        "$" + f"[{'0,' * 70}0]" + "[0,1][0,1].x",
        f"$[{'0,' * 39}0][{'0,' * 39}0][{'0,' * 39}0].x",
    ],
)
def test_a_body_and_an_expression_made_to_take_long_do_not(text: str) -> None:
    body: object = [{"c": 1}] * 50_000
    for _ in range(30):
        body = [body, body]
    path = compiled(text)
    began = time.process_time()
    for tried in (body, [{"c": 1}] * 50_000, [[[{"c": 1}] * 50] * 50] * 50):
        try:
            assert first(path, tried, Budget()) is MISSING
        except TooManyLooks:
            continue
    assert time.process_time() - began < 2


def test_an_expression_that_multiplies_is_refused() -> None:
    with pytest.raises(PathRefused, match="more than 3 steps"):
        compiled("$" + "[0,0,0]" * 30)
