"""Whether an incident is silenced follows from its episodes, in whatever order they are told."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.incidents.incidents import commands
from services.incidents.incidents.episodes import Episode, silence_of
from services.incidents.incidents.incident import begin
from services.incidents.signals.book import Book
from services.incidents.signals.recording import First, land
from services.incidents.signals.signal import Signal
from services.incidents.signals.silencing import by_silences, judged
from services.incidents.signals.store import Alert, Repeated
from services.incidents.silences.cover import Silences, compiled_silences
from services.incidents.silences.domain import Silence
from services.incidents.silences.matching import Matcher
from shared.context import Context

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
WINDOW = timedelta(minutes=10)
ALERT = Alert("prometheus", "f1")
LABELS = {"alertname": "DiskFull"}

Span = tuple[int, int | None]
Told = tuple[str, int, int | None, bool]
"""Status, start, end, and whether it names its labels."""
Outcome = dict[int, bool]
"""When each incident began, and whether it is silenced."""


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def silences(*spans: tuple[int, int]) -> Silences:
    return compiled_silences(
        Silence(
            id=f"sil_{n}",
            comment="",
            matchers=(Matcher("alertname", "=", "DiskFull"),),
            starts_at=at(start),
            ends_at=at(end),
            recurrence=None,
            created_by="tester",
            created_at=NOON,
        )
        for n, (start, end) in enumerate(spans)
    )


def signal(told: Told) -> Signal:
    status, start, end, named = told
    return Signal(
        source=ALERT.source,
        fingerprint=ALERT.fingerprint,
        status="firing" if status == "firing" else "resolved",
        starts_at=at(start),
        ends_at=None if end is None else at(end),
        expires_at=None,
        title="Disk full",
        alert_name=None,
        description="",
        service="payments",
        severity="high",
        customers_affected=None,
        labels=LABELS if named else {},
        annotations={},
        url=None,
    )


def tell(told: Iterable[Told], known: Silences, clock: datetime, reviewing: bool = True) -> Book:
    """Land signals one by one as the recording does, with the timer's look after each; `clock` stands
    still, after all of it."""
    book = Book(WINDOW, {}, by_silences(known))
    ctx = Context("incidents", "tester", clock, "req_1")
    seen: set[tuple[str, int]] = set()
    for number, one in enumerate(told):
        if (one[0], one[1]) not in seen:
            seen.add((one[0], one[1]))
            land(book, First(f"sig_{number}", signal(one), ctx, Repeated(0, clock)))
        if reviewing:
            look(book, known, ctx)
    look(book, known, ctx)
    return book


def look(book: Book, known: Silences, ctx: Context) -> None:
    for held in list(book.touched.values()):
        silenced = held.episode.silenced
        if silenced is not None and silenced.review_at and silenced.review_at <= ctx.now:
            now = judged(known, LABELS, held.episode, ctx.now)
            book.resilence(ALERT, replace(held.episode, silenced=now), ctx)


def outcome(book: Book) -> Outcome:
    return {
        int((change.incident.opened_at - NOON) / timedelta(minutes=1)): change.incident.silenced_by
        is not None
        for change in book.changes.values()
    }


def signals_of(span: Span) -> list[Told]:
    start, end = span
    firing: Told = ("firing", start, None, True)
    return [firing, *([("resolved", start, end, True)] if end is not None else [])]


LATE = at(1_000)


@pytest.mark.parametrize(
    ("spans", "silent", "expected"),
    [
        pytest.param([(0, 5)], [(0, 60)], {0: True}, id="wholly within"),
        pytest.param([(0, 60)], [(0, 60)], {0: True}, id="to the very end"),
        pytest.param([(0, 61)], [(0, 60)], {0: False}, id="it outlasts the silence"),
        pytest.param([(0, 5)], [(1, 60)], {0: False}, id="it began before"),
        pytest.param([(0, None)], [(0, 60)], {0: False}, id="it fires when the silence is over"),
        pytest.param([(0, None)], [(0, 2_000)], {0: True}, id="it fires, and the silence holds"),
        pytest.param([(0, 5), (12, 14)], [(0, 8)], {0: False}, id="another joins it, aloud"),
        pytest.param([(0, 5), (12, 14)], [(11, 20)], {0: False}, id="it joins another"),
        pytest.param([(0, 5), (12, 14)], [(0, 8), (11, 20)], {0: True}, id="each in its own"),
        pytest.param([(0, 5), (60, 70)], [(0, 8)], {0: True, 60: False}, id="two incidents"),
        pytest.param([(0, 9)], [(0, 5), (5, 9)], {0: True}, id="silences that meet"),
        pytest.param([(0, 9)], [(0, 4), (5, 9)], {0: False}, id="a pause between silences"),
        pytest.param([(0, 20), (12, 30)], [(0, 25)], {0: False}, id="overlapping, one outlasts"),
    ],
)
def test_an_incident_is_silenced_when_all_that_fired_was(
    spans: list[Span], silent: list[tuple[int, int]], expected: Outcome
) -> None:
    told = [one for span in spans for one in signals_of(span)]
    for order in permutations(told):
        for reviewing in (True, False):
            assert outcome(tell(order, silences(*silent), LATE, reviewing)) == expected, order


@st.composite
def apart(draw: st.DrawFn) -> list[Span]:
    """Episodes in pairs at most: no third can ever fill the pause between two incidents."""
    spans: list[Span] = []
    clock = 0
    for _ in range(draw(st.integers(1, 4))):
        clock += draw(st.integers(11, 60))
        for _ in range(draw(st.integers(1, 2))):
            end = clock + draw(st.integers(1, 40))
            spans.append((clock, end))
            clock = draw(st.integers(clock + 1, end + 10))
        clock = max(clock, *(end or 0 for _, end in spans))
    if draw(st.booleans()):
        spans[-1] = (spans[-1][0], None)
    return spans


silent_spans = st.lists(
    st.tuples(st.integers(0, 200), st.integers(1, 120)).map(lambda one: (one[0], sum(one))),
    max_size=4,
)


def expected(spans: Sequence[Span], silent: Sequence[tuple[int, int]]) -> Outcome:
    """The definition: each minute that any episode of the incident fires lies in a silence."""
    quiet = {minute for a, b in silent for minute in range(a, b)}
    found: Outcome = {}
    reach: int | None = -100
    first = 0
    for start, end in sorted(spans, key=lambda span: span[0]):
        fires = range(start, 1_000 if end is None else end)
        alone = all(minute in quiet for minute in fires)
        if reach is None or start - reach <= 10:
            found[first] = found[first] and alone
            reach = None if reach is None or end is None else max(reach, end)
        else:
            first, reach = start, end
            found[first] = alone
    return found


@settings(max_examples=150, deadline=None)
@given(st.data(), apart(), silent_spans)
def test_no_order_of_arrival_and_no_look_in_between_changes_what_is_silenced(
    data: st.DataObject, spans: list[Span], silent: list[tuple[int, int]]
) -> None:
    told = [one for span in spans for one in signals_of(span)]
    again = data.draw(st.lists(st.sampled_from(told), max_size=3))
    order = data.draw(st.permutations([*told, *again]))
    book = tell(order, silences(*silent), LATE, data.draw(st.booleans()))
    assert outcome(book) == expected(spans, silent)
    for change in book.changes.values():
        opening, *rest = change.entries
        assert commands.folded(begin(opening), rest) == change.incident


def test_a_start_speaks_for_its_end_in_either_order() -> None:
    """The ends of many senders name nothing but their alert."""
    told: list[Told] = [("firing", 0, None, True), ("resolved", 0, 5, False)]
    for order in permutations(told):
        assert outcome(tell(order, silences((0, 60)), LATE)) == {0: True}


def test_an_end_without_a_start_or_labels_makes_nothing_heard() -> None:
    told: list[Told] = [("firing", 0, None, True), ("resolved", 7, 7, False)]
    for order in permutations(told):
        assert outcome(tell(order, silences((0, 60)), LATE)) == {0: True}, order


def test_what_was_heard_too_early_is_silenced_when_its_end_is_told() -> None:
    """The silence is over, the alert seems to fire still; then its end is told, and lay within."""
    book = tell([("firing", 0, None, True), ("resolved", 0, 50, True)], silences((0, 60)), LATE)
    (change,) = book.changes.values()
    kinds = [entry.event.TYPE.split(".")[-2] for entry in change.entries]
    assert kinds == ["opened", "resolved", "silenced"]
    assert change.entries[-1].event.at == at(0)
    assert change.incident.silenced_by == "sil_0"


def test_without_silences_every_episode_is_heard_from_its_start() -> None:
    episodes = [Episode(at(5)), Episode(at(0), at(2), told=True)]
    assert silence_of(episodes) == at(0)
