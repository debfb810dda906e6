"""A log is sent in the order in which it happened, in bodies that the API takes."""

import json
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from services.replay.batches import MOST_BYTES, MOST_ENTRIES, MOST_ITEMS, batches_of, pieces_of
from services.replay.incidents import Entry, ReplayedIncident, known_by

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
def test_every_incident_is_sent_once_and_whole_in_the_order_of_openings(
    log: list[ReplayedIncident],
) -> None:
    sent = [item for batch in batches_of(log) for item in json.loads(batch.body)["incidents"]]
    opened = [item["opened_at"] for item in sent]
    assert opened == sorted(opened)
    told = {item["external_ref"]: len(item.get("history", ())) for item in sent}
    assert told == {one.external_ref: len(one.history) for one in log}
    assert len(sent) == len(log)


def test_bodies_are_bounded_and_bring_everything():
    log = [incident(number, 0, [0.0] * (number % 3)) for number in range(3 * MOST_ITEMS)]
    long = [incident(10_000, 1, [0.1] * 1800)]
    batches = list(batches_of([*log, *long]))
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
