"""What a candidate stands on: evidence, reasons, estimate; and the score that these come to.

It is not part of the candidate's log: evidence changes all the time, and what of it matters is told
as a new score with its cause. Pure; the rules of scoring are in `scores`.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from services.roadmap.scores.evidence import score_of
from services.roadmap.scores.policy import ScorePolicy
from services.roadmap.scores.score import Score
from shared.contracts.feedback import EvidenceNumbersData, ReasonData


@dataclass(frozen=True, slots=True)
class Standing:
    """`evidence` is None until the theme's was told. `quiet_since`: its detectors fell again.

    The estimate is a person's or it is None: it is never made up.
    """

    service: str
    reasons: tuple[ReasonData, ...]
    evidence: EvidenceNumbersData | None
    correlation_id: str
    scored: Score
    effort_person_months: float | None = None
    duration_weeks: float | None = None
    confirmed: bool = False
    quiet_since: datetime | None = None

    @property
    def total(self) -> int:
        """Rows of evidence, or 0 when none was ever told."""
        return self.evidence.total if self.evidence else 0


def rescored(standing: Standing, policy: ScorePolicy, at: datetime) -> Standing:
    """The same, with the score that its evidence and estimate come to now."""
    fresh = score_of(
        standing.evidence,
        policy,
        at=at,
        effort_person_months=standing.effort_person_months,
        duration_weeks=standing.duration_weeks,
        confirmed=standing.confirmed,
    )
    return replace(standing, scored=fresh)
