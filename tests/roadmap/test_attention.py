"""Attention: the formula by hand, and what may never lower it."""

from dataclasses import replace
from datetime import UTC, datetime
from math import log, log1p, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.roadmap.scores.attention import attention_parts, excess, expected_recent
from services.roadmap.scores.numbers import EvidenceNumbers, total_of
from services.roadmap.scores.policy import AttentionWeights

COUNTS = st.integers(min_value=0, max_value=10**6)
MORE = st.integers(min_value=1, max_value=10**4)
QUIET = EvidenceNumbers(
    as_of=datetime(2026, 10, 1, tzinfo=UTC),
    total=0,
    open=0,
    opened_28d=0,
    top_severity_28d=0,
    opened_14d=0,
    earlier_count=0,
    earlier_days=0.0,
    linked=0,
    impact_minutes_total=0.0,
    impact_minutes_per_week=0.0,
    responder_hours_per_week=0.0,
    customers_max=None,
    customers_90d=None,
    feedback_count=0,
    votes=0,
    severity_max=None,
)
# 12 incidents in 28 days, 3 of them of the top severities; 9 in 14 days after 7 in 56 days; 1 link.
BUSY = replace(
    QUIET,
    total=16,
    opened_28d=12,
    top_severity_28d=3,
    opened_14d=9,
    earlier_count=7,
    earlier_days=56.0,
    linked=1,
)


def attention(numbers: EvidenceNumbers, weights: AttentionWeights | None = None) -> float:
    return total_of(attention_parts(numbers, weights or AttentionWeights()))


def test_attention_is_the_sum_of_its_terms_as_computed_by_hand():
    # mu = 14 * 7.5 / 56 = 1.875; ex = (9 - 1.875) / sqrt(1.875 + 1.875 ** 2 / 4) = 4.29349
    # ln 4 + ln 5.29349 + ln 2 + ln(12) / 4 = 1.38629 + 1.66648 + 0.69315 + 0.62123
    assert attention(BUSY) == pytest.approx(4.36715, abs=1e-5)


def test_every_term_of_attention_says_its_numbers():
    texts = {part.name: part.text for part in attention_parts(BUSY, AttentionWeights())}
    assert texts == {
        "top_severity": "3 incidents of the two top severities in 28 days",
        "excess": "9 incidents in 14 days where its own past predicts 1.88: 4.29 deviations above",
        "links": "1 incident already tied to a problem, change or item",
        "size": "12 incidents in 28 days",
        "demand": "0 votes and 0 pieces of feedback",
    }


def test_a_theme_with_no_evidence_has_no_attention():
    assert attention(QUIET) == 0.0


def test_a_theme_without_a_past_is_expected_to_bring_one_incident_in_14_days():
    assert expected_recent(0, 0.0) == 1.0
    assert excess(5, 1.0) == pytest.approx(4 / sqrt(1.25))


def test_a_pace_below_its_own_past_is_no_excess():
    assert excess(1, 10.0) == 0.0


def test_a_theme_of_feedback_alone_ranks_by_its_demand():
    asked_for = replace(QUIET, feedback_count=3, votes=7)
    assert attention(asked_for) == pytest.approx(0.5 * log(11))


def test_without_votes_and_feedback_the_weight_of_demand_changes_nothing():
    assert attention(BUSY, AttentionWeights(demand=9.0)) == attention(BUSY)


def test_a_policy_that_counts_only_links_ranks_by_links_alone():
    only_links = AttentionWeights(top_severity=0, excess=0, links=2, size=0, demand=0)
    assert attention(replace(BUSY, linked=5), only_links) == pytest.approx(2 * log1p(5))


@settings(max_examples=60, deadline=None)
@given(top=COUNTS, recent=COUNTS, linked=COUNTS, size=COUNTS, votes=COUNTS, more=MORE)
@pytest.mark.parametrize(
    "field", ["top_severity_28d", "opened_14d", "linked", "opened_28d", "votes", "feedback_count"]
)
def test_more_of_any_pain_never_lowers_attention(
    field: str, top: int, recent: int, linked: int, size: int, votes: int, more: int
):
    before = replace(
        BUSY,
        top_severity_28d=top,
        opened_14d=recent,
        linked=linked,
        opened_28d=size,
        votes=votes,
    )
    after = replace(before, **{field: getattr(before, field) + more})
    assert attention(after) >= attention(before)


@settings(max_examples=60, deadline=None)
@given(earlier=COUNTS, days=st.floats(min_value=0, max_value=1e6), recent=COUNTS, more=MORE)
def test_a_busier_past_never_makes_the_same_fortnight_more_surprising(
    earlier: int, days: float, recent: int, more: int
):
    calm, busy = expected_recent(earlier, days), expected_recent(earlier + more, days)
    assert excess(recent, busy) <= excess(recent, calm)
