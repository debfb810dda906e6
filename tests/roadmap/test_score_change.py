"""What moved a score: the sentence names the part, and the moves add up."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.roadmap.scores.change import explain_change, moves_between
from services.roadmap.scores.numbers import EvidenceNumbers
from services.roadmap.scores.policy import AttentionWeights, Rates, ScorePolicy
from services.roadmap.scores.score import Score, score

THEME = EvidenceNumbers(
    as_of=datetime(2026, 10, 1, tzinfo=UTC),
    total=16,
    open=2,
    opened_28d=8,
    top_severity_28d=1,
    opened_14d=5,
    earlier_count=11,
    earlier_days=56.0,
    linked=1,
    impact_minutes_total=2400.0,
    impact_minutes_per_week=300.0,
    responder_hours_per_week=5.0,
    customers_max=15,
    customers_90d=40,
    feedback_count=0,
    votes=0,
    severity_max="medium",
)
BY_RICE = ScorePolicy(method="rice")
BY_WSJF = ScorePolicy(method="wsjf", rates=Rates(currency="EUR", per_impact_minute=2))


def scored(
    numbers: EvidenceNumbers = THEME,
    policy: ScorePolicy | None = None,
    effort: float | None = None,
    duration: float | None = None,
) -> Score:
    return score(numbers, policy or ScorePolicy(), effort, duration, confirmed=False)


def test_the_part_that_moved_is_named_with_what_it_was_and_is():
    # ln(1 + 3) - ln(1 + 1) = ln 2 = 0.69
    sentence = explain_change(scored(), scored(replace(THEME, top_severity_28d=3)))
    assert sentence.startswith("Attention rose by 0.69 to ")
    assert sentence.endswith(
        ": top_severity +0.69 (was 1 incident of the two top severities in 28 days; "
        "now 3 incidents of the two top severities in 28 days)."
    )


def test_the_largest_move_comes_first():
    # links: ln(1/2) = -0.69; size: ln(9/8) / 4 = +0.03
    sentence = explain_change(scored(), scored(replace(THEME, linked=0, opened_28d=9)))
    assert "fell by 0.66" in sentence
    assert sentence.index("links -0.69") < sentence.index("size +0.03")


def test_a_score_that_did_not_move_says_so():
    assert "no part of it moved" in explain_change(scored(), scored())


def test_moves_that_cancel_out_are_still_named():
    # 60 impact points less for the customers, one responder hour (60 points) more
    policy = ScorePolicy(method="cost_of_delay")
    shifted = replace(THEME, impact_minutes_per_week=240.0, responder_hours_per_week=6.0)
    sentence = explain_change(scored(policy=policy), scored(shifted, policy))
    assert sentence.startswith("Cost of delay stays at 600: ")
    assert "impact -60" in sentence
    assert "responders +60" in sentence


def test_a_new_weight_is_shown_with_the_policy_that_brought_it():
    heavier = ScorePolicy(version=2, attention=AttentionWeights(links=3))
    sentence = explain_change(scored(), scored(policy=heavier))
    assert (
        "links +1.39 (was 1 incident already tied to a problem, change or item, at weight 1;"
        in sentence
    )
    assert "at weight 3)" in sentence
    assert sentence.endswith("Policy version 2 replaced version 1.")


def test_an_estimate_that_changes_the_method_is_given_as_the_cause():
    sentence = explain_change(scored(policy=BY_RICE), scored(policy=BY_RICE, effort=2))
    assert sentence.startswith("Ranked by RICE (10 points) instead of Attention (")
    assert "no longer needs estimate: state the effort in person-months to get RICE" in sentence
    assert "The two values do not compare." in sentence


def test_a_change_of_currency_is_no_move():
    dollars = ScorePolicy(version=2, rates=Rates(currency="USD", per_impact_minute=2))
    euros = ScorePolicy(rates=Rates(currency="EUR", per_impact_minute=2))
    sentence = explain_change(scored(policy=euros), scored(policy=dollars))
    assert sentence.startswith("Ranked by Cost of delay (600 USD) instead of Cost of delay (600 EU")


def test_a_longer_job_moves_wsjf_by_its_duration_alone():
    # 600 EUR a week over 2 weeks, then over 4
    before, after = (scored(policy=BY_WSJF, duration=weeks) for weeks in (2, 4))
    assert explain_change(before, after) == (
        "WSJF fell by 150 to 150: duration -150 (was 2 weeks; now 4 weeks)."
    )


def test_a_new_effort_moves_rice_by_its_effort_alone():
    before, after = (scored(policy=BY_RICE, effort=effort) for effort in (2, 1))
    assert explain_change(before, after) == "RICE rose by 10 to 20: effort +10 (was 2; now 1)."


def test_a_reach_that_was_zero_explains_all_of_rice():
    nobody = scored(replace(THEME, customers_90d=0), BY_RICE, effort=2)
    sentence = explain_change(nobody, scored(policy=BY_RICE, effort=2))
    assert sentence == "RICE rose by 10 to 10: reach +10 (was 0; now 40)."


def test_a_part_that_an_earlier_version_did_not_count_is_said_to_be_new():
    after = scored(replace(THEME, votes=9))
    before = replace(
        after, parts=after.parts[:-1], value=after.value - after.parts[-1].contribution
    )
    assert "demand +1.15 (was not counted; now 9 votes" in explain_change(before, after)


@settings(max_examples=100, deadline=None)
@given(
    policy=st.sampled_from([ScorePolicy(), BY_RICE, BY_WSJF]),
    customers=st.tuples(*[st.integers(min_value=1, max_value=10**6)] * 2),
    minutes=st.tuples(*[st.floats(min_value=0, max_value=1e6)] * 2),
    estimates=st.tuples(*[st.floats(min_value=0.1, max_value=100)] * 2),
    top=st.tuples(*[st.integers(min_value=0, max_value=10**6)] * 2),
)
def test_moves_add_up_to_the_difference(
    policy: ScorePolicy,
    customers: tuple[int, int],
    minutes: tuple[float, float],
    estimates: tuple[float, float],
    top: tuple[int, int],
):
    before, after = (
        scored(
            replace(
                THEME,
                customers_90d=customers[at],
                impact_minutes_per_week=minutes[at],
                top_severity_28d=top[at],
            ),
            policy,
            effort=estimates[at],
            duration=estimates[at],
        )
        for at in (0, 1)
    )
    moved = sum(move.delta for move in moves_between(before, after))
    larger = max(before.value, after.value)
    assert moved == pytest.approx(after.value - before.value, rel=1e-6, abs=1e-6 * larger + 1e-9)
