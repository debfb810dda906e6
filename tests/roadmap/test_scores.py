"""Scores: which method ranks, what it costs, what is missing, and what always holds."""

from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from math import fsum, isfinite
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from services.roadmap.scores.cost_of_delay import IMPACT_POINTS, cost_of_delay
from services.roadmap.scores.numbers import LARGEST, EvidenceNumbers, Severity, figure
from services.roadmap.scores.policy import (
    AttentionWeights,
    ConfidenceScale,
    ImpactScale,
    Method,
    Rates,
    ScorePolicy,
)
from services.roadmap.scores.score import (
    DURATION_BOUNDS,
    EFFORT_BOUNDS,
    Score,
    rank_key,
    score,
    wanted_method,
)

RATES = Rates(
    currency="EUR",
    per_impact_minute=2,
    per_responder_hour=80,
    sla_credit_per_incident=100,
    churn_probability=0.02,
    annual_revenue_per_customer=5200,
)
# 8 incidents in 28 days are 2 a week; 300 customer minutes and 5 responder hours a week.
THEME = EvidenceNumbers(
    as_of=datetime(2026, 10, 1, tzinfo=UTC),
    total=16,
    open=2,
    opened_28d=8,
    top_severity_28d=3,
    opened_14d=5,
    earlier_count=11,
    earlier_days=56.0,
    linked=1,
    impact_minutes_total=2400.0,
    impact_minutes_per_week=300.0,
    responder_hours_per_week=5.0,
    customers_max=15,
    customers_90d=40,
    feedback_count=2,
    votes=6,
    severity_max="high",
)

COUNT = st.integers(min_value=0, max_value=10**9) | st.just(0)
MEASURE = st.floats(min_value=0, max_value=LARGEST)
NUMBERS = st.builds(
    EvidenceNumbers,
    as_of=st.just(THEME.as_of),
    total=COUNT,
    open=COUNT,
    opened_28d=COUNT,
    top_severity_28d=COUNT,
    opened_14d=COUNT,
    earlier_count=COUNT,
    earlier_days=MEASURE,
    linked=COUNT,
    impact_minutes_total=MEASURE,
    impact_minutes_per_week=MEASURE,
    responder_hours_per_week=MEASURE,
    customers_max=st.none() | COUNT,
    customers_90d=st.none() | COUNT,
    feedback_count=COUNT,
    votes=COUNT,
    severity_max=st.none() | st.sampled_from(get_args(Severity)),
)
POLICIES = st.builds(
    ScorePolicy,
    method=st.sampled_from(["auto", *get_args(Method)]),
    rates=st.none() | st.just(RATES) | st.just(Rates(currency="USD", per_impact_minute=1e9)),
)
EFFORTS = st.none() | st.floats(*EFFORT_BOUNDS)
DURATIONS = st.none() | st.floats(*DURATION_BOUNDS)


def scored(
    policy: ScorePolicy, effort: float | None = None, duration: float | None = None
) -> Score:
    return score(THEME, policy, effort, duration, confirmed=False)


def test_without_rates_candidates_rank_by_attention():
    assert scored(ScorePolicy()).method == "attention"


def test_with_rates_candidates_rank_by_the_money_a_week_costs():
    # 300 * 2 + 5 * 80 + 2 * 100 + 40 * 0.02 * 5200 / 52 = 600 + 400 + 200 + 80
    by_money = scored(ScorePolicy(rates=RATES))
    assert (by_money.method, by_money.unit) == ("cost_of_delay", "EUR")
    assert by_money.value == pytest.approx(1280)
    assert [part.contribution for part in by_money.parts] == pytest.approx([600, 400, 200, 80])


def test_without_rates_the_cost_of_delay_is_in_impact_points_and_says_so():
    cost = cost_of_delay(THEME, ScorePolicy())
    assert (cost.value, cost.unit) == (300 + 5 * 60, IMPACT_POINTS)
    assert cost.text == "600 impact points a week, because no rates are configured"


def test_unknown_customers_leave_churn_out_and_say_so():
    churn = cost_of_delay(replace(THEME, customers_90d=None), ScorePolicy(rates=RATES)).parts[-1]
    assert (churn.name, churn.contribution) == ("churn", 0)
    assert churn.text == "customers affected this quarter unknown: churn is left out"


def test_rice_is_reach_times_impact_times_confidence_over_effort():
    # 40 customers, high = 2, 18 rows of evidence and nobody confirmed = 0.5, over 4 person-months
    by_rice = scored(ScorePolicy(method="rice"), effort=4)
    assert (by_rice.method, by_rice.value) == ("rice", pytest.approx(40 * 2 * 0.5 / 4))


