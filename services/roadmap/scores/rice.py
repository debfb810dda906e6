"""RICE: reach times impact times confidence, divided by effort in person-months.

Neither reach nor effort is ever invented: where one is missing there is no RICE.
"""

from dataclasses import dataclass

from services.roadmap.scores.numbers import EvidenceNumbers, counted, figure
from services.roadmap.scores.policy import ConfidenceScale, ImpactScale, ScorePolicy


@dataclass(frozen=True)
class Rice:
    """value = reach x impact x confidence / effort. Reach is in customers per quarter."""

    value: float
    reach: int
    impact: float
    confidence: float
    effort_person_months: float
    text: str


def rice(
    numbers: EvidenceNumbers,
    policy: ScorePolicy,
    effort_person_months: float | None,
    confirmed: bool,
) -> Rice | None:
    """RICE of a theme, or None while its reach or its effort is unknown.

    `confirmed`: a person has looked at the theme and says that it is one pain.
    """
    reach = reach_of(numbers)
    if reach is None or effort_person_months is None:
        return None
    impact = impact_of(numbers, policy.impact)
    confidence = confidence_of(numbers, policy.confidence, confirmed)
    value = reach * impact * confidence / effort_person_months
    text = (
        f"{counted(reach, 'customer')} a quarter, impact {figure(impact)} "
        f"({numbers.severity_max or 'severity unknown'}), confidence {figure(confidence)} "
        f"({'' if confirmed else 'not '}confirmed by a person, {_evidence(numbers):,} rows of "
        f"evidence), effort {figure(effort_person_months)} person-months"
    )
    return Rice(value, reach, impact, confidence, effort_person_months, text)


def reach_of(numbers: EvidenceNumbers) -> int | None:
    """Distinct customers of the quarter; else the most that one incident hit, a lower bound."""
    if numbers.customers_90d is not None:
        return numbers.customers_90d
    return numbers.customers_max


def impact_of(numbers: EvidenceNumbers, scale: ImpactScale) -> float:
    """RICE's impact for the highest severity that the evidence states."""
    match numbers.severity_max:
        case "critical":
            return scale.critical
        case "high":
            return scale.high
        case "medium":
            return scale.medium
        case "low":
            return scale.low
        case None:
            return scale.unknown


def confidence_of(numbers: EvidenceNumbers, scale: ConfidenceScale, confirmed: bool) -> float:
    """1.0 confirmed by a person with some evidence; 0.8 confirmed, or much evidence; else 0.5."""
    if confirmed:
        return 1.0 if _evidence(numbers) >= scale.some else 0.8
    return 0.8 if _evidence(numbers) >= scale.much else 0.5


def _evidence(numbers: EvidenceNumbers) -> int:
    return numbers.total + numbers.feedback_count
