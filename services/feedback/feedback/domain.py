"""A piece of feedback: what somebody said, and how it weighs as evidence. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from services.feedback.evidence.domain import Entry
from shared.refusals import NotFound

Kind = Literal["operator", "customer", "stakeholder"]


class FeedbackUnknown(NotFound):
    """No such piece of feedback."""


@dataclass(frozen=True, slots=True)
class GiveFeedback:
    """Say something. `customer` is whose account it is; `theme_id` what it is about, if known."""

    text: str
    kind: Kind
    author: str
    happened_at: datetime
    segment: str | None = None
    customer: str | None = None
    product: str | None = None
    service: str | None = None
    theme_id: str | None = None
    revenue_at_risk: float | None = None


@dataclass(frozen=True, slots=True)
class Feedback:
    """What was said. Its theme stands in the ledger, where merges and splits move it."""

    id: str
    text: str
    kind: Kind
    author: str
    segment: str | None
    customer: str | None
    product: str | None
    service: str | None
    revenue_at_risk: float | None
    happened_at: datetime
    votes: int
    version: int


def as_evidence(
    said: Feedback, entry_id: str, theme_id: str | None, product: str, service: str
) -> Entry:
    """The ledger's row of this feedback; `product` and `service` are the theme's."""
    return Entry(
        id=entry_id,
        theme_id=theme_id,
        kind="feedback",
        source_id=said.id,
        source_version=said.version,
        at=said.happened_at,
        ended_at=said.happened_at,
        product=product,
        service=service,
        title=" ".join(said.text.split())[:200],
        alert_name=None,
        labels={},
        revenue_at_risk=said.revenue_at_risk,
        votes=said.votes,
        voice=said.kind,
        customer=said.customer or said.author,
    )
