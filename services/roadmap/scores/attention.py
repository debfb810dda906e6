"""Attention: how much a theme asks to be looked at, when nobody has said what its pain costs.

    attention = ln(1 + hp) + ln(1 + ex) + ln(1 + links) + ln(n) / 4  [+ ln(1 + demand) / 2]

hp = incidents of the two top severities in 28 days, as known then; ex = the excess of the last
14 days over the theme's own baseline; links = incidents already tied to a problem, change or
item; n = incidents opened in 28 days. Logarithms, so that the tenth incident says less than the
first. On a real log this ranks better than counting, which mostly finds what is big
(`make truth` prints by how much). A theme that no incident opened in 28 days has no size: ln(n)
is 0 then.

The last term is our extension, for what customers ask for and no incident shows: demand = votes
+ pieces of feedback. It is 0 without either, so themes made of incidents keep the measured
formula, and a theme of feedback alone ranks by it. Nothing has been measured about its weight.
"""

import math

from services.roadmap.scores.numbers import (
    EvidenceNumbers,
    ScorePart,
    counted,
    figure,
    weighed,
)
from services.roadmap.scores.policy import AttentionWeights

RECENT_DAYS = 14
SHORTEST_BASELINE_DAYS = 7.0
PRIOR_INCIDENTS = 0.5
NEGBIN_SIZE = 4.0


def expected_recent(earlier_count: int, earlier_days: float) -> float:
    """How many incidents 14 days bring at the theme's earlier pace.

    Half an incident more and a week at least, so that a theme without a past still has a
    baseline and its first incidents are not infinitely surprising.
    """
    days = max(earlier_days, SHORTEST_BASELINE_DAYS)
    return RECENT_DAYS * (earlier_count + PRIOR_INCIDENTS) / days


def excess(recent: int, expected: float) -> float:
    """By how many standard deviations of a negative binomial `recent` exceeds `expected`.

    Never below 0. The size of 4 allows for incidents that come in bursts.
    """
    deviation = math.sqrt(expected + expected**2 / NEGBIN_SIZE)
    return max(0.0, (recent - expected) / deviation)


def attention_parts(numbers: EvidenceNumbers, weights: AttentionWeights) -> tuple[ScorePart, ...]:
    """The terms of attention, each with its numbers; attention is their sum. Always all five."""
    expected = expected_recent(numbers.earlier_count, numbers.earlier_days)
    above = excess(numbers.opened_14d, expected)
    demand = numbers.votes + numbers.feedback_count
    return (
        weighed(
            "top_severity",
            math.log1p(numbers.top_severity_28d),
            weights.top_severity,
            f"{counted(numbers.top_severity_28d, 'incident')} of the two top severities in 28 days",
        ),
        weighed(
            "excess",
            math.log1p(above),
            weights.excess,
            f"{counted(numbers.opened_14d, 'incident')} in 14 days where its own past predicts "
            f"{figure(expected)}: {figure(above)} deviations above",
        ),
        weighed(
            "links",
            math.log1p(numbers.linked),
            weights.links,
            f"{counted(numbers.linked, 'incident')} already tied to a problem, change or item",
        ),
        weighed(
            "size",
            math.log(max(numbers.opened_28d, 1)),
            weights.size,
            f"{counted(numbers.opened_28d, 'incident')} in 28 days",
        ),
        weighed(
            "demand",
            math.log1p(demand),
            weights.demand,
            f"{counted(numbers.votes, 'vote')} and {counted(numbers.feedback_count, 'piece')} "
            "of feedback",
        ),
    )
