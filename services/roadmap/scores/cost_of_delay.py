"""Cost of delay: what one more week without a fix costs, in money or else in impact points.

    per week = impact minutes x rate + responder hours x rate + incidents x SLA credit
               + customers x p(churn) x annual revenue per customer / 52

The minutes and hours are already those of a week, so they carry the number of incidents.
With no rates configured nothing is priced: the same minutes and hours are added in impact points,
one for a customer-impact minute, and the text says so.
"""

from dataclasses import dataclass

from services.roadmap.scores.numbers import (
    EvidenceNumbers,
    ScorePart,
    counted,
    figure,
    total_of,
    weighed,
)
from services.roadmap.scores.policy import Rates, ScorePolicy

IMPACT_POINTS = "impact points"
WEEKS_OF_A_YEAR = 52
WEEKS_OF_28_DAYS = 4


@dataclass(frozen=True)
class CostOfDelay:
    """What a week costs. `unit` is a currency or "impact points": never compare across units."""

    value: float
    unit: str
    parts: tuple[ScorePart, ...]
    text: str


def cost_of_delay(numbers: EvidenceNumbers, policy: ScorePolicy) -> CostOfDelay:
    """The cost of a week's delay by the policy's rates, or in impact points where it has none."""
    if policy.rates is None:
        parts = _in_points(numbers, policy.points_per_responder_hour)
        value = total_of(parts)
        text = f"{figure(value)} impact points a week, because no rates are configured"
        return CostOfDelay(value, IMPACT_POINTS, parts, text)
    parts = _in_money(numbers, policy.rates)
    value = total_of(parts)
    unit = policy.rates.currency
    return CostOfDelay(value, unit, parts, f"{figure(value)} {unit} a week")


def _in_points(numbers: EvidenceNumbers, per_responder_hour: float) -> tuple[ScorePart, ...]:
    return (
        weighed("impact", numbers.impact_minutes_per_week, 1.0, _impact_text(numbers)),
        weighed(
            "responders",
            numbers.responder_hours_per_week,
            per_responder_hour,
            _responders_text(numbers),
        ),
    )


def _in_money(numbers: EvidenceNumbers, rates: Rates) -> tuple[ScorePart, ...]:
    incidents_per_week = numbers.opened_28d / WEEKS_OF_28_DAYS
    churn = rates.churn_probability * rates.annual_revenue_per_customer / WEEKS_OF_A_YEAR
    return (
        weighed(
            "impact",
            numbers.impact_minutes_per_week,
            rates.per_impact_minute,
            _impact_text(numbers),
        ),
        weighed(
            "responders",
            numbers.responder_hours_per_week,
            rates.per_responder_hour,
            _responders_text(numbers),
        ),
        weighed(
            "sla_credits",
            incidents_per_week,
            rates.sla_credit_per_incident,
            f"{figure(incidents_per_week)} incidents a week",
        ),
        weighed("churn", float(numbers.customers_90d or 0), churn, _churn_text(numbers, rates)),
    )


def _impact_text(numbers: EvidenceNumbers) -> str:
    return f"{figure(numbers.impact_minutes_per_week)} customer-impact minutes a week"


def _responders_text(numbers: EvidenceNumbers) -> str:
    return f"{figure(numbers.responder_hours_per_week)} responder hours a week"


def _churn_text(numbers: EvidenceNumbers, rates: Rates) -> str:
    if numbers.customers_90d is None:
        return "customers affected this quarter unknown: churn is left out"
    return (
        f"{counted(numbers.customers_90d, 'customer')} affected in 90 days, "
        f"{figure(100 * rates.churn_probability)} % of whom would leave within the year"
    )
