"""Folding on from an earlier look, and adding up by columns, say what is said from the beginning."""

import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.feedback.detection import recurrence
from services.feedback.detection.folds import Folds
from services.feedback.detection.recurrence import (
    Fold,
    Occurrence,
    RecurrencePolicy,
    Rise,
    assess,
    assess_fold,
    fold_of,
)
from services.feedback.evidence.figures import Seen, seen, summary_of
from services.feedback.evidence.measures import TIER_WEIGHTS, Evidence, impact, summarize
from tests.feedback.conftest import START, day

PROPERTIES = settings(max_examples=150, deadline=None)

hours = st.integers(0, 3_000)
moments = hours.map(lambda count: START + timedelta(hours=count))
occurrences = st.builds(
    Occurrence,
    at=moments | st.integers(0, 9).map(lambda days: START + timedelta(days=days)),
    severity=st.sampled_from(["critical", "low"]),
    impact_minutes=st.sampled_from([0.0, 0.1, 10.0, 2_500.7]),
    customers=st.none() | st.integers(0, 5),
)
policies = st.builds(
    RecurrencePolicy,
    on=st.integers(3, 5),
    distinct_days=st.integers(1, 2),
    quiet_days=st.integers(1, 20),
    cooldown_days=st.integers(0, 20),
    min_customers=st.integers(0, 3),
)


class Looks:
    """A ledger that is looked at again and again, as it grows, shrinks and is corrected."""

    def __init__(self, policy: RecurrencePolicy, seed: int) -> None:
        self.rng = random.Random(seed)
        self.policy = policy
        self.ledger: list[Occurrence] = []
        self.as_of = START
        self.dismissed_at: datetime | None = None
        self.since: datetime | None = None
        self.held: Rise | None = None
        self.known: Fold | None = None

    def change(self, told: list[Occurrence]) -> None:
        """Some are heard of, late or not; some are taken away (silenced, moved) or said anew."""
        self.ledger += told
        for _ in range(self.rng.randrange(3)):
            if self.ledger and self.rng.random() < 0.5:
                self.ledger.pop(self.rng.randrange(len(self.ledger)))
            elif self.ledger:
                place = self.rng.randrange(len(self.ledger))
                one = self.ledger[place]
                moved = one.at + timedelta(hours=self.rng.choice((0, 0, -50, 50)))
                self.ledger[place] = replace(one, at=moved, impact_minutes=77.7)
        self.ledger.sort(key=lambda one: one.at)
        if self.rng.random() < 0.2:
            self.rng.shuffle(self.ledger)
        self.as_of = START + timedelta(hours=self.rng.randrange(3_200))
        if self.rng.random() < 0.3:
            self.dismissed_at = START + timedelta(hours=self.rng.randrange(3_200))
        if self.rng.random() < 0.1:
            self.since = START + timedelta(hours=self.rng.randrange(2_000))
            self.held = Rise(self.since, None, ()) if self.rng.random() < 0.5 else None
        if self.rng.random() < 0.1:
            self.policy = replace(self.policy, window_days=self.rng.choice((14, 28)))

    def look(self) -> None:
        """What is folded on is what is folded from the beginning, now and in time to come."""
        before = [one for one in self.ledger if self.since and one.at <= self.since]
        held = self.held if len(before) >= self.policy.off else None  # nothing would hold it
        since = {"since": self.since, "held": held}
        asked = (self.policy, self.as_of, self.dismissed_at)
        given = list(self.ledger)
        self.known = fold_of(given, *asked, **since, known=self.known)
        assert self.known == fold_of(given, *asked, **since)
        assert assess_fold(self.known, self.as_of) == assess(given, *asked, **since)


@given(policies, st.integers(0, 2**32), st.lists(st.lists(occurrences, max_size=12), max_size=8))
@PROPERTIES
def test_folding_on_from_any_earlier_look_is_folding_from_the_beginning(
    policy: RecurrencePolicy, seed: int, batches: list[list[Occurrence]]
) -> None:
    looks = Looks(policy, seed)
    for told in batches:
        looks.change(told)
        looks.look()


