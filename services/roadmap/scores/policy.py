"""What a team may decide about scoring: the weights, the rates, the scales, the method.

A policy is data: it travels as JSON, is edited through the API, and each edit is a new version.
It owns no arithmetic.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Method = Literal["attention", "cost_of_delay", "rice", "wsjf"]
RICE_IMPACTS = (3.0, 2.0, 1.0, 0.5, 0.25)


def _on_the_scale(impact: float) -> float:
    if impact not in RICE_IMPACTS:
        raise ValueError(f"an impact of {impact} is not on RICE's scale: use 3, 2, 1, 0.5 or 0.25")
    return impact


Weight = Annotated[float, Field(ge=0, le=100)]
Rate = Annotated[float, Field(ge=0, le=1e9)]
RiceImpact = Annotated[float, AfterValidator(_on_the_scale)]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class AttentionWeights(_Data):
    """What each term of attention counts for; `attention` says what the terms are.

    The first four are those that were measured. `demand` is not: it has no data behind it yet,
    and stands at half of what an incident of the top severities counts for.
    """

    top_severity: Weight = 1.0
    excess: Weight = 1.0
    links: Weight = 1.0
    size: Weight = 0.25
    demand: Weight = 0.5

    @model_validator(mode="after")
    def _something_counts(self) -> Self:
        weights = (self.top_severity, self.excess, self.links, self.size, self.demand)
        if not any(weights):
            raise ValueError("all weights of attention are 0: give at least one above 0")
        return self


class Rates(_Data):
    """What an hour of pain costs, in one currency (ISO 4217).

    `churn_probability` is the chance that a customer who is affected leaves within the year
    because of it; `annual_revenue_per_customer` is what leaves with them.
    """

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    per_impact_minute: Rate = 0.0
    per_responder_hour: Rate = 0.0
    sla_credit_per_incident: Rate = 0.0
    churn_probability: Annotated[float, Field(ge=0, le=1)] = 0.0
    annual_revenue_per_customer: Rate = 0.0

    @model_validator(mode="after")
    def _something_costs(self) -> Self:
        churn = self.churn_probability * self.annual_revenue_per_customer
        per_event = self.per_impact_minute + self.per_responder_hour + self.sla_credit_per_incident
        if per_event + churn <= 0:
            raise ValueError(
                "these rates make every cost of delay 0: give at least one above 0, or no rates"
            )
        return self


class ImpactScale(_Data):
    """RICE's impact for a theme's highest severity; `unknown` when no evidence states one."""

    critical: RiceImpact = 3.0
    high: RiceImpact = 2.0
    medium: RiceImpact = 1.0
    low: RiceImpact = 0.5
    unknown: RiceImpact = 0.25


class ConfidenceScale(_Data):
    """How many rows of evidence (incidents and feedback) are `some`, and how many are `much`."""

    some: Annotated[int, Field(ge=1)] = 5
    much: Annotated[int, Field(ge=1)] = 20

    @model_validator(mode="after")
    def _much_is_more_than_some(self) -> Self:
        if self.much < self.some:
            raise ValueError(f"much ({self.much}) is less than some ({self.some}): raise it")
        return self


class ScorePolicy(_Data):
    """How candidates are scored; `version` goes up with each edit, and each score names its own.

    `method` "auto" ranks by cost of delay where rates are configured, by attention where not.
    """

    version: Annotated[int, Field(ge=1)] = 1
    method: Method | Literal["auto"] = "auto"
    attention: AttentionWeights = AttentionWeights()
    rates: Rates | None = None
    points_per_responder_hour: Weight = 60.0
    impact: ImpactScale = ImpactScale()
    confidence: ConfidenceScale = ConfidenceScale()
