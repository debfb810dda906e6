"""A candidate's life: what may be decided about it, and what each decision makes of it.

Pure: no I/O, no clock, no ids made here. The score is worked out elsewhere and arrives as a number.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from math import isclose
from typing import Literal

from services.roadmap.candidates.refusals import (
    CandidateAlreadyAccepted,
    CandidateAlreadyDeclined,
    CandidateAlreadyMerged,
    CandidateAlreadyRaised,
    CandidateAlreadyWithdrawn,
    DecidedBeforeItWasRaised,
    MergedIntoItself,
    MergeTargetDecided,
    SnoozeEndsAtOnce,
    SnoozeNeverEnds,
)
from shared.clock import SKEW, rfc3339
from shared.contracts.feedback import ReasonData
from shared.contracts.roadmap import (
    CandidateAccepted,
    CandidateDeclined,
    CandidateEvent,
    CandidateMerged,
    CandidateRaised,
    CandidateRescored,
    CandidateReturned,
    CandidateSnoozed,
    CandidateWithdrawn,
)

CandidateState = Literal["open", "snoozed", "accepted", "declined", "merged", "withdrawn"]

WAITING: tuple[CandidateState, ...] = ("open", "snoozed")
"""A theme has at most one candidate in these states: it still waits for a decision."""

ROUNDING = 1e-9
"""A score that moves by no more than this part of it, at the same rank, is not news. Not more: or the
score that a candidate ends with would depend on those it had in between."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What its log folds to. `theme_id` is None for one that a person raised without a theme."""

    candidate_id: str
    theme_id: str | None
    title: str
    product: str
    state: CandidateState
    score: float
    raised_at: datetime
    version: int = 1
    previous_id: str | None = None
    item_id: str | None = None
    into_candidate_id: str | None = None
    until: datetime | None = None
    until_total: int | None = None
    decided_at: datetime | None = None
    decided_by: str | None = None
    decision: str | None = None
    """The reason a person gave."""

    @property
    def waiting(self) -> bool:
        return self.state in WAITING


