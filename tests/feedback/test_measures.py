"""What a theme's evidence adds up to."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.feedback.evidence.measures import (
    TIER_WEIGHTS,
    Evidence,
    impact,
    per_week,
    summarize,
    toil_hours,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def incident(days_ago: float, severity: str = "low", **stated: object) -> Evidence:
    row = {"ended_at": ago(days_ago), **stated}
    return Evidence("incident", f"i-{days_ago}", ago(days_ago), severity=severity, **row)


# Impact


def test_impact_is_duration_times_customers_times_tier_weight() -> None:
    whole = impact(ago(1), ago(0.5), NOW, customers=10, tier_weight=TIER_WEIGHTS[2])
    assert (whole.minutes, whole.censored) == (12 * 60 * 10 * 2, False)


def test_what_is_still_open_is_measured_so_far_and_says_so() -> None:
    for ended_at in (None, NOW + timedelta(hours=1)):
        so_far = impact(ago(0.5), ended_at, NOW, customers=3, tier_weight=1)
        assert (so_far.minutes, so_far.censored) == (12 * 60 * 3, True)


def test_uncounted_customers_weigh_as_one_and_none_at_all_as_none() -> None:
    assert impact(ago(1), NOW, NOW, customers=None, tier_weight=1).minutes == 24 * 60
    assert impact(ago(1), NOW, NOW, customers=0, tier_weight=1).minutes == 0


def test_an_end_before_the_start_costs_nothing() -> None:
    assert impact(ago(1), ago(2), NOW, customers=5, tier_weight=1).minutes == 0


def test_a_more_vital_tier_weighs_more() -> None:
    assert sorted(TIER_WEIGHTS, key=TIER_WEIGHTS.__getitem__, reverse=True) == [1, 2, 3, 4]


def test_toil_is_responders_times_their_time() -> None:
    assert toil_hours([(3, 60), (1, 30)]) == 3.5
    assert per_week(8, days=28) == 2


def test_a_rate_over_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 0 days"):
        per_week(1, days=0)


# The summary


def test_no_evidence_sums_to_nothing() -> None:
    empty = summarize([], NOW)
    assert (empty.total, empty.first_at, empty.last_at, empty.earlier_days) == (0, None, None, 0)
    assert empty.weekly_counts == (0,) * 12


def test_incidents_are_told_apart_by_how_recent_they_are() -> None:
    rows = [
        incident(100, "critical"),
        incident(20, "high"),
        incident(20.5),
        incident(1, "critical"),
    ]
    summary = summarize(rows, NOW)
    assert (summary.opened_28d, summary.top_severity_28d, summary.opened_14d) == (3, 2, 1)
    assert (summary.earlier_count, summary.earlier_days) == (3, 86)
    assert summary.weekly_counts == (*[0] * 9, 2, 0, 1)


def test_a_window_leaves_out_what_lies_exactly_at_its_start() -> None:
    summary = summarize([incident(28), incident(14), incident(0)], NOW)
    assert (summary.opened_28d, summary.opened_14d, summary.weekly_counts[-1]) == (2, 1, 1)


def test_other_evidence_is_no_incident() -> None:
    rows = [
        incident(3, customers=5),
        Evidence("feedback", "f-1", ago(2), customers=1, votes=7, linked=True),
        Evidence("toil", "t-1", ago(2), responder_hours=8),
        Evidence("toil", "t-0", ago(40), responder_hours=80, customers=90),
        Evidence("risk", "r-1", ago(95), customers=200),
    ]
    summary = summarize(rows, NOW)
    assert summary.by_kind == {"incident": 1, "feedback": 1, "toil": 2, "risk": 1}
    assert (summary.total, summary.opened_28d, summary.linked) == (5, 1, 1)
    assert (summary.feedback_count, summary.votes) == (1, 7)
    assert (summary.customers_max, summary.customers_90d) == (200, 90)
    assert summary.responder_hours_per_week == 2
    assert (summary.first_at, summary.last_at) == (ago(95), ago(2))


def test_impact_is_summed_whole_and_as_a_rate_of_the_last_four_weeks() -> None:
    summary = summarize([incident(50, impact_minutes=900), incident(5, impact_minutes=100)], NOW)
    assert (summary.impact_minutes_total, summary.impact_minutes_per_week) == (1_000, 25)


def test_incidents_that_go_on_still_are_counted_as_open() -> None:
    rows = [incident(3), incident(2, ended_at=None), incident(1, ended_at=NOW + timedelta(hours=1))]
    assert summarize(rows, NOW).open == 2


EVIDENCE = st.builds(
    Evidence,
    kind=st.sampled_from(["incident", "feedback", "toil"]),
    source_id=st.just("x"),
    at=st.integers(-200, 4_000).map(lambda hours: NOW - timedelta(hours=hours)),
    severity=st.sampled_from(["critical", "high", "medium", "low"]),
    customers=st.none() | st.integers(0, 9),
    impact_minutes=st.integers(0, 99).map(float),
    linked=st.booleans(),
    votes=st.integers(0, 5),
)
LEDGERS = st.lists(EVIDENCE, max_size=40)
PROPERTIES = settings(max_examples=100, deadline=None)


@given(LEDGERS, st.randoms())
@PROPERTIES
def test_the_order_of_the_ledger_changes_nothing(rows, random) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert summarize(shuffled, NOW) == summarize(rows, NOW)


@given(LEDGERS)
@PROPERTIES
def test_evidence_after_as_of_counts_for_nothing(rows) -> None:
    assert summarize([row for row in rows if row.at <= NOW], NOW) == summarize(rows, NOW)


@given(LEDGERS)
@PROPERTIES
def test_the_parts_agree_with_the_whole(rows) -> None:
    summary = summarize(rows, NOW)
    incidents = summary.by_kind.get("incident", 0)
    assert sum(summary.by_kind.values()) == summary.total
    assert summary.opened_14d + summary.earlier_count == incidents
    assert sum(summary.weekly_counts[-4:]) == summary.opened_28d
    assert summary.top_severity_28d <= summary.opened_28d <= incidents
    assert summary.customers_90d <= summary.customers_max