@given(policies, st.lists(occurrences, max_size=40), st.lists(occurrences, max_size=40))
@PROPERTIES
def test_the_fold_of_another_ledger_changes_no_answer(
    policy: RecurrencePolicy, one: list[Occurrence], other: list[Occurrence]
) -> None:
    foreign = fold_of(other, policy, day(200))
    assert fold_of(one, policy, day(200), known=foreign) == fold_of(one, policy, day(200))


def test_what_comes_last_is_all_that_is_folded(monkeypatch: Any) -> None:
    past = [Occurrence(day(n / 10), "low") for n in range(500)]
    known = fold_of(past, RecurrencePolicy(), day(60))
    folded: list[datetime] = []
    stepped = recurrence._occurred

    def counting(standing: Any, at: datetime, history: Any) -> Any:
        folded.append(at)
        return stepped(standing, at, history)

    monkeypatch.setattr(recurrence, "_occurred", counting)
    fold_of([*past, Occurrence(day(55), "low")], RecurrencePolicy(), day(60), known=known)
    assert folded == [day(55)]
    folded.clear()
    late = [*past[:400], Occurrence(day(39.95), "low"), *past[400:]]
    fold_of(late, RecurrencePolicy(), day(60), known=known)
    assert folded[0] == day(39.95)
    assert len(folded) == 101


def test_folds_that_were_not_used_for_longest_are_let_go() -> None:
    folds = Folds(most=10)
    small = fold_of([Occurrence(day(n), "low") for n in range(4)], RecurrencePolicy(), day(9))
    for theme_id in ("one", "two", "one", "three"):
        folds.keep(theme_id, small)
    assert [folds.get(theme_id) is small for theme_id in ("one", "two", "three")] == [
        True,
        False,
        True,
    ]
    folds.keep("one", None)
    assert folds.get("one") is None


@st.composite
def ledgers(draw: st.DrawFn) -> list[tuple[Seen, dict[str, Any]]]:
    """Rows in the order of time, each as the ledger sees it and as it is stored."""
    found: list[tuple[Seen, dict[str, Any]]] = []
    for at in sorted(draw(st.lists(moments, max_size=30))):
        odd = timedelta(microseconds=draw(st.integers(0, 10**9)))
        stored: dict[str, Any] = {
            "kind": draw(st.sampled_from(["incident", "incident", "feedback", "toil"])),
            "source_id": f"src_{len(found)}",
            "at": at,
            "ended_at": draw(st.none() | st.just(at) | st.just(at + odd * draw(hours))),
            "severity": draw(st.none() | st.sampled_from(["critical", "high", "low"])),
            "customers": draw(st.none() | st.integers(0, 10**7)),
            "tier": draw(st.none() | st.integers(0, 5)),
            "responder_hours": draw(st.none() | st.floats(0, 1e4)),
            "linked": draw(st.booleans()),
            "votes": draw(st.integers(0, 9)),
        }
        said = {"title": "", "product": "", "service": "", "alert_name": None}
        row = seen(**stored, voice="customer", customer=None, **said)
        found.append((row, stored))
    return found


def weighed(stored: dict[str, Any], as_of: datetime) -> Evidence:
    """The row as the whole sum takes it."""
    weight = TIER_WEIGHTS.get(stored["tier"] or 3, 1.0)
    cost = impact(stored["at"], stored["ended_at"], as_of, stored["customers"], weight).minutes
    kept = {k: v for k, v in stored.items() if k not in {"tier", "responder_hours"}}
    return Evidence(
        **kept,
        impact_minutes=cost if stored["kind"] == "incident" else 0.0,
        responder_hours=stored["responder_hours"] or 0.0,
    )


@given(ledgers(), moments)
@PROPERTIES
def test_columns_add_up_to_the_last_bit_as_rows_do(
    ledger: list[tuple[Seen, dict[str, Any]]], as_of: datetime
) -> None:
    by_rows = summarize([weighed(stored, as_of) for _, stored in ledger], as_of)
    by_columns = summary_of([row for row, _ in ledger], as_of)
    assert by_columns == by_rows
    assert [type(value) for value in vars_of(by_columns)] == [
        type(value) for value in vars_of(by_rows)
    ]


def vars_of(summary: Any) -> list[Any]:
    return [getattr(summary, name) for name in summary.__slots__]
