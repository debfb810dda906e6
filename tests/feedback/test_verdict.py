"""What may be said of a delivered item, and what may not."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, poisson_means_test

from services.feedback.detection.policy import InvalidPolicy
from services.feedback.outcomes.rates import (
    Dispersion,
    Drift,
    Rate,
    Span,
    compare,
    dispersion,
    drift,
)
from services.feedback.outcomes.verdict import OutcomePolicy, Verdict, judge

DELIVERED = datetime(2026, 6, 1, tzinfo=UTC)
POLICY = OutcomePolicy()
MONTH = OutcomePolicy(window_days=28)


def at(days: float) -> datetime:
    """Days from the delivery."""
    return DELIVERED + timedelta(days=days)


def evenly(count: int, start: float, end: float) -> list[datetime]:
    return [at(start + (end - start) * (step + 0.5) / count) for step in range(count)]


def verdict(
    before: int,
    after: int,
    *,
    day: float = 56,
    policy: OutcomePolicy = POLICY,
    untreated: Iterable[datetime] = (),
    expected_reduction: float = 0.5,
    siblings: dict[str, list[datetime]] | None = None,
    signals_alive: bool | None = None,
) -> Verdict:
    """Judged at `day`, with the counts spread evenly over eight weeks before, and after till then.

    One more lies further back, so that the time before is not cut short.
    """
    times = [at(-90), *evenly(before, -56, 0), *evenly(after, 0, day)]
    return judge(
        times,
        list(untreated),
        DELIVERED,
        at(day),
        policy,
        expected_reduction,
        siblings,
        signals_alive,
    )


# The comparison of two rates


def test_twelve_to_four_is_the_textbook_case() -> None:
    # poisson_means_test reproduces p with alternative="less"; the interval is Wilson's for the
    # share 4 of 16, as odds. (The exact Clopper-Pearson interval is wider: 0.08 to 1.10.)
    result = compare(Rate(12, 28), Rate(4, 28))
    assert result.p_fewer == pytest.approx(0.023, abs=5e-4)
    assert poisson_means_test(4, 28, 12, 28, alternative="less").pvalue == pytest.approx(
        result.p_fewer, abs=5e-4
    )
    assert (result.low, result.high) == (
        pytest.approx(0.11, abs=0.005),
        pytest.approx(0.98, abs=1e-3),
    )


@given(st.integers(1, 80), st.integers(1, 80))
@settings(max_examples=60, deadline=None)
def test_without_overdispersion_the_interval_is_wilsons(before: int, after: int) -> None:
    wilson = binomtest(after, before + after).proportion_ci(0.95, method="wilson")
    result = compare(Rate(before, 28), Rate(after, 28))
    assert result.low == pytest.approx(wilson.low / (1 - wilson.low), rel=1e-6)
    assert result.high == pytest.approx(wilson.high / (1 - wilson.high), rel=1e-6)


@given(
    st.integers(0, 60),
    st.integers(0, 60),
    st.floats(1, 6),
    st.floats(0.3, 3),
    st.floats(0, 0.5),
)
@settings(max_examples=150, deadline=None)
def test_the_interval_holds_the_ratio_and_agrees_with_the_test(
    before: int, after: int, phi: float, ratio: float, variance: float
) -> None:
    result = compare(Rate(before, 56), Rate(after, 28), Dispersion(phi, 11), Drift(ratio, variance))
    if before:
        assert result.low <= result.ratio <= result.high
        assert (result.high < 1) == (result.p_fewer < 0.025)
        assert (result.low > 1) == (result.p_more < 0.025)
    assert result.p_fewer + result.p_more == pytest.approx(1)


def test_doubt_about_the_untreated_widens_the_interval() -> None:
    sure = compare(Rate(40, 28), Rate(20, 28), meanwhile=Drift(0.9, 0.0))
    unsure = compare(Rate(40, 28), Rate(20, 28), meanwhile=Drift(0.9, 0.1))
    assert unsure.low < sure.low < sure.ratio == unsure.ratio < sure.high < unsure.high


def test_a_zero_among_the_untreated_is_half_a_count() -> None:
    seen = drift(Rate(9, 28), Rate(0, 28), Dispersion(1, 7))
    assert (seen.ratio, seen.variance) == (pytest.approx(0.5 / 9.5), pytest.approx(2 + 1 / 9.5))


def test_even_weeks_show_no_overdispersion_and_clustered_ones_do() -> None:
    span = Span(at(-56), at(0))
    assert dispersion(evenly(24, -56, 0), span).phi == 1
    clustered = [at(-week * 7 - 3) for week in (1, 2, 6) for _ in range(8)]
    assert dispersion(clustered, span).phi > 3
    assert dispersion([], span).phi == 1


def test_rates_that_carry_over_from_week_to_week_count_as_more_dispersed() -> None:
    span = Span(at(-56), at(0))
    scattered = [at(-week * 7 - 3) for week in (0, 2, 4, 6) for _ in range(6)]
    carried = [at(-week * 7 - 3) for week in (0, 1, 2, 3) for _ in range(6)]
    assert dispersion(carried, span).phi > 2 * dispersion(scattered, span).phi


# The verdicts


def test_a_clear_fall_is_verified_with_its_numbers() -> None:
    found = verdict(24, 4)
    assert (found.outcome, found.reason, found.final) == ("verified", "as_expected", True)
    assert found.text == (
        "Fewer came than without the item; 50% fewer were expected. From 24 in 56 days to 4 in 56 days: "
        "0.17 times the rate (95% interval 0.06 to 0.46)."
    )
    assert found.numbers["observed_reduction"] == pytest.approx(5 / 6)
    assert found.numbers["per_week_before"] == 3
    assert found.numbers["p_fewer"] <= found.numbers["p_needed"] == pytest.approx(0.025)


def test_a_fall_to_nothing_needs_no_correction() -> None:
    found = verdict(12, 0)
    assert (found.outcome, found.numbers["ratio"]) == ("verified", 0)


def test_a_fall_surely_short_of_the_promise_says_so() -> None:
    found = verdict(200, 120, expected_reduction=0.9)
    assert (found.outcome, found.reason) == ("verified", "less_than_expected")


def test_a_fall_that_chance_explains_is_insufficient_evidence() -> None:
    found = verdict(12, 7)
    assert (found.outcome, found.reason) == ("insufficient_evidence", "interval_too_wide")
    assert found.final


def test_the_same_counts_say_less_when_they_came_in_clusters() -> None:
    clustered = [at(-week * 7 - 3.5) for week in (1, 4, 6) for _ in range(8)]
    found = judge([at(-90), *clustered, *evenly(6, 0, 56)], [], DELIVERED, at(56), POLICY, 0.5)
    assert found.outcome == "insufficient_evidence"
    assert verdict(24, 6).outcome == "verified"


def test_when_the_promise_can_be_ruled_out_nothing_changed() -> None:
    found = verdict(100, 98)
    assert (found.outcome, found.reason) == ("no_change", "expected_reduction_ruled_out")


def test_more_than_before_is_a_regression() -> None:
    found = verdict(12, 30)
    assert (found.outcome, found.reason) == ("regressed", "more_than_before")
    assert verdict(0, 12).outcome == "regressed"


def test_an_early_look_needs_stronger_evidence() -> None:
    early = verdict(24, 2, day=14)
    assert (early.outcome, early.reason) == ("insufficient_evidence", "still_watching")
    assert early.numbers["p_needed"] < 0.001
    assert not early.final
    assert verdict(24, 0, day=28).outcome == "verified"


def test_nothing_is_said_right_after_the_delivery() -> None:
    assert verdict(24, 0, day=13).reason == "too_early"
    assert verdict(24, 0, day=-1).reason == "too_early"
    settling = OutcomePolicy(settle_days=7)
    assert verdict(24, 0, day=6, policy=settling).reason == "too_early"


def test_nothing_can_be_compared_with_too_few_before() -> None:
    assert verdict(4, 0).reason == "too_few_before"


def test_what_settles_after_the_delivery_counts_for_neither_side() -> None:
    rollout = evenly(20, 0, 6)
    times = [at(-90), *evenly(24, -56, 0), *rollout, *evenly(3, 8, 60)]
    settled = OutcomePolicy(settle_days=7)
    found = judge(times, [], DELIVERED, at(63), settled, 0.5)
    assert (found.outcome, found.numbers["count_after"]) == ("verified", 3)


def test_a_young_theme_is_compared_with_its_own_lifetime() -> None:
    young = evenly(15, -35, 0)
    found = judge(young, [], DELIVERED, at(28), MONTH, 0.5)
    assert found.numbers["days_before"] == 28
    found = judge(young, [], DELIVERED, at(56), POLICY, 0.5)
    assert 28 < found.numbers["days_before"] < 35
    # Its first occurrence opens the time before, and so is not counted in it.
    assert found.numbers["count_before"] == 14


# Was it the item?


def test_a_fall_that_the_untreated_share_is_not_the_items() -> None:
    others = [*evenly(400, -56, 0), *evenly(200, 0, 56)]
    found = verdict(24, 10, untreated=others)
    assert found.outcome == "insufficient_evidence"
    assert found.numbers["ratio_untreated"] == pytest.approx(0.5)
    assert "beside 0.50 for the untreated themes" in found.text
    assert verdict(24, 10).numbers["p_fewer"] < found.numbers["p_fewer"]


def test_holding_still_while_the_others_double_is_a_fall() -> None:
    others = [*evenly(400, -56, 0), *evenly(1_200, 0, 56)]
    assert verdict(40, 40, untreated=others).outcome == "verified"


def test_holding_still_while_the_others_halve_is_no_regression() -> None:
    others = [*evenly(400, -56, 0), *evenly(200, 0, 56)]
    found = verdict(60, 59, untreated=others)
    assert found.numbers["p_more"] <= found.numbers["p_needed"]
    assert found.outcome == "no_change"


def test_a_few_untreated_say_nothing_of_the_drift() -> None:
    others = [*evenly(8, -56, 0), *evenly(1, 0, 56)]
    assert verdict(24, 4, untreated=others).numbers["ratio_untreated"] == 1


def test_a_silent_sender_is_no_success() -> None:
    found = verdict(24, 0, signals_alive=False)
    assert (found.outcome, found.reason) == ("exposure_lost", "signals_silent")


def test_when_everything_stops_the_traffic_went_away() -> None:
    others = [*evenly(60, -56, 0), *evenly(1, 0, 56)]
    found = verdict(24, 0, untreated=others)
    assert (found.outcome, found.reason) == ("exposure_lost", "untreated_collapsed")
    assert verdict(24, 6, untreated=others).outcome == "exposure_lost"


def test_known_to_be_alive_a_collapse_around_it_is_only_drift() -> None:
    others = [*evenly(60, -56, 0), *evenly(1, 0, 56)]
    assert verdict(24, 0, untreated=others, signals_alive=True).outcome != "exposure_lost"


def test_a_pain_that_moved_to_a_sibling_is_displaced() -> None:
    moved = {"calm": evenly(5, -56, 56), "queue full": evenly(20, 0, 56)}
    found = verdict(24, 4, siblings=moved)
    assert (found.outcome, found.reason) == ("displaced", "sibling_rose")
    assert "'queue full' rose, from 0 in 56 days to 20 in 56 days" in found.text


def test_a_sibling_that_rose_by_little_does_not_explain_the_fall() -> None:
    assert verdict(60, 4, siblings={"other": evenly(8, 0, 56)}).outcome == "verified"


def test_what_had_calmed_down_before_the_delivery_owes_it_nothing() -> None:
    times = [at(-90), *evenly(16, -56, -28), *evenly(5, -28, 0), *evenly(3, 0, 56)]
    found = judge(times, [], DELIVERED, at(56), POLICY, 0.5)
    assert (found.outcome, found.reason) == ("insufficient_evidence", "fell_before_delivery")
    assert found.numbers["p_fewer"] <= found.numbers["p_needed"]


def test_a_fall_without_a_promise_is_refused() -> None:
    with pytest.raises(ValueError, match="State the expected reduction above 0"):
        verdict(24, 4, expected_reduction=0)


@given(st.lists(st.floats(-200, 200), max_size=40), st.randoms(), st.floats(-10, 120))
@settings(max_examples=80, deadline=None)
def test_order_and_the_future_change_nothing(days: list[float], random, now: float) -> None:
    times = [at(day) for day in days]
    shuffled = [one for one in times if one <= at(now)]
    random.shuffle(shuffled)
    there = judge(times, times, DELIVERED, at(now), POLICY, 0.5)
    assert judge(shuffled, shuffled, DELIVERED, at(now), POLICY, 0.5) == there


def test_an_outcome_policy_that_makes_no_sense_says_what_to_change() -> None:
    with pytest.raises(InvalidPolicy) as refused:
        OutcomePolicy(window_days=10, max_false_verified=0)
    assert refused.value.problems == (
        "Set max_false_verified above 0 and below 1; it is 0.",
        "Set window_days to 28 or more; it is 10.",
    )