@dataclass(frozen=True, slots=True)
class RaiseCandidate:
    """`previous_id` and `why` for a theme that was decided about before: it returns."""

    candidate_id: str
    theme_id: str | None
    title: str
    product: str
    at: datetime
    score: float
    reasons: tuple[ReasonData, ...]
    previous_id: str | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a candidate says of its theme; late evidence may correct it."""

    title: str
    product: str
    raised_at: datetime


@dataclass(frozen=True, slots=True)
class RescoreCandidate:
    """`theme_id`: the theme that it is a candidate of from now on, where its own was merged. `facts`:
    what is known of the theme by now, where that is not what the candidate says."""

    at: datetime
    score: float
    cause: str
    theme_id: str | None = None
    facts: Facts | None = None


@dataclass(frozen=True, slots=True)
class AcceptCandidate:
    item_id: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class DeclineCandidate:
    by: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SnoozeCandidate:
    """Until a time, or until the theme's evidence has `until_total` rows, whichever comes first.

    `total` is how many there are now.
    """

    by: str
    at: datetime
    total: int
    until: datetime | None = None
    until_total: int | None = None


@dataclass(frozen=True, slots=True)
class WakeCandidate:
    at: datetime
    why: str
    reasons: tuple[ReasonData, ...]


@dataclass(frozen=True, slots=True)
class MergeCandidate:
    into: Candidate
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class WithdrawCandidate:
    at: datetime
    reason: str


Command = (
    RaiseCandidate
    | RescoreCandidate
    | AcceptCandidate
    | DeclineCandidate
    | SnoozeCandidate
    | WakeCandidate
    | MergeCandidate
    | WithdrawCandidate
)


# state     | raise   | rescore  | accept   | decline  | snooze  | wake     | merge   | withdraw
# (none)    | open    |          |          |          |         |          |         |
# open      | refused | open     | accepted | declined | snoozed | nothing  | merged  | withdrawn
# snoozed   | refused | snoozed  | accepted | declined | snoozed | open     | merged  | nothing
# accepted  | refused | refused  | refused  | refused  | refused | nothing  | refused | nothing
# declined  | refused | refused  | refused  | refused  | refused | nothing  | refused | nothing
# merged    | refused | refused  | refused  | refused  | refused | nothing  | refused | nothing
# withdrawn | refused | refused  | refused  | refused  | refused | nothing  | refused | nothing
#
# `raise` is said of a new candidate: the theme of a decided one comes back as another, which names
# the decided one as its past (`candidate.returned`). Waking is told with `candidate.returned` too,
# of the candidate itself: it is its own past.
def decide(candidate: Candidate | None, command: Command) -> list[CandidateEvent]:
    """The events that `command` makes happen. Raises a Refusal when the state does not allow it."""
    if candidate is None:
        if isinstance(command, RaiseCandidate):
            return [_raised(command)]
        raise TypeError(f"{type(command).__name__} needs a candidate")
    if isinstance(command, WakeCandidate):
        return [_woken(candidate, command)] if candidate.state == "snoozed" else []
    if isinstance(command, WithdrawCandidate):
        return [_withdrawn(candidate, command)] if candidate.state == "open" else []
    if isinstance(command, RaiseCandidate):
        raise CandidateAlreadyRaised(
            f"Candidate {candidate.candidate_id} is already raised; decide about that one."
        )
    check_waiting(candidate)
    if isinstance(command, RescoreCandidate):
        return [_rescored(candidate, command)]
    check_time(candidate, command.at)
    return [_decided(candidate, command)]


def check_waiting(candidate: Candidate) -> None:
    """Raises the refusal that names the decision that was taken."""
    match candidate.state:
        case "accepted":
            raise CandidateAlreadyAccepted(
                f"Candidate {candidate.candidate_id} was accepted as item {candidate.item_id}; "
                f"change it with PATCH /v1/items/{candidate.item_id}."
            )
        case "declined":
            raise CandidateAlreadyDeclined(
                f"Candidate {candidate.candidate_id} was declined; raise it again with "
                "POST /v1/candidates."
            )
        case "merged":
            raise CandidateAlreadyMerged(
                f"Candidate {candidate.candidate_id} was merged into "
                f"{candidate.into_candidate_id}; decide about that one."
            )
        case "withdrawn":
            raise CandidateAlreadyWithdrawn(
                f"Candidate {candidate.candidate_id} was withdrawn, since what raised it turned out "
                "not to have happened; raise it again with POST /v1/candidates."
            )
        case "open" | "snoozed":
            return


def check_time(candidate: Candidate, at: datetime) -> None:
    """Nobody decides about what has not risen yet; clocks may differ by the usual few minutes."""
    if at < candidate.raised_at - SKEW:
        raise DecidedBeforeItWasRaised(
            f"The candidate was raised at {rfc3339(candidate.raised_at)}; "
            "send an `at` from then on, or leave it out for now."
        )


def _raised(command: RaiseCandidate) -> CandidateEvent:
    about = _about(command)
    reasons = list(command.reasons)
    if command.previous_id is None:
        return CandidateRaised(**about, at=command.at, score=command.score, reasons=reasons)
    return CandidateReturned(
        **about,
        at=command.at,
        previous_id=command.previous_id,
        why=command.why,
        score=command.score,
        reasons=reasons,
    )


def _woken(candidate: Candidate, command: WakeCandidate) -> CandidateEvent:
    return CandidateReturned(
        **_about(candidate),
        at=command.at,
        previous_id=candidate.candidate_id,
        why=command.why,
        score=candidate.score,
        reasons=list(command.reasons),
    )


def _rescored(candidate: Candidate, command: RescoreCandidate) -> CandidateEvent:
    about = _about(candidate)
    if command.theme_id is not None:
        about["theme_id"] = command.theme_id
    facts = command.facts or facts_of(candidate)
    about |= {"title": facts.title, "product": facts.product}
    return CandidateRescored(
        **about,
        at=command.at,
        score=command.score,
        was=candidate.score,
        cause=command.cause,
        raised_at=facts.raised_at if facts.raised_at != candidate.raised_at else None,
    )


def _withdrawn(candidate: Candidate, command: WithdrawCandidate) -> CandidateEvent:
    return CandidateWithdrawn(**_about(candidate), at=command.at, reason=command.reason)


def facts_of(candidate: Candidate) -> Facts:
    return Facts(candidate.title, candidate.product, candidate.raised_at)


def _about(said: Candidate | RaiseCandidate) -> dict[str, str]:
    """What every event of a candidate carries; on the wire, no theme is an empty name."""
    return {
        "candidate_id": said.candidate_id,
        "theme_id": said.theme_id or "",
        "title": said.title,
        "product": said.product,
    }


def _decided(
    candidate: Candidate,
    command: AcceptCandidate | DeclineCandidate | SnoozeCandidate | MergeCandidate,
) -> CandidateEvent:
    about = _about(candidate)
    match command:
        case AcceptCandidate(item_id=item_id, by=by, at=at):
            return CandidateAccepted(**about, at=at, item_id=item_id, by=by)
        case DeclineCandidate(by=by, reason=reason, at=at):
            return CandidateDeclined(**about, at=at, by=by, reason=reason)
        case SnoozeCandidate(by=by, at=at, until=until, until_total=until_total):
            _check_snooze(candidate, command)
            return CandidateSnoozed(**about, at=at, by=by, until=until, until_total=until_total)
        case MergeCandidate(into=into, by=by, at=at):
            _check_merge(candidate, into)
            return CandidateMerged(**about, at=at, into_candidate_id=into.candidate_id, by=by)


def _check_snooze(candidate: Candidate, command: SnoozeCandidate) -> None:
    if command.until is None and command.until_total is None:
        raise SnoozeNeverEnds("Send `until`, a time, or `until_total`, a number of evidence rows.")
    if command.until is None and candidate.theme_id is None:
        raise SnoozeNeverEnds(
            "This candidate has no theme whose evidence could grow; send `until`."
        )
    if command.until is not None and command.until <= command.at:
        raise SnoozeEndsAtOnce(f"Send an `until` after {rfc3339(command.at)}.")
    if command.until_total is not None and command.until_total <= command.total:
        raise SnoozeEndsAtOnce(
            f"The theme's evidence has {command.total} rows already; send a larger `until_total`."
        )


def _check_merge(candidate: Candidate, into: Candidate) -> None:
    if into.candidate_id == candidate.candidate_id:
        raise MergedIntoItself("Send the id of another candidate as `into`.")
    if not into.waiting:
        raise MergeTargetDecided(
            f"Candidate {into.candidate_id} is {into.state}; merge into one that is open, or "
            "accept this one into the item."
        )


def evolve(candidate: Candidate | None, event: CandidateEvent) -> Candidate:
    """The candidate after `event`. Folding a candidate's log gives its state."""
    if candidate is None:
        if not isinstance(event, CandidateRaised | CandidateReturned):
            raise TypeError(f"a candidate's log can't begin with {event.TYPE}")
        returned = isinstance(event, CandidateReturned)
        return Candidate(
            candidate_id=event.candidate_id,
            theme_id=event.theme_id or None,
            title=event.title,
            product=event.product,
            state="open",
            score=event.score,
            raised_at=event.at,
            previous_id=event.previous_id if returned else None,
        )
    following = replace(candidate, version=candidate.version + 1)
    match event:
        case CandidateRescored(score=score, theme_id=theme_id):
            return replace(
                following,
                score=score,
                theme_id=theme_id or None,
                title=event.title,
                product=event.product,
                raised_at=event.raised_at or candidate.raised_at,
            )
        case CandidateWithdrawn():
            return replace(following, state="withdrawn")
        case CandidateReturned():
            return replace(following, state="open", until=None, until_total=None)
        case CandidateAccepted(item_id=item_id):
            return replace(_closed(following, event), state="accepted", item_id=item_id)
        case CandidateDeclined(reason=reason):
            return replace(_closed(following, event), state="declined", decision=reason)
        case CandidateMerged(into_candidate_id=into):
            return replace(_closed(following, event), state="merged", into_candidate_id=into)
        case CandidateSnoozed(until=until, until_total=total):
            return replace(following, state="snoozed", until=until, until_total=total)
        case _:
            raise TypeError(f"a candidate can't have had {event.TYPE}")


def _closed(
    candidate: Candidate, event: CandidateAccepted | CandidateDeclined | CandidateMerged
) -> Candidate:
    return replace(
        candidate, decided_at=event.at, decided_by=event.by, until=None, until_total=None
    )


def is_news(was: float, now: float, rank_was: int | None, rank_now: int | None) -> bool:
    """Whether a new score is worth telling."""
    return not isclose(now, was, rel_tol=ROUNDING, abs_tol=ROUNDING) or rank_was != rank_now
