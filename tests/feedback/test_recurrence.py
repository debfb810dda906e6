"""When a theme rises, when it falls, and what it says of itself. Given, when, then."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import nbinom

from services.feedback.detection.history import history, surprise
from services.feedback.detection.recurrence import (
    Assessment,
    InvalidPolicy,
    Occurrence,
    RecurrencePolicy,
    assess,
)

START = datetime(2026, 1, 5, tzinfo=UTC)
POLICY = RecurrencePolicy()


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def on_days(
    numbers: Iterable[float], impact: float = 1.0, customers: int | None = None
) -> list[Occurrence]:
    return [Occurrence(day(number), "high", impact, customers) for number in numbers]


def name_of(assessment: Assessment) -> str:
    assert assessment.state == "quiet"
    (reason,) = assessment.reasons
    return reason.name


BURST = [0, 1, 2, 3, 4]


# The rise


def test_a_theme_without_a_past_rises_at_the_threshold() -> None:
    assessment = assess(on_days(BURST), POLICY, day(5))
    assert assessment.state == "escalated"
    assert assessment.current is not None
    assert assessment.current.rose_at == day(4)


def test_every_reason_shows_its_threshold_beside_the_value() -> None:
    reasons = {reason.name: reason for reason in assess(on_days(BURST), POLICY, day(5)).reasons}
    assert reasons["count"].text == "5 occurrences in 28 days; the threshold is 5."
    assert reasons["distinct_days"].text == "On 5 distinct days; the threshold is 3."
    assert "threshold of 0.01" in reasons["above_baseline"].text
    assert reasons["above_baseline"].numbers["p"] < 0.01
    assert reasons["count"].to_json() == {
        "detector": "recurrence",
        "name": "count",
        "text": reasons["count"].text,
        "numbers": {"count": 5, "threshold": 5},
    }


def test_a_month_long_ramp_is_noticed() -> None:
    usual = [7 * week for week in range(16)]
    ramp = [112 + 28 * (step / 14) ** 0.5 for step in range(15)]
    before = assess(on_days(usual), POLICY, day(112))
    assert name_of(before) == "too_few"
    assert assess(on_days(usual + ramp), POLICY, day(140)).state == "escalated"


def test_a_ramp_out_of_nothing_is_noticed_by_the_silence_before_it() -> None:
    ramp = [0, 12, 20, 26, 31, 35]
    assert assess(on_days(ramp), POLICY, day(36)).state == "escalated"


WEEKLY = [7.0 * week for week in range(20)]


def test_what_is_usual_for_a_theme_does_not_rise() -> None:
    assert name_of(assess(on_days(WEEKLY), POLICY, day(134))) == "too_few"
    usual = assess(on_days([*WEEKLY, 133.5]), POLICY, day(134))
    assert name_of(usual) == "within_baseline"
    assert "not below the threshold of 0.01" in usual.reasons[0].text


def test_costly_enough_rises_though_it_is_usual() -> None:
    policy = RecurrencePolicy(impact_floor_minutes=1_000)
    weekly = [*WEEKLY, 133.5]
    assert name_of(assess(on_days(weekly, impact=199), policy, day(134))) == "within_baseline"
    assessment = assess(on_days(weekly, impact=200), policy, day(134))
    assert assessment.state == "escalated"
    cost = next(reason for reason in assessment.reasons if reason.name == "impact")
    assert cost.text == "1,000 customer-impact minutes in 28 days; the threshold is 1,000."


def test_many_in_one_day_are_one_bad_day() -> None:
    assessment = assess(on_days([1 + hour / 24 for hour in range(12)]), POLICY, day(2))
    assert name_of(assessment) == "too_few_days"
    assert assessment.reasons[0].text == "On 1 distinct day; the threshold is 3."


def test_one_affected_customer_does_not_escalate_where_the_policy_asks_for_more() -> None:
    policy = RecurrencePolicy(min_customers=2)
    alone = assess(on_days(BURST, customers=1), policy, day(5))
    assert name_of(alone) == "too_few_customers"
    assert alone.reasons[0].numbers == {"customers": 1, "threshold": 2}
    assert assess(on_days(BURST, customers=2), policy, day(5)).state == "escalated"


def test_customers_that_nobody_counted_do_not_stand_in_the_way() -> None:
    policy = RecurrencePolicy(min_customers=2)
    assert assess(on_days(BURST), policy, day(5)).state == "escalated"


def test_a_quiet_theme_says_what_it_lacks_and_shows_its_numbers() -> None:
    assessment = assess(on_days([0, 1]), POLICY, day(2))
    assert name_of(assessment) == "too_few"
    assert assessment.numbers["count"] == 2
    assert assessment.numbers["count_on"] == 5
    assert assessment.numbers["expected"] == 0.5
    assert assess([], POLICY, day(0)).numbers["p"] == 1.0


# The fall


def test_a_theme_falls_when_it_stayed_below_off_for_the_quiet_days() -> None:
    # Of the last two, day 3's leaves the window on day 31: fewer than two from then on.
    assert assess(on_days(BURST), POLICY, day(44.9)).state == "escalated"
    fallen = assess(on_days(BURST), POLICY, day(45))
    assert fallen.state == "quiet"
    assert (fallen.rises[0].fell_at, fallen.rises[0].fell_because) == (day(45), "quiet")


def test_a_lull_shorter_than_the_quiet_days_does_not_end_a_rise() -> None:
    assert assess(on_days([*BURST, 40, 41]), POLICY, day(60)).state == "escalated"


def test_a_straggler_does_not_hold_an_old_group_open() -> None:
    fallen = assess(on_days([*BURST, 40]), POLICY, day(50))
    assert fallen.rises[0].fell_at == day(45)


def test_no_new_rise_within_the_cooldown() -> None:
    burst = [45.5 + step / 4 for step in range(10)]
    cooling = assess(on_days(BURST + burst), POLICY, day(48))
    assert name_of(cooling) == "cooling_down"
    assert "2026-02-26" in cooling.reasons[0].text


def test_a_burst_inside_the_cooldown_rises_when_it_ends() -> None:
    burst = [45.5 + step / 4 for step in range(10)]
    again = assess(on_days(BURST + burst), POLICY, day(60))
    assert [rise.rose_at for rise in again.rises] == [day(4), day(52)]


# The dismissal


def test_a_dismissal_ends_the_rise() -> None:
    assessment = assess(on_days(BURST), POLICY, day(6), dismissed_at=day(5))
    assert name_of(assessment) == "dismissed"
    assert (assessment.rises[0].fell_at, assessment.rises[0].fell_because) == (day(5), "dismissed")


def test_a_dismissed_theme_rises_again_only_when_its_evidence_has_grown() -> None:
    more = on_days([*BURST, 6, 7])
    assert name_of(assess(more, POLICY, day(8), dismissed_at=day(5))) == "dismissed"
    grown = assess([*more, *on_days([8])], POLICY, day(8), dismissed_at=day(5))
    assert grown.state == "escalated"
    assert grown.rises[-1].rose_at == day(8)
    reasons = {reason.name: reason for reason in grown.reasons}
    assert reasons["grown_since_dismissal"].numbers["threshold"] == 8


def test_a_dismissed_theme_rises_again_when_it_costs_far_more() -> None:
    dear = on_days([*BURST, 6]) + on_days([7], impact=9_000)
    assert assess(dear, POLICY, day(8), dismissed_at=day(5)).state == "escalated"


def test_a_slow_ramp_after_a_dismissal_can_not_hide_behind_its_own_baseline() -> None:
    policy = RecurrencePolicy(impact_floor_minutes=None)
    ramp, at, gap = [], 15.0, 7.0
    while at < 200:
        ramp.append(at)
        at, gap = at + gap, 0.965 * gap
    times = on_days(BURST + ramp)
    risen = assess(times, policy, day(120), dismissed_at=day(5)).current
    assert risen is not None
    # By a baseline that had moved along, this would have been nothing special.
    past = history(times, policy, day(120))
    count = past.window(risen.rose_at).count
    assert surprise(count, past.expected(risen.rose_at), policy.dispersion) > 0.1
    frozen = next(reason for reason in risen.reasons if reason.name == "above_baseline")
    assert frozen.numbers["expected"] == 0.5
    assert "frozen on 2026-01-10" in frozen.text


def test_a_dismissal_after_as_of_has_not_happened() -> None:
    times = on_days(BURST)
    assert assess(times, POLICY, day(5), day(6)) == assess(times, POLICY, day(5))


def test_what_falls_at_the_moment_of_a_new_burst_rises_again_then_and_stays() -> None:
    """With no cooldown, one moment holds the end of one rise and the beginning of the next."""
    policy = RecurrencePolicy(on=3, distinct_days=1, quiet_days=1, cooldown_days=0)
    rises = assess(on_days([0, 1, 2, 30, 30, 30], impact=2_500), policy, day(31)).rises
    assert [(one.rose_at, one.fell_at) for one in rises] == [(day(2), day(30)), (day(30), None)]


# What holds for every history

pasts = st.lists(
    st.builds(
        Occurrence,
        at=st.integers(0, 8_000).map(lambda hours: START + timedelta(hours=hours)),
        severity=st.sampled_from(["critical", "high", "medium", "low"]),
        impact_minutes=st.sampled_from([0.0, 10.0, 2_500.0]),
        customers=st.none() | st.integers(0, 5),
    ),
    max_size=60,
)
policies = st.builds(
    RecurrencePolicy,
    on=st.integers(3, 6),
    distinct_days=st.integers(1, 3),
    quiet_days=st.integers(1, 20),
    cooldown_days=st.integers(0, 20),
    min_customers=st.integers(0, 3),
)
moments = st.integers(0, 9_000).map(lambda hours: START + timedelta(hours=hours))
PROPERTIES = settings(max_examples=150, deadline=None)


@given(pasts, policies, moments, st.none() | moments, st.randoms())
@PROPERTIES
def test_the_order_of_arrival_changes_nothing(past, policy, as_of, dismissed, random) -> None:
    shuffled = list(past)
    random.shuffle(shuffled)
    there, here = (assess(some, policy, as_of, dismissed) for some in (past, shuffled))
    assert there == here


@given(pasts, pasts, policies, moments, st.none() | moments)
@PROPERTIES
def test_what_happens_after_as_of_changes_nothing(past, later, policy, as_of, dismissed) -> None:
    later = [one for one in later if one.at > as_of]
    there = assess(past, policy, as_of, dismissed)
    assert assess([*past, *later], policy, as_of, dismissed) == there


@given(pasts, policies, moments, moments)
@PROPERTIES
def test_asking_later_never_rewrites_what_was_seen(past, policy, one, other) -> None:
    earlier, later = sorted((one, other))
    then = [(r.rose_at, r.fell_at) for r in assess(past, policy, earlier).rises]
    now = [
        (r.rose_at, r.fell_at if r.fell_at is not None and r.fell_at <= earlier else None)
        for r in assess(past, policy, later).rises
        if r.rose_at <= earlier
    ]
    assert now == then


@given(pasts, policies, moments, st.none() | moments)
@PROPERTIES
def test_escalated_means_that_the_last_rise_has_not_fallen(past, policy, as_of, dismissed) -> None:
    assessment = assess(past, policy, as_of, dismissed)
    standing = bool(assessment.rises) and assessment.rises[-1].fell_at is None
    assert (assessment.state == "escalated") == standing == (assessment.current is not None)
    assert all(rise.fell_at is not None for rise in assessment.rises[:-1])
    assert assessment.reasons


@given(pasts, policies, moments, st.none() | moments)
@PROPERTIES
def test_rises_follow_one_another_with_the_cooldown_between(past, policy, as_of, dismissed) -> None:
    rises = assess(past, policy, as_of, dismissed).rises
    for earlier, later in pairwise(rises):
        assert earlier.fell_at is not None
        pause = later.rose_at - earlier.fell_at
        dismissed_between = dismissed is not None and dismissed >= earlier.fell_at
        least = 0 if dismissed_between else policy.cooldown_days
        assert pause >= timedelta(days=least)
    assert all(rise.fell_at is None or rise.fell_at >= rise.rose_at for rise in rises)


@given(pasts, policies, moments)
@PROPERTIES
def test_a_lower_bar_never_delays_the_first_rise(past, policy, as_of) -> None:
    lower = RecurrencePolicy(
        **{**policy.to_json(), "on": 3, "distinct_days": 1, "impact_floor_minutes": 100.0}
    )
    strict = assess(past, policy, as_of).rises
    if strict:
        assert assess(past, lower, as_of).rises[0].rose_at <= strict[0].rose_at


@given(st.integers(0, 60), st.floats(0.1, 40), st.floats(0.5, 20))
@PROPERTIES
def test_surprise_is_the_upper_tail_of_the_negative_binomial(count, expected, size) -> None:
    tail = nbinom.sf(count - 1, size, size / (size + expected))
    assert surprise(count, expected, size) == pytest.approx(tail, rel=1e-6, abs=1e-12)


def test_five_thousand_occurrences_are_judged_at_once() -> None:
    never = RecurrencePolicy(on=2_000, off=1, alpha=1e-300, impact_floor_minutes=None)
    for policy in (POLICY, never):
        for spread in (0.01, 0.3):
            times = on_days([number * spread for number in range(5_000)])
            started = time.process_time()
            assess(times, policy, day(5_000 * spread))
            assert time.process_time() - started < 0.5  # 0.1 s or less; room for a busy machine


# The policy


def test_a_policy_survives_json() -> None:
    policy = RecurrencePolicy(window_days=14, impact_floor_minutes=None, version=7)
    assert RecurrencePolicy.from_json(policy.to_json()) == policy
    assert RecurrencePolicy.from_json({"on": 6.0}).on == 6
    assert RecurrencePolicy.from_json({}) == POLICY


@pytest.mark.parametrize(
    ("data", "advice"),
    [
        ({"windw_days": 3}, "No setting is called 'windw_days'; use alpha, "),
        ({"on": "5"}, "Set on to a number; it is '5'."),
        ({"on": True}, "Set on to a number; it is True."),
        ({"on": 2.5}, "Set on to a whole number; it is 2.5."),
        ({"off": 0}, "Set off to 1 or more; it is 0."),
        ({"off": 9}, "Set off to at most on (5); it is 9"),
        ({"alpha": 0}, "Set alpha above 0; it is 0."),
        ({"alpha": 1}, "Set alpha below 1"),
        ({"alpha": float("nan")}, "Set alpha to a number; it is nan."),
        ({"distinct_days": 6}, "Set distinct_days to at most on (5)"),
        ({"window_days": 2}, "Set distinct_days to at most window_days (2)"),
        ({"baseline_days": 20}, "Set baseline_days to at least window_days (28)"),
        ({"window_days": 10**6}, "Set window_days to 3660 or less"),
        ({"growth_factor": 0.5}, "Set growth_factor to 1 or more"),
    ],
)
def test_a_policy_that_makes_no_sense_says_what_to_change(
    data: dict[str, object], advice: str
) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        RecurrencePolicy.from_json(data)
    assert any(problem.startswith(advice) for problem in refused.value.problems)


def test_all_problems_of_a_policy_are_told_at_once() -> None:
    with pytest.raises(InvalidPolicy) as refused:
        RecurrencePolicy(on=0, off=0)
    assert len(refused.value.problems) == 2
