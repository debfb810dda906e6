"""Events of the feedback service: feedback, themes and their evidence, outcomes. Keyed by aggregate."""

from datetime import datetime
from typing import ClassVar, Literal

from shared.contracts.contract import Contract

TOPIC = "feedback.events"


class FeedbackContract(Contract):
    TOPIC: ClassVar[str] = TOPIC


class ReasonData(Contract):
    """Why a detector rose (or why not), with the numbers and thresholds it compared."""

    TYPE: ClassVar[str] = ""
    detector: str
    name: str
    text: str
    numbers: dict[str, float] = {}


class EvidenceNumbersData(Contract):
    """A theme's evidence in numbers, as of an event time. Weeks are seven days ending at `as_of`."""

    TYPE: ClassVar[str] = ""
    as_of: datetime
    total: int
    by_kind: dict[str, int] = {}
    open: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    opened_28d: int = 0
    top_severity_28d: int = 0
    opened_14d: int = 0
    earlier_count: int = 0
    earlier_days: float = 0.0
    linked: int = 0
    impact_minutes_total: float = 0.0
    impact_minutes_per_week: float = 0.0
    responder_hours_per_week: float = 0.0
    customers_max: int | None = None
    customers_90d: int | None = None
    feedback_count: int = 0
    votes: int = 0
    severity_max: str | None = None
    weekly_counts: list[int] = []
    """Occurrences in each of the last twelve weeks, oldest first."""


class RiseData(Contract):
    """One time that a detector raised a theme, as the ledger says today. `fell_at` None: it holds."""

    TYPE: ClassVar[str] = ""
    detector: str
    rose_at: datetime
    fell_at: datetime | None = None
    last_at: datetime | None = None
    """When the newest evidence up to its end happened."""
    reasons: list[ReasonData] = []
    """As of when it rose; of each detector's newest rise only."""


class FeedbackReceived(FeedbackContract):
    """Somebody said something. Subject: `feedback_id`; the text stays in the feedback service."""

    TYPE: ClassVar[str] = "groundswell.feedback.received.v1"
    feedback_id: str
    at: datetime
    kind: Literal["operator", "customer", "stakeholder"]
    product: str | None = None
    service: str | None = None
    theme_id: str | None = None


class FeedbackVoted(FeedbackContract):
    """Somebody else wants it too; `votes` counts them all."""

    TYPE: ClassVar[str] = "groundswell.feedback.voted.v1"
    feedback_id: str
    at: datetime
    votes: int


class FeedbackLinked(FeedbackContract):
    """It was tied to a theme, or freed from one."""

    TYPE: ClassVar[str] = "groundswell.feedback.linked.v1"
    feedback_id: str
    at: datetime
    theme_id: str | None
    was_theme_id: str | None = None


class ThemeEvent(FeedbackContract):
    """What every theme event carries. Subject: `theme_id`."""

    theme_id: str
    at: datetime
    product: str
    service: str
    title: str


class EvidenceRecorded(ThemeEvent):
    """These incidents are evidence of this theme (from now on, if they were another's before)."""

    TYPE: ClassVar[str] = "groundswell.evidence.recorded.v1"
    incident_ids: list[str]


class ThemeTold(ThemeEvent):
    """What is told of a theme in numbers. Each replaces what was told before it, whole."""

    evidence: EvidenceNumbersData
    rises: list[RiseData] | None = None
    """Every time that it stood up, the newest fifty, oldest first: what the ledger says by now, so
    that late evidence may add to them and corrections may take some back. None: not stated."""


class ThemeEscalated(ThemeTold):
    """A detector rose. `at` is when it rose, by event time; `reasons` are as of then. It may have
    fallen since: then `theme.quieted` follows."""

    TYPE: ClassVar[str] = "groundswell.theme.escalated.v1"
    reasons: list[ReasonData]


class ThemeEvidenceChanged(ThemeTold):
    """The evidence of a theme that others know of changed; at most once per theme and batch."""

    TYPE: ClassVar[str] = "groundswell.theme.evidence_changed.v1"


class ThemeQuieted(ThemeTold):
    """Every detector that had risen fell again, or turns out never to have risen."""

    TYPE: ClassVar[str] = "groundswell.theme.quieted.v1"
    reasons: list[ReasonData]


class ThemeMerged(ThemeEvent):
    """This theme is now part of another; its evidence and its keys moved there."""

    TYPE: ClassVar[str] = "groundswell.theme.merged.v1"
    into_theme_id: str
    by: str
    reason: str


class ThemeSplit(ThemeEvent):
    """Part of another theme's evidence became this new theme."""

    TYPE: ClassVar[str] = "groundswell.theme.split.v1"
    from_theme_id: str
    by: str
    reason: str


Verdict = Literal[
    "verified",
    "insufficient_evidence",
    "no_change",
    "regressed",
    "displaced",
    "exposure_lost",
]


class OutcomeAssessed(FeedbackContract):
    """Whether a delivered item worked. Subject: `outcome_id`; assessed again as evidence comes in."""

    TYPE: ClassVar[str] = "groundswell.outcome.assessed.v1"
    outcome_id: str
    item_id: str
    theme_ids: list[str]
    at: datetime
    verdict: Verdict
    final: bool = False
    """True once the watch period is over; late evidence may still correct it."""
    text: str
    numbers: dict[str, float | None] = {}


EVENTS: tuple[type[Contract], ...] = (
    FeedbackReceived,
    FeedbackVoted,
    FeedbackLinked,
    EvidenceRecorded,
    ThemeEscalated,
    ThemeEvidenceChanged,
    ThemeQuieted,
    ThemeMerged,
    ThemeSplit,
    OutcomeAssessed,
)
