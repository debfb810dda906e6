"""The score of a candidate: one value to rank by, and every number that it was made of.

It chooses among the methods and never mixes them: values of two methods do not compare.
"""

from dataclasses import dataclass

from services.roadmap.scores.attention import attention_parts
from services.roadmap.scores.cost_of_delay import CostOfDelay, cost_of_delay
from services.roadmap.scores.numbers import (
    EvidenceNumbers,
    ScorePart,
    figure,
    total_of,
    weighed,
)
from services.roadmap.scores.policy import Method, ScorePolicy
from services.roadmap.scores.rice import Rice, reach_of, rice
from services.roadmap.scores.wsjf import Wsjf, wsjf

#: In person-months and in weeks: about an hour and a half, and an afternoon, up to a century.
EFFORT_BOUNDS = (0.01, 1200.0)
DURATION_BOUNDS = (0.1, 5200.0)

TITLES: dict[Method, str] = {
    "attention": "Attention",
    "cost_of_delay": "Cost of delay",
    "rice": "RICE",
    "wsjf": "WSJF",
}
#: The unit of attention and of RICE, which measure nothing but rank.
POINTS = "points"


@dataclass(frozen=True)
class Score:
    """How a candidate ranks, and why.

    `value` is the sum of the contributions of `parts`, by `method`, in `unit`; only scores of
    the same method and unit compare. `missing` says what stands in the way of RICE and WSJF,
    `needs_estimate` that the chosen method waits for an estimate. `text` says it all to a person.
    """

    value: float
    method: Method
    unit: str
    policy_version: int
    parts: tuple[ScorePart, ...]
    cost_of_delay: CostOfDelay
    rice: Rice | None
    wsjf: Wsjf | None
    needs_estimate: bool
    missing: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class _Ranking:
    method: Method
    unit: str
    parts: tuple[ScorePart, ...]


def score(
    numbers: EvidenceNumbers,
    policy: ScorePolicy,
    effort_person_months: float | None,
    duration_weeks: float | None,
    confirmed: bool,
) -> Score:
    """Score a theme's evidence by a policy.

    Where the policy's method waits for an estimate, the rank falls back to cost of delay if
    rates are configured, else to attention. Raises ValueError for an estimate out of bounds.
    """
    check_estimate(effort_person_months, duration_weeks)
    cost = cost_of_delay(numbers, policy)
    by_rice = rice(numbers, policy, effort_person_months, confirmed)
    by_wsjf = wsjf(cost, duration_weeks)
    ranking = _ranking(numbers, policy, cost, by_rice, by_wsjf)
    value = total_of(ranking.parts)
    missing = _missing(numbers, effort_person_months, duration_weeks)
    return Score(
        value=value,
        method=ranking.method,
        unit=ranking.unit,
        policy_version=policy.version,
        parts=ranking.parts,
        cost_of_delay=cost,
        rice=by_rice,
        wsjf=by_wsjf,
        needs_estimate=_needs_estimate(policy, effort_person_months, duration_weeks),
        missing=missing,
        text=_text(value, ranking, cost, missing),
    )


def check_estimate(effort_person_months: float | None, duration_weeks: float | None) -> None:
    """Raise ValueError for an estimate that no work can have; None is no estimate, and fine."""
    for name, estimate, (least, most) in (
        ("effort_person_months", effort_person_months, EFFORT_BOUNDS),
        ("duration_weeks", duration_weeks, DURATION_BOUNDS),
    ):
        if estimate is not None and not least <= estimate <= most:
            raise ValueError(f"{name} is {estimate}: give {least:g} to {most:g}, or leave it out")


def wanted_method(policy: ScorePolicy) -> Method:
    """The method that the policy ranks by once everything it needs is known."""
    return _fallback(policy) if policy.method == "auto" else policy.method


def rank_key(scored: Score, policy: ScorePolicy) -> tuple[bool, float]:
    """Sort key, highest first: those the wanted method could score, then those that fell back.

    Two blocks, because an attention of 3 and a WSJF of 500 have no common order: only an
    invented estimate would make one.
    """
    return (scored.method != wanted_method(policy), -scored.value)


def _fallback(policy: ScorePolicy) -> Method:
    return "attention" if policy.rates is None else "cost_of_delay"


def _ranking(
    numbers: EvidenceNumbers,
    policy: ScorePolicy,
    cost: CostOfDelay,
    by_rice: Rice | None,
    by_wsjf: Wsjf | None,
) -> _Ranking:
    wanted = wanted_method(policy)
    if wanted == "rice" and by_rice is not None:
        return _Ranking("rice", POINTS, (_rice_part(by_rice),))
    if wanted == "wsjf" and by_wsjf is not None:
        return _Ranking("wsjf", by_wsjf.unit, by_wsjf.parts)
    waiting = wanted in ("rice", "wsjf")
    if (_fallback(policy) if waiting else wanted) == "cost_of_delay":
        return _Ranking("cost_of_delay", cost.unit, cost.parts)
    return _Ranking("attention", POINTS, attention_parts(numbers, policy.attention))


def _rice_part(by_rice: Rice) -> ScorePart:
    gain = by_rice.reach * by_rice.impact * by_rice.confidence
    return weighed("rice", gain, 1 / by_rice.effort_person_months, by_rice.text)


def _needs_estimate(policy: ScorePolicy, effort: float | None, duration: float | None) -> bool:
    match wanted_method(policy):
        case "rice":
            return effort is None
        case "wsjf":
            return duration is None
        case "attention" | "cost_of_delay":
            return effort is None and duration is None


def _missing(
    numbers: EvidenceNumbers, effort: float | None, duration: float | None
) -> tuple[str, ...]:
    reasons: list[str] = []
    if effort is None:
        reasons.append("needs estimate: state the effort in person-months to get RICE")
    if reach_of(numbers) is None:
        reasons.append("needs reach: record the customers affected to get RICE")
    if duration is None:
        reasons.append("needs estimate: state the duration in weeks to get WSJF")
    return tuple(reasons)


def _text(value: float, ranking: _Ranking, cost: CostOfDelay, missing: tuple[str, ...]) -> str:
    counting = sorted(
        (part for part in ranking.parts if part.contribution),
        key=lambda part: part.contribution,
        reverse=True,
    )
    reasons = "; ".join(f"{part.text} (+{figure(part.contribution)})" for part in counting)
    sentences = [f"{_headline(value, ranking, cost)}: {reasons or 'no evidence'}."]
    if ranking.method != "cost_of_delay":
        sentences.append(f"Cost of delay: {cost.text}.")
    sentences.extend(f"{reason[0].upper()}{reason[1:]}." for reason in missing)
    return " ".join(sentences)


def _headline(value: float, ranking: _Ranking, cost: CostOfDelay) -> str:
    match ranking.method:
        case "cost_of_delay":
            return f"Cost of delay {cost.text}"
        case "wsjf":
            return f"WSJF {figure(value)} {ranking.unit} a week for each week of work"
        case "attention" | "rice":
            return f"{TITLES[ranking.method]} {figure(value)}"
