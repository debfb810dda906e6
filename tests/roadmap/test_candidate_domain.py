"""The rules of a candidate: given a state, when a command comes, then these events or a refusal."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.roadmap.candidates.domain import (
    AcceptCandidate,
    Candidate,
    CandidateState,
    Command,
    DeclineCandidate,
    Facts,
    MergeCandidate,
    RaiseCandidate,
    RescoreCandidate,
    SnoozeCandidate,
    WakeCandidate,
    WithdrawCandidate,
    decide,
    evolve,
    is_news,
)
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
from shared.refusals import Refusal
from tests.roadmap.saying import NOW, ago, reason

RAISED = ago(days=3)
LATER = ago(days=1)

OPEN = Candidate(
    candidate_id="cnd_1",
    theme_id="thm_a",
    title="Timeouts",
    product="Checkout",
    state="open",
    score=3.0,
    raised_at=RAISED,
)
OTHER = replace(OPEN, candidate_id="cnd_2", theme_id="thm_b")

RAISE = RaiseCandidate("cnd_1", "thm_a", "Timeouts", "Checkout", RAISED, 3.0, (reason(),))
COMMANDS: dict[str, Command] = {
    "raise": RAISE,
    "rescore": RescoreCandidate(LATER, 4.0, "more of it"),
    "accept": AcceptCandidate("itm_1", "ada", LATER),
    "decline": DeclineCandidate("ada", "not worth it", LATER),
    "snooze": SnoozeCandidate("ada", LATER, total=6, until=NOW),
    "wake": WakeCandidate(LATER, "it is time", (reason(),)),
    "merge": MergeCandidate(OTHER, "ada", LATER),
    "withdraw": WithdrawCandidate(LATER, "it never rose"),
}
REFUSES: dict[CandidateState, type[Refusal]] = {
    "accepted": CandidateAlreadyAccepted,
    "declined": CandidateAlreadyDeclined,
    "merged": CandidateAlreadyMerged,
    "withdrawn": CandidateAlreadyWithdrawn,
}
AFTERWARDS: dict[str, CandidateState] = {
    "accept": "accepted",
    "decline": "declined",
    "snooze": "snoozed",
    "merge": "merged",
}


def after(candidate: Candidate | None, command: Command) -> Candidate | None:
    for event in decide(candidate, command):
        candidate = evolve(candidate, event)
    return candidate


@pytest.mark.parametrize("state", ["open", "snoozed"])
@pytest.mark.parametrize("verb", ["rescore", "accept", "decline", "snooze", "merge"])
def test_a_waiting_candidate_takes_every_decision(state: CandidateState, verb: str) -> None:
    candidate = after(replace(OPEN, state=state), COMMANDS[verb])
    assert candidate is not None
    assert candidate.state == AFTERWARDS.get(verb, state)
    assert candidate.version == OPEN.version + 1


@pytest.mark.parametrize("state", REFUSES)
@pytest.mark.parametrize("verb", ["rescore", "accept", "decline", "snooze", "merge"])
def test_a_decided_candidate_refuses_and_says_what_was_decided(
    state: CandidateState, verb: str
) -> None:
    decided = replace(OPEN, state=state, item_id="itm_7", into_candidate_id="cnd_8")
    with pytest.raises(REFUSES[state], match=r"itm_7|declined|cnd_8|withdrawn"):
        decide(decided, COMMANDS[verb])


def test_only_an_open_candidate_is_withdrawn() -> None:
    gone = after(OPEN, COMMANDS["withdraw"])
    assert gone is not None
    assert (gone.state, gone.decided_at) == ("withdrawn", None)
    for state in ("snoozed", "accepted", "declined", "merged", "withdrawn"):
        assert decide(replace(OPEN, state=state), COMMANDS["withdraw"]) == []


def test_late_evidence_corrects_what_a_candidate_says_of_its_theme() -> None:
    facts = Facts("Timeouts of cards", "Cards", RAISED - timedelta(days=2))
    corrected = after(OPEN, RescoreCandidate(LATER, 4.0, "more of it", facts=facts))
    assert corrected is not None
    said = (corrected.title, corrected.product, corrected.raised_at)
    assert said == ("Timeouts of cards", "Cards", RAISED - timedelta(days=2))


def test_a_candidate_is_raised_once() -> None:
    assert after(None, RAISE) == OPEN
    with pytest.raises(CandidateAlreadyRaised):
        decide(OPEN, RAISE)


def test_a_theme_with_a_past_returns_as_a_new_candidate_that_names_it() -> None:
    candidate = after(None, replace(RAISE, previous_id="cnd_0", why="it is back"))
    assert candidate == replace(OPEN, previous_id="cnd_0")


def test_only_a_snoozed_candidate_wakes() -> None:
    woken = after(replace(OPEN, state="snoozed", until=NOW, until_total=9), COMMANDS["wake"])
    assert woken is not None
    assert (woken.state, woken.until, woken.until_total) == ("open", None, None)
    for state in ("open", "accepted", "declined", "merged"):
        assert decide(replace(OPEN, state=state), COMMANDS["wake"]) == []


@pytest.mark.parametrize("verb", ["accept", "decline", "merge"])
def test_nobody_decides_before_the_candidate_was_raised(verb: str) -> None:
    early = replace(COMMANDS[verb], at=RAISED - timedelta(minutes=6))  # pyright: ignore[reportCallIssue]
    with pytest.raises(DecidedBeforeItWasRaised):
        decide(OPEN, early)
    within_what_clocks_may_differ = replace(COMMANDS[verb], at=RAISED - timedelta(minutes=4))  # pyright: ignore[reportCallIssue]
    assert len(decide(OPEN, within_what_clocks_may_differ)) == 1


@pytest.mark.parametrize(
    ("snooze", "refusal"),
    [
        (SnoozeCandidate("ada", LATER, total=6), SnoozeNeverEnds),
        (SnoozeCandidate("ada", LATER, total=6, until=LATER), SnoozeEndsAtOnce),
        (SnoozeCandidate("ada", LATER, total=6, until_total=6), SnoozeEndsAtOnce),
    ],
)
def test_a_snooze_must_begin_and_end(snooze: SnoozeCandidate, refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        decide(OPEN, snooze)


def test_a_candidate_without_a_theme_can_only_be_snoozed_until_a_time() -> None:
    with pytest.raises(SnoozeNeverEnds):
        decide(replace(OPEN, theme_id=None), SnoozeCandidate("ada", LATER, 0, until_total=5))


def test_a_candidate_is_merged_only_into_another_that_waits() -> None:
    with pytest.raises(MergedIntoItself):
        decide(OPEN, MergeCandidate(OPEN, "ada", LATER))
    with pytest.raises(MergeTargetDecided):
        decide(OPEN, MergeCandidate(replace(OTHER, state="declined"), "ada", LATER))


@pytest.mark.parametrize(
    ("now", "rank", "news"),
    [(3.0 + 1e-10, 1, False), (3.0001, 1, True), (2.9999, 1, True), (3.0, 2, True)],
)
def test_a_score_is_news_when_it_or_the_rank_moves(now: float, rank: int, news: bool) -> None:
    assert is_news(3.0, now, 1, rank) is news
