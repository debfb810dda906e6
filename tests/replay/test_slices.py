"""A log is sent in the order in which it happened, in bodies that the API takes."""

import json
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from services.replay.batches import MOST_BYTES, MOST_ENTRIES, MOST_ITEMS, batches_of, pieces_of
from services.replay.incidents import Entry, ReplayedIncident, known_by
from services.replay.slices import LONGEST, slices_of

START = datetime(2020, 1, 1, tzinfo=UTC)


def incident(number: int, opened: float, steps: list[float]) -> ReplayedIncident:
    """Opened so many hours in; something happened after each of these many hours more."""
    opened_at = START + timedelta(hours=opened)
    times = [opened_at := opened_at + timedelta(hours=step) for step in steps]
    return ReplayedIncident(
        source="test",
        external_ref=f"INC{number}",
        title="t",
        opened_at=START + timedelta(hours=opened),
        severity="low",
        history=tuple(Entry("commented", at, text=str(n)) for n, at in enumerate(times)),
    )


HOURS = st.sampled_from([0, 0, 0.5, 3, 30, 400])


@st.composite
def logs(draw: st.DrawFn) -> list[ReplayedIncident]:
    made = draw(st.lists(st.tuples(HOURS, st.lists(HOURS, max_size=6)), min_size=1, max_size=8))
    return [incident(number, opened, steps) for number, (opened, steps) in enumerate(made)]


@settings(max_examples=100)
@given(logs())
def test_every_entry_is_sent_once_and_in_order(log: list[ReplayedIncident]):
    sent: dict[str, list[Entry]] = {}
    opened: list[str] = []
    for items in slices_of(log):
        for item in items:
            reference = item.incident.external_ref
            opened += [reference] if item.opens else []
            assert reference in opened
            sent.setdefault(reference, []).extend(item.incident.history)
    assert sorted(opened) == sorted(one.external_ref for one in log)
    assert sent == {one.external_ref: list(one.history) for one in log}


@settings(max_examples=100)
@given(logs())
def test_slices_are_apart_in_time_and_none_is_long(log: list[ReplayedIncident]):
    end = START - timedelta(hours=1)
    for items in slices_of(log):
        times = [entry.at for item in items for entry in item.incident.history]
        times += [item.incident.opened_at for item in items if item.opens]
        assert min(times) > end
        assert max(times) - min(times) <= LONGEST
        end = max(times)


def test_a_busy_log_is_cut_by_the_day():
    log = [incident(number, number / 10, [1.0]) for number in range(480)]
    days = [{item.incident.opened_at.date() for item in items} for items in slices_of(log)]
    assert len(days) == 3
    assert all(len(some) <= 2 for some in days)


def test_what_is_closed_in_winter_is_not_sent_with_the_spring():
    log = [incident(1, 0, [5000.0]), incident(2, 24, [1.0])]
    last = list(slices_of(log))[-1]
    assert [(item.incident.external_ref, item.opens) for item in last] == [("INC1", False)]


def test_bodies_are_bounded_and_bring_everything():
    log = [incident(number, 0, [0.0] * (number % 3)) for number in range(3 * MOST_ITEMS)]
    long = [incident(10_000, 1, [0.1] * 1800)]
    batches = list(batches_of(slices_of([*log, *long])))
    bodies = [json.loads(batch.body)["incidents"] for batch in batches]
    assert [batch.number for batch in batches] == list(range(len(batches)))
    assert max(len(body) for body in bodies) <= MOST_ITEMS
    assert max(len(batch.body) for batch in batches) <= MOST_BYTES + 100
    assert max(len(item.get("history", ())) for body in bodies for item in body) <= MOST_ENTRIES
    assert sum(batch.opens for batch in batches) == len(log) + 1
    entries = sum(len(item.get("history", ())) for body in bodies for item in body)
    assert entries == sum(len(one.history) for one in [*log, *long])


def test_a_long_history_is_cut_between_two_moments():
    steps = [1.0, *[0.0] * 9] * 60
    pieces = list(pieces_of(incident(1, 0, steps)))
    assert [len(piece.history) for piece in pieces] == [500, 100]
    steps = [1.0] * 495 + [0.0] * 20
    assert [len(piece.history) for piece in pieces_of(incident(1, 0, steps))] == [494, 21]


def test_what_was_known_by_a_moment_leaves_out_the_rest():
    log = [incident(1, 0, [1.0, 10.0]), incident(2, 5, [])]
    (only,) = known_by(log, START + timedelta(hours=2))
    assert (only.external_ref, len(only.history)) == ("INC1", 1)
