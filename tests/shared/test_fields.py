"""The bounds of what comes in: what each field takes, what it refuses, and what it says then."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from shared.clock import utc_now
from shared.http.fields import Amount, Body, Count, Happened, Line, Name, Planned, Prose, View

TEXTS = {"name": (Name, 1, 200), "line": (Line, 1, 512), "prose": (Prose, 0, 20_000)}
KINDS: dict[str, Any] = {kind: field for kind, (field, _, _) in TEXTS.items()} | {
    "happened": Happened,
    "planned": Planned,
    "count": Count,
    "amount": Amount,
}


def taken(kind: str, value: Any) -> Any:
    return TypeAdapter(KINDS[kind]).validate_python(value)


def refusal(kind: str, value: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        taken(kind, value)
    return str(refused.value)


@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_is_as_long_as_its_bounds_and_no_longer(kind: str) -> None:
    _, shortest, longest = TEXTS[kind]
    assert taken(kind, "x" * longest) == "x" * longest
    assert taken(kind, "ü" * max(shortest, 1))
    refusal(kind, "x" * (longest + 1))
    if shortest:
        refusal(kind, "")
    else:
        assert taken(kind, "") == ""


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("value", [None, 1, True, [], {}, b"\xff"])
def test_a_text_is_a_text(kind: str, value: Any) -> None:
    refusal(kind, value)


@pytest.mark.parametrize("kind", TEXTS)
def test_a_nul_character_is_refused_wherever_it_stands(kind: str) -> None:
    for text in ("\x00", "a\x00", "\x00a", "a\x00b"):
        assert "NUL" in refusal(kind, text)


@pytest.mark.parametrize("kind", TEXTS)
def test_half_a_character_is_refused(kind: str) -> None:
    for text in ("\ud800", "a\udfff", "\udc80b"):
        refusal(kind, text)


@settings(max_examples=100)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=200))
def test_every_other_text_is_taken_as_it_is_and_can_be_stored(text: str) -> None:
    assert taken("name", text) == text
    assert text.encode().decode() == text


class Noted(Body):
    name: Name
    prose: Prose = ""


def test_a_body_drops_space_around_texts_before_it_counts_them() -> None:
    assert Noted(name="  a b\n").name == "a b"
    assert Noted(name=" " * 500 + "x").name == "x"
    with pytest.raises(ValidationError):
        Noted(name="   \t\n")


def test_a_body_refuses_a_field_that_it_does_not_know() -> None:
    with pytest.raises(ValidationError, match="nmae"):
        Noted.model_validate({"name": "x", "nmae": "y"})


class Shown(View):
    name: str


def test_an_answer_does_not_change_once_made() -> None:
    shown = Shown(name="x")
    with pytest.raises(ValidationError):
        shown.name = "y"  # pyright: ignore[reportAttributeAccessIssue]


def moment(offset: timedelta = timedelta()) -> datetime:
    return utc_now() + offset


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:00Z",
        "2026-01-31T12:00:00.123456+00:00",
        "2026-01-31T23:59:59-14:00",
        "2000-01-01T00:00:00Z",
        "2000-01-01T05:00:00+05:00",
    ],
)
@pytest.mark.parametrize("kind", ["happened", "planned"])
def test_a_moment_with_an_offset_is_taken_and_told_in_utc(kind: str, text: str) -> None:
    found = taken(kind, text)
    assert found == datetime.fromisoformat(text)
    assert found.utcoffset() == timedelta()


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-31T12:00:00",
        datetime(2026, 1, 31),  # noqa: DTZ001
        "2026-01-31",
        "12:00:00Z",
        "yesterday",
        "",
        None,
        True,
        [],
        "1999-12-31T23:59:59Z",
        "2000-01-01T00:00:00+00:01",
        "0001-01-01T00:00:00+14:00",
        "0000-00-00T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "9999-12-31T23:59:59-14:00",
        "2026-01-31T12:00:00+99:00",
        "1" * 400,
        1e308,
        float("inf"),
        float("nan"),
    ],
)
@pytest.mark.parametrize("kind", ["happened", "planned"])
def test_what_is_no_believable_moment_is_refused(kind: str, value: Any) -> None:
    refusal(kind, value)


def test_an_event_may_lie_as_far_ahead_as_clocks_may_differ_and_no_further() -> None:
    assert taken("happened", moment(timedelta(minutes=4, seconds=55)))
    assert "5 minutes" in refusal("happened", moment(timedelta(minutes=5, seconds=5)))
    elsewhere = moment(timedelta(minutes=-1)).astimezone(timezone(timedelta(hours=14)))
    assert taken("happened", elsewhere).tzinfo == UTC


def test_a_plan_may_lie_in_the_future_but_not_beyond_the_century() -> None:
    assert taken("planned", moment(timedelta(days=700)))
    assert taken("planned", "2100-01-01T00:00:00Z")
    assert "2100" in refusal("planned", "2100-01-01T00:00:01Z")


@pytest.mark.parametrize("value", [0, 1, 1_000_000_000])
def test_a_count_is_a_whole_number_within_its_bounds(value: int) -> None:
    assert taken("count", value) == value


@pytest.mark.parametrize(
    "value", [-1, 1_000_000_001, 10**400, 1.5, "3", True, None, float("inf"), float("nan"), []]
)
def test_what_is_no_count_is_refused(value: Any) -> None:
    refusal("count", value)


@pytest.mark.parametrize("value", [0, 0.0, 3, 2.5, 1e12])
def test_an_amount_is_a_number_within_its_bounds(value: float) -> None:
    assert taken("amount", value) == value


@pytest.mark.parametrize(
    "value", [-0.01, 1.01e12, 10**400, "3", True, None, float("inf"), float("nan"), float("-inf")]
)
def test_what_is_no_amount_is_refused(value: Any) -> None:
    refusal("amount", value)