@pytest.mark.parametrize(("weeks", "value"), [(8, 160), (0.5, 2560)])
def test_wsjf_is_cost_of_delay_over_duration(weeks: float, value: float):
    # 1280 EUR a week
    by_wsjf = scored(ScorePolicy(method="wsjf", rates=RATES), duration=weeks)
    assert (by_wsjf.method, by_wsjf.unit) == ("wsjf", "EUR")
    assert by_wsjf.value == pytest.approx(value)


@pytest.mark.parametrize(
    ("confirmed", "rows", "confidence"),
    [(False, 19, 0.5), (False, 20, 0.8), (True, 4, 0.8), (True, 5, 1.0)],
)
def test_confidence_grows_with_evidence_and_with_a_persons_word(
    confirmed: bool, rows: int, confidence: float
):
    numbers = replace(THEME, total=rows, feedback_count=0)
    by_rice = score(numbers, ScorePolicy(), 1, None, confirmed).rice
    assert by_rice is not None
    assert by_rice.confidence == confidence


@pytest.mark.parametrize(
    ("severity", "impact"),
    [("critical", 3), ("high", 2), ("medium", 1), ("low", 0.5), (None, 0.25)],
)
def test_impact_follows_the_highest_severity(severity: Severity | None, impact: float):
    by_rice = score(replace(THEME, severity_max=severity), ScorePolicy(), 1, None, False).rice
    assert by_rice is not None
    assert by_rice.impact == impact


def test_reach_falls_back_to_the_most_that_one_incident_hit():
    by_rice = score(replace(THEME, customers_90d=None), ScorePolicy(), 1, None, False).rice
    assert by_rice is not None
    assert by_rice.reach == 15


def test_unknown_reach_is_not_invented():
    unseen = replace(THEME, customers_90d=None, customers_max=None)
    result = score(unseen, ScorePolicy(method="rice"), 1, None, False)
    assert (result.rice, result.method, result.needs_estimate) == (None, "attention", False)
    assert "needs reach: record the customers affected to get RICE" in result.missing


@pytest.mark.parametrize("method", ["rice", "wsjf"])
@pytest.mark.parametrize(("rates", "fallback"), [(None, "attention"), (RATES, "cost_of_delay")])
def test_without_an_estimate_the_candidate_says_so_and_the_rank_falls_back(
    method: Method, rates: Rates | None, fallback: str
):
    result = scored(ScorePolicy(method=method, rates=rates))
    assert (result.method, result.needs_estimate) == (fallback, True)
    assert "Needs estimate: state the effort in person-months to get RICE." in result.text
    assert "Needs estimate: state the duration in weeks to get WSJF." in result.text


def test_a_method_waits_only_for_the_estimate_it_uses():
    assert not scored(ScorePolicy(method="rice"), effort=2).needs_estimate
    assert scored(ScorePolicy(method="rice"), duration=2).needs_estimate
    assert not scored(ScorePolicy(method="wsjf"), duration=2).needs_estimate
    assert not scored(ScorePolicy(), duration=2).needs_estimate


@pytest.mark.parametrize(
    ("effort", "duration"), [(0, None), (-1, None), (None, 0), (float("nan"), None)]
)
def test_an_estimate_that_no_work_can_have_is_refused(effort: float | None, duration: float | None):
    with pytest.raises(ValueError, match="or leave it out"):
        scored(ScorePolicy(), effort, duration)


def test_candidates_that_fell_back_are_listed_after_those_the_method_could_score():
    policy = ScorePolicy(method="wsjf")
    small = scored(policy, duration=5000)
    large = scored(policy, duration=1)
    waiting = scored(policy)
    assert waiting.value > small.value
    ordered = sorted([waiting, small, large], key=lambda each: rank_key(each, policy))
    assert ordered == [large, small, waiting]


def test_the_text_names_the_largest_reason_first():
    text = scored(ScorePolicy(rates=RATES), effort=1, duration=1).text
    assert text == (
        "Cost of delay 1,280 EUR a week: 300 customer-impact minutes a week (+600); "
        "5 responder hours a week (+400); 2 incidents a week (+200); 40 customers affected in "
        "90 days, 2 % of whom would leave within the year (+80)."
    )


