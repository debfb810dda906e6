"""When a silence holds: half-open spans, windows of the week, changes of clocks."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.incidents.silences.domain import (
    DAYS,
    Day,
    Recurrence,
    Silence,
    UnknownTimezone,
    holds_until,
    zone,
)
from services.incidents.silences.matching import Matcher

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
"""A Monday."""
LABELS = {"alertname": "DiskFull"}
VIENNA = "Europe/Vienna"


def silence(id_: str = "sil_1", **stated: Any) -> Silence:
    known: dict[str, Any] = {
        "comment": "",
        "matchers": (Matcher("alertname", "=", "DiskFull"),),
        "starts_at": NOON,
        "ends_at": NOON + timedelta(hours=1),
        "recurrence": None,
        "created_by": "tester",
        "created_at": NOON,
    }
    return Silence(id=id_, **(known | stated))


def weekly(begins: str, minutes: int, *days: Day, timezone: str = VIENNA) -> Silence:
    recurrence = Recurrence(
        days or DAYS, time.fromisoformat(begins), timedelta(minutes=minutes), timezone
    )
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
    return silence(starts_at=start, ends_at=end, recurrence=recurrence)


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


@pytest.mark.parametrize(
    ("minute", "holds"), [(-0.001, False), (0, True), (59.999, True), (60, False)]
)
def test_a_silence_holds_from_its_start_until_before_its_end(minute: float, holds: bool) -> None:
    assert (holds_until(silence(), NOON + minutes(minute)) is not None) is holds


def test_one_that_was_ended_holds_no_longer() -> None:
    ended = silence(ended_at=NOON + minutes(20))
    assert holds_until(ended, NOON + minutes(19)) == NOON + minutes(20)
    assert holds_until(ended, NOON + minutes(20)) is None


def test_one_that_was_ended_before_it_began_never_holds() -> None:
    ended = silence(ended_at=NOON - minutes(5))
    assert all(holds_until(ended, NOON + minutes(m)) is None for m in range(-10, 70))


@pytest.mark.parametrize(
    ("local", "holds"),
    [
        ("2026-06-06T22:59", False),  # Saturday
        ("2026-06-06T23:00", True),
        ("2026-06-07T00:59", True),
        ("2026-06-07T01:00", False),
        ("2026-06-07T23:30", False),
        ("2026-06-13T23:30", True),
        ("2026-12-05T23:30", True),
        ("2026-12-05T22:30", False),
    ],
)
def test_a_window_recurs_by_the_wall_clock_of_its_zone(local: str, holds: bool) -> None:
    at = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(VIENNA))
    assert (holds_until(weekly("23:00", 120, "sat"), at.astimezone(UTC)) is not None) is holds


def test_clocks_put_forward_over_it_move_it_as_much() -> None:
    """On 29 March 2026 there is no 02:30 in Vienna: it begins at 03:30, as long as ever."""
    window = weekly("02:30", 60, "sun")
    begins = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert holds_until(window, begins - minutes(1)) is None
    assert holds_until(window, begins) == begins + minutes(60)


def test_clocks_put_back_do_not_make_it_come_twice() -> None:
    """On 25 October 2026 there are two 02:30 in Vienna: it holds from the first for an hour."""
    window = weekly("02:30", 60, "sun")
    begins = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert holds_until(window, begins) == begins + minutes(60)
    assert holds_until(window, begins + minutes(60)) is None


def test_a_change_of_clocks_within_it_does_not_change_how_long_it_lasts() -> None:
    window = weekly("00:00", 24 * 60, "sun")
    begins = datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert holds_until(window, begins) == begins + timedelta(days=1)


def test_a_window_of_a_whole_week_holds_to_its_end_over_a_change_of_clocks() -> None:
    window = weekly("23:30", 7 * 24 * 60, "sun")
    begins = datetime(2026, 3, 22, 22, 30, tzinfo=UTC)
    assert holds_until(window, begins + timedelta(days=7) - minutes(1)) is not None


def test_what_recurs_holds_between_its_beginning_and_its_end_only() -> None:
    window = weekly("12:00", 120, timezone="UTC")
    assert holds_until(window, datetime(2025, 12, 31, 13, tzinfo=UTC)) is None
    assert holds_until(window, datetime(2026, 1, 1, 13, tzinfo=UTC)) is not None
    assert holds_until(window, datetime(2028, 1, 1, 13, tzinfo=UTC)) is None


@pytest.mark.parametrize("name", ["Europe/Nowhere", "../etc/passwd", "America", "", "/etc/passwd"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(UnknownTimezone, match="IANA"):
        zone(name)


def brute(window: Recurrence, at: datetime) -> bool:
    """Every window of some weeks, begun anew from each day of the calendar."""
    there = ZoneInfo(window.timezone)
    today = at.astimezone(there).date()
    for back in range(-3, 20):
        day = today - timedelta(days=back)
        if DAYS[day.weekday()] not in window.days:
            continue
        begin = datetime.combine(day, window.begins, there).timestamp()
        if begin <= at.timestamp() < begin + window.lasts.total_seconds():
            return True
    return False


moments = st.integers(0, 2 * 365 * 24 * 60).map(
    lambda minute: datetime(2026, 1, 1, tzinfo=UTC) + minutes(minute)
)
recurrences = st.builds(
    Recurrence,
    st.lists(st.sampled_from(DAYS), min_size=1, max_size=7, unique=True).map(tuple),
    st.times().map(lambda one: one.replace(second=0, microsecond=0)),
    st.one_of(st.integers(1, 300), st.integers(1, 10_080)).map(minutes),
    st.sampled_from(["UTC", VIENNA, "America/New_York", "Australia/Lord_Howe", "America/Havana"]),
)


@settings(max_examples=150, deadline=None)
@given(recurrences, moments)
def test_a_window_holds_when_one_of_all_windows_does(window: Recurrence, at: datetime) -> None:
    start, end = datetime(2025, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC)
    one = silence(starts_at=start, ends_at=end, recurrence=window)
    until = holds_until(one, at)
    assert (until is not None) is brute(window, at)
    if until is not None:
        assert at < until <= at + window.lasts
        assert brute(window, until - timedelta(microseconds=1))
