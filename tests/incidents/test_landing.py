"""Where signals land: the same incidents, in whatever order and however often they arrive."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from services.incidents.incidents import commands, domain
from services.incidents.incidents.episodes import Episode
from services.incidents.signals.book import Book
from services.incidents.signals.signal import Signal
from services.incidents.signals.store import Alert
from shared.context import Context

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
WINDOW = timedelta(minutes=10)
ALERT = Alert("prometheus", "f1")
CTX = Context("incidents", "tester", NOON, "req_1")

Span = tuple[int, int | None]
"""Minutes after noon at which an episode starts and ends; None while it fires."""

Told = tuple[str, int, int | None]
"""What arrives: status, start, end."""

Outcome = set[tuple[int, int | None, tuple[Span, ...]]]


def minutes(moment: datetime | None) -> int | None:
    return None if moment is None else int((moment - NOON).total_seconds() // 60)


def at(minute: int) -> datetime:
    return NOON + timedelta(minutes=minute)


def signal(told: Told) -> Signal:
    status, start, end = told
    return Signal(
        source=ALERT.source,
        fingerprint=ALERT.fingerprint,
        status="firing" if status == "firing" else "resolved",
        starts_at=at(start),
        ends_at=None if end is None else at(end),
        expires_at=None,
        title="Disk full",
        alert_name="DiskFull",
        description="",
        service="payments",
        severity="high",
        customers_affected=None,
        labels={"alertname": "DiskFull"},
        annotations={},
        url=None,
    )


def tell(book: Book, told: Iterable[Told]) -> Book:
    """Let signals land one by one, repeats dropped as the recording drops them."""
    seen: set[tuple[str, int]] = set()
    for one in told:
        status, start, end = one
        if (status, start) in seen:
            continue
        seen.add((status, start))
        if status == "resolved" and end is not None:
            book.land(ALERT, Episode(at(start), at(end), told=True), signal(one), CTX)
        elif book.episode(ALERT, at(start)) is None:
            book.land(ALERT, Episode(at(start)), signal(one), CTX)
    return book


def outcome(book: Book) -> Outcome:
    held: dict[str, list[Span]] = {}
    for one in book.touched.values():
        span = (minutes(one.episode.starts_at) or 0, minutes(one.episode.ends_at))
        held.setdefault(one.incident_id, []).append(span)
    return {
        (
            minutes(change.incident.opened_at) or 0,
            minutes(change.incident.resolved_at),
            tuple(sorted(held[change.incident.id], key=lambda span: span[0])),
        )
        for change in book.changes.values()
    }


def expected(spans: Iterable[Span]) -> Outcome:
    """The definition: episodes with at most WINDOW between them are one incident."""
    pause = int(WINDOW.total_seconds() // 60)
    groups: list[list[Span]] = []
    reach: int | None = 0
    for span in sorted(spans, key=lambda span: span[0]):
        if groups and (reach is None or span[0] - reach <= pause):
            groups[-1].append(span)
            reach = None if reach is None or span[1] is None else max(reach, span[1])
        else:
            groups.append([span])
            reach = span[1]
    outcomes: Outcome = set()
    for group in groups:
        ends = [end for _, end in group if end is not None]
        over = max(ends) if len(ends) == len(group) else None
        outcomes.add((group[0][0], over, tuple(group)))
    return outcomes


def signals_of(span: Span) -> list[Told]:
    start, end = span
    return [("firing", start, None), *([("resolved", start, end)] if end is not None else [])]


def book() -> Book:
    return Book(WINDOW, {})


@pytest.mark.parametrize(
    ("told", "result"),
    [
        pytest.param([("firing", 0, None), ("resolved", 0, 5)], {(0, 5, ((0, 5),))}, id="it ends"),
        pytest.param([("resolved", 0, 5)], {(0, 5, ((0, 5),))}, id="its end comes first"),
        pytest.param(
            [("resolved", 0, 5), ("firing", 0, None)],
            {(0, 5, ((0, 5),))},
            id="the start comes after the end",
        ),
        pytest.param(
            [("resolved", 0, 5), ("firing", 12, None)],
            {(0, None, ((0, 5), (12, None)))},
            id="within the window it is reopened",
        ),
        pytest.param(
            [("resolved", 0, 5), ("firing", 16, None)],
            {(0, 5, ((0, 5),)), (16, None, ((16, None),))},
            id="past the window it is another",
        ),
        pytest.param(
            [("firing", 0, None), ("firing", 60, None), ("resolved", 60, 70)],
            {(0, None, ((0, None), (60, 70)))},
            id="open as long as one of its episodes fires",
        ),
        pytest.param(
            [("firing", 0, None), ("firing", 60, None), ("resolved", 0, 5)],
            {(0, 5, ((0, 5),)), (60, None, ((60, None),))},
            id="a late end parts what came long after it",
        ),
        pytest.param(
            [("firing", 8, None), ("firing", 0, None), ("resolved", 0, 5)],
            {(0, None, ((0, 5), (8, None)))},
            id="the end of an older episode while a newer fires",
        ),
        pytest.param(
            [("resolved", 60, 70), ("resolved", 0, 5)],
            {(0, 5, ((0, 5),)), (60, 70, ((60, 70),))},
            id="an older episode, late, is its own incident",
        ),
        pytest.param(
            [("resolved", 10, 70), ("resolved", 2, 5)],
            {(2, 70, ((2, 5), (10, 70)))},
            id="an older episode near enough shows an earlier start",
        ),
        pytest.param(
            [("firing", 0, None), ("resolved", 30, 30)],
            {(0, 30, ((0, 30), (30, 30)))},
            id="an end without a start ends what fires",
        ),
        pytest.param(
            [("resolved", 30, 30), ("firing", 0, None)],
            {(0, 30, ((0, 30), (30, 30)))},
            id="an end without a start, ahead of the start",
        ),
    ],
)
def test_signals_land_by_when_they_happened(told: list[Told], result: Outcome) -> None:
    assert outcome(tell(book(), told)) == result


def test_a_filled_pause_joins_the_earlier_incident_and_merges_none() -> None:
    """The documented exception: incidents that were told to others stay two."""
    told: list[Told] = [("resolved", 0, 5), ("resolved", 20, 25), ("resolved", 7, 18)]
    assert outcome(tell(book(), told)) == {
        (0, 18, ((0, 5), (7, 18))),
        (20, 25, ((20, 25),)),
    }


def test_an_end_is_told_once() -> None:
    first = tell(book(), [("resolved", 0, 5)])
    (change,) = first.changes.values()
    entries = len(change.entries)
    first.land(ALERT, Episode(at(0), at(9), told=True), signal(("resolved", 0, 9)), CTX)
    assert outcome(first) == {(0, 5, ((0, 5),))}
    assert len(next(iter(first.changes.values())).entries) == entries


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_two_episodes_in_any_order_are_one_incident_or_two(order: Sequence[int]) -> None:
    for second in (12, 40):
        told = [*signals_of((0, 5)), *signals_of((second, second + 3))]
        shuffled = [told[index] for index in order]
        assert outcome(tell(book(), shuffled)) == expected([(0, 5), (second, second + 3)])


@st.composite
def apart(draw: st.DrawFn) -> list[Span]:
    """Episodes in pairs at most: no third can ever fill the pause between two incidents."""
    spans: list[Span] = []
    clock = 0
    for _ in range(draw(st.integers(1, 4))):
        clock += draw(st.integers(11, 60))
        for _ in range(draw(st.integers(1, 2))):
            end = clock + draw(st.integers(1, 90))
            spans.append((clock, end))
            clock = draw(st.integers(clock + 1, end + 10))
        clock = max(clock, *(end or 0 for _, end in spans))
    if draw(st.booleans()):
        spans[-1] = (spans[-1][0], None)
    return spans


@st.composite
def anyhow(draw: st.DrawFn) -> list[Span]:
    starts = draw(st.lists(st.integers(0, 120), min_size=1, max_size=6, unique=True))
    lengths = st.one_of(st.none(), st.integers(1, 40))
    return [(start, None if (n := draw(lengths)) is None else start + n) for start in starts]


def arrivals(draw: st.DrawFn, spans: Sequence[Span]) -> list[Told]:
    told = [one for span in spans for one in signals_of(span)]
    again = draw(st.lists(st.sampled_from(told), max_size=len(told)))
    return draw(st.permutations([*told, *again]))


@hypothesis_settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_order_and_any_repeats_give_the_same_incidents(data: st.DataObject) -> None:
    spans = data.draw(apart())
    told = arrivals(data.draw, spans)
    assert outcome(tell(book(), told)) == expected(spans)


@hypothesis_settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_the_order_no_incident_spans_a_pause(data: st.DataObject) -> None:
    """With pauses filled late, incidents may stay parted; each lies within one that should be."""
    spans = data.draw(anyhow())
    found = outcome(tell(book(), arrivals(data.draw, spans)))
    assert {span for _, _, held in found for span in held} == set(spans)
    wanted = expected(spans)
    for opened, resolved, held in found:
        assert any(set(held) <= set(whole) for _, _, whole in wanted)
        assert opened == min(start for start, _ in held)
        ends = [end for _, end in held]
        assert resolved == (None if None in ends else max(end for end in ends if end is not None))
    assert sum(resolved is None for _, resolved, _ in found) <= 1


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.data())
def test_in_the_order_of_time_every_incident_is_as_defined(data: st.DataObject) -> None:
    spans = sorted(data.draw(anyhow()), key=lambda span: span[0])
    told = [one for span in spans for one in signals_of(span)]
    told.sort(key=lambda one: one[1] if one[2] is None else one[2])
    assert outcome(tell(book(), told)) == expected(spans)


def test_what_a_person_ended_stays_ended_for_older_signals() -> None:
    ended = tell(book(), [("firing", 0, None)])
    (change,) = ended.changes.values()
    ended.changes[change.incident.id] = commands.after(change, domain.Resolve(at(3)))
    ended.hold(ALERT, Episode(at(0), at(3), told=True), change.incident.id)
    ended.land(ALERT, Episode(at(0), at(9), told=True), signal(("resolved", 0, 9)), CTX)
    assert outcome(ended) == {(0, 3, ((0, 3),))}


def test_a_closed_incident_is_never_reopened_by_a_signal() -> None:
    over = tell(book(), [("resolved", 0, 5)])
    (change,) = over.changes.values()
    over.changes[change.incident.id] = commands.after(change, domain.Close(at(6)))
    tell(over, [("firing", 7, None), ("resolved", 1, 4)])
    assert outcome(over) == {(0, 5, ((0, 5), (1, 4))), (7, None, ((7, None),))}