@settings(max_examples=150, deadline=None)
@given(NUMBERS, POLICIES, EFFORTS, DURATIONS, st.booleans())
def test_any_valid_numbers_give_a_finite_score_that_its_parts_sum_to(
    numbers: EvidenceNumbers,
    policy: ScorePolicy,
    effort: float | None,
    duration: float | None,
    confirmed: bool,
):
    result = score(numbers, policy, effort, duration, confirmed)
    assert all(isfinite(number) and number >= 0 for number in floats_in(result))
    assert result.value == fsum(part.contribution for part in result.parts)
    assert all(part.contribution == part.value * part.weight for part in result.parts)


@settings(max_examples=100, deadline=None)
@given(NUMBERS, POLICIES, EFFORTS, DURATIONS)
def test_effort_is_never_invented(
    numbers: EvidenceNumbers, policy: ScorePolicy, effort: float | None, duration: float | None
):
    result = score(numbers, policy, effort, duration, confirmed=True)
    if effort is None:
        assert result.rice is None
        assert result.method != "rice"
    if duration is None:
        assert result.wsjf is None
        assert result.method != "wsjf"
    assert result.method in {wanted_method(policy), "attention", "cost_of_delay"}


@settings(max_examples=30, deadline=None)
@given(NUMBERS, POLICIES, EFFORTS, DURATIONS)
def test_a_score_survives_its_journey_through_json(
    numbers: EvidenceNumbers, policy: ScorePolicy, effort: float | None, duration: float | None
):
    result = score(numbers, policy, effort, duration, confirmed=False)
    stored = TypeAdapter(Score)
    assert stored.validate_json(stored.dump_json(result)) == result


def test_a_policy_survives_its_journey_through_json():
    policy = ScorePolicy(version=7, method="wsjf", rates=RATES)
    assert ScorePolicy.model_validate_json(policy.model_dump_json()) == policy


def test_a_score_names_the_version_of_its_policy():
    assert scored(ScorePolicy(version=7)).policy_version == 7


@pytest.mark.parametrize(
    ("policy", "advice"),
    [
        ({"attention": {"size": -1}}, "greater than or equal to 0"),
        ({"attention": dict.fromkeys(AttentionWeights.model_fields, 0)}, "at least one above 0"),
        ({"rates": {"currency": "EUR"}}, "or no rates"),
        ({"rates": {"currency": "euro", "per_impact_minute": 1}}, "pattern"),
        ({"impact": {"high": 7}}, "use 3, 2, 1, 0.5 or 0.25"),
        ({"confidence": {"some": 9, "much": 3}}, "raise it"),
        ({"method": "gut feeling"}, "Input should be"),
        ({"weights": {}}, "Extra inputs"),
        ({"version": 0}, "greater than or equal to 1"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_with_advice(policy: object, advice: str):
    with pytest.raises(ValidationError, match=advice):
        ScorePolicy.model_validate(policy)


def test_a_policy_cannot_be_changed_in_place():
    with pytest.raises(ValidationError, match="frozen"):
        ScorePolicy().version = 2  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("total", -1),
        ("earlier_days", float("nan")),
        ("impact_minutes_per_week", float("inf")),
        ("customers_90d", -3),
        ("severity_max", "catastrophic"),
        ("as_of", THEME.as_of.replace(tzinfo=None)),
        ("as_of", datetime(2026, 10, 1, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_numbers_that_no_theme_can_have_are_refused(field: str, value: object):
    with pytest.raises(ValueError, match=rf"^{field} is .*: (give|use) "):
        replace(THEME, **{field: value})


def test_a_scale_of_impacts_can_be_moved_within_rices_own_values():
    policy = ScorePolicy(impact=ImpactScale(high=3), confidence=ConfidenceScale(some=1, much=2))
    by_rice = score(THEME, policy, 1, None, confirmed=False).rice
    assert by_rice is not None
    assert by_rice.value == pytest.approx(40 * 3 * 0.8)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (2.0, "2"), (1234.5, "1,234.5"), (0.25, "0.25"), (0.00123, "0.0012")],
)
def test_figures_are_short_and_never_hide_a_small_number_as_zero(number: float, text: str):
    assert figure(number) == text


def floats_in(value: object) -> list[float]:
    """Every number within a value made of dataclasses and tuples."""
    if isinstance(value, bool | str):
        return []
    if isinstance(value, int | float):
        return [float(value)]
    if isinstance(value, tuple):
        return [number for item in value for number in floats_in(item)]  # pyright: ignore
    if is_dataclass(value):
        return [n for field in fields(value) for n in floats_in(getattr(value, field.name))]
    return []
