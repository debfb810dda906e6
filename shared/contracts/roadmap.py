"""Events of the roadmap service: candidates, items, objectives. Keyed by aggregate."""

from datetime import datetime
from typing import ClassVar, Literal

from shared.contracts.contract import Contract
from shared.contracts.feedback import ReasonData

TOPIC = "roadmap.events"

ItemState = Literal[
    "planned", "committed", "started", "delivered", "verified", "regressed", "cancelled"
]
Horizon = Literal["now", "next", "later"]


class RoadmapContract(Contract):
    TOPIC: ClassVar[str] = TOPIC


class CandidateEvent(RoadmapContract):
    """What every candidate event carries. Subject: `candidate_id`."""

    candidate_id: str
    theme_id: str
    """Empty for one that a person raised without a theme."""
    at: datetime
    title: str
    product: str


class CandidateRaised(CandidateEvent):
    """A theme asks for a place on the roadmap."""

    TYPE: ClassVar[str] = "groundswell.candidate.raised.v1"
    score: float
    reasons: list[ReasonData]


class CandidateRescored(CandidateEvent):
    """The score moved, or what is known of the theme; `cause` says which part moved it and why."""

    TYPE: ClassVar[str] = "groundswell.candidate.rescored.v1"
    score: float
    was: float
    cause: str
    raised_at: datetime | None = None
    """When it was raised, where late evidence corrected that."""


class CandidateAccepted(CandidateEvent):
    """A person said yes; `item_id` deals with it."""

    TYPE: ClassVar[str] = "groundswell.candidate.accepted.v1"
    item_id: str
    by: str


class CandidateDeclined(CandidateEvent):
    """A person said no. The theme's baseline freezes at `at`."""

    TYPE: ClassVar[str] = "groundswell.candidate.declined.v1"
    by: str
    reason: str


class CandidateSnoozed(CandidateEvent):
    """Not now: it wakes at a time, or when the evidence has grown."""

    TYPE: ClassVar[str] = "groundswell.candidate.snoozed.v1"
    by: str
    until: datetime | None = None
    until_total: int | None = None
    """Wake when the theme's evidence reaches this many rows."""


class CandidateMerged(CandidateEvent):
    """It is part of another candidate from now on."""

    TYPE: ClassVar[str] = "groundswell.candidate.merged.v1"
    into_candidate_id: str
    by: str


class CandidateWithdrawn(CandidateEvent):
    """What raised it turned out not to have happened, and nobody had dealt with it yet."""

    TYPE: ClassVar[str] = "groundswell.candidate.withdrawn.v1"
    reason: str


class CandidateReturned(CandidateEvent):
    """A declined, snoozed or delivered theme came back; linked to its past by `previous_id`."""

    TYPE: ClassVar[str] = "groundswell.candidate.returned.v1"
    previous_id: str
    why: str
    score: float
    reasons: list[ReasonData]


class ItemEvent(RoadmapContract):
    """What every item event carries: enough to show the item's state elsewhere. Subject: `item_id`."""

    item_id: str
    at: datetime
    title: str
    product: str
    state: ItemState
    horizon: Horizon
    quarter: str | None = None
    theme_ids: list[str] = []
    objective_id: str | None = None


class ItemPlanned(ItemEvent):
    """It has a place on the roadmap."""

    TYPE: ClassVar[str] = "groundswell.item.planned.v1"


class ItemChanged(ItemEvent):
    """Its title, horizon, quarter, estimate, themes or objective was edited; the state stayed. Or late
    evidence took a verdict back: then it is `delivered` again."""

    TYPE: ClassVar[str] = "groundswell.item.changed.v1"


class ItemCommitted(ItemEvent):
    """It is promised, with what success will mean."""

    TYPE: ClassVar[str] = "groundswell.item.committed.v1"
    expected_reduction: float
    """The success criterion: the share of the themes' incidents expected to go away, in (0, 1]."""


class ItemStarted(ItemEvent):
    """Work on it began."""

    TYPE: ClassVar[str] = "groundswell.item.started.v1"


class ItemDelivered(ItemEvent):
    """It shipped. `at` is when; the outcome is measured from there."""

    TYPE: ClassVar[str] = "groundswell.item.delivered.v1"
    expected_reduction: float
    release: str | None = None


class ItemCancelled(ItemEvent):
    """It will not be done."""

    TYPE: ClassVar[str] = "groundswell.item.cancelled.v1"
    reason: str


class ItemVerified(ItemEvent):
    """Its outcome was measured and it worked."""

    TYPE: ClassVar[str] = "groundswell.item.verified.v1"
    outcome_id: str


class ItemRegressed(ItemEvent):
    """Its outcome was measured and things got worse."""

    TYPE: ClassVar[str] = "groundswell.item.regressed.v1"
    outcome_id: str


class ObjectiveSet(RoadmapContract):
    """A business objective. Subject: `objective_id`."""

    TYPE: ClassVar[str] = "groundswell.objective.set.v1"
    objective_id: str
    at: datetime
    title: str
    product: str | None = None
    target: str | None = None


class ObjectiveChanged(ObjectiveSet):
    """An objective was edited, achieved or dropped; the payload is the whole new state."""

    TYPE: ClassVar[str] = "groundswell.objective.changed.v1"
    state: Literal["active", "achieved", "dropped"] = "active"


EVENTS: tuple[type[Contract], ...] = (
    CandidateRaised,
    CandidateRescored,
    CandidateAccepted,
    CandidateDeclined,
    CandidateSnoozed,
    CandidateMerged,
    CandidateWithdrawn,
    CandidateReturned,
    ItemPlanned,
    ItemChanged,
    ItemCommitted,
    ItemStarted,
    ItemDelivered,
    ItemCancelled,
    ItemVerified,
    ItemRegressed,
    ObjectiveSet,
    ObjectiveChanged,
)
