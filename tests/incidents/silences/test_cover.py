"""How long silences cover an alert: those of its labels, one after the other, and no others."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.incidents.silences.cover import NONE, Cover, compiled_silences
from services.incidents.silences.domain import Silence
from services.incidents.silences.matching import OPERATORS, Matcher, compiled

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
LABELS = {"alertname": "DiskFull"}


def silence(id_: str = "sil_1", **stated: Any) -> Silence:
    known: dict[str, Any] = {
        "comment": "",
        "matchers": (Matcher("alertname", "=", "DiskFull"),),
        "starts_at": NOON,
        "ends_at": NOON + timedelta(hours=1),
        "recurrence": None,
        "created_by": "tester",
        "created_at": NOON,
    }
    return Silence(id=id_, **(known | stated))


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


spans = st.tuples(st.integers(-60, 120), st.integers(1, 60))


@settings(max_examples=150, deadline=None)
@given(st.lists(spans, max_size=6), st.integers(-10, 60), st.integers(0, 120))
def test_silences_that_meet_or_overlap_cover_without_a_pause(
    stated: list[tuple[int, int]], at: int, more: int
) -> None:
    some = [
        silence(f"sil_{n}", starts_at=NOON + minutes(a), ends_at=NOON + minutes(a + b))
        for n, (a, b) in enumerate(stated)
    ]
    held = {m for a, b in stated for m in range(a, a + b)}
    found = compiled_silences(some).cover(LABELS, NOON + minutes(at), NOON + minutes(at + more))
    assert (found is not None) is (at in held)
    if found is not None:
        until = int((found.until - NOON) / minutes(1))
        assert all(m in held for m in range(at, until))
        assert until not in held or until > at + more
        assert (
            compiled_silences(some[::-1]).cover(
                LABELS, NOON + minutes(at), NOON + minutes(at + more)
            )
            == found
        )


def test_only_silences_of_such_labels_cover() -> None:
    some = compiled_silences([silence()])
    assert some.cover(LABELS, NOON, NOON) == Cover("sil_1", NOON + minutes(60))
    assert some.cover({"alertname": "CPU"}, NOON, NOON) is None
    assert some.cover({}, NOON, NOON) is None


def test_no_silences_cover_nothing() -> None:
    assert not NONE
    assert NONE.cover(LABELS, NOON, NOON) is None


texts = st.sampled_from(["", "a", "b"])
matchers = st.builds(Matcher, st.sampled_from("xyz"), st.sampled_from(OPERATORS), texts)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(matchers, min_size=1, max_size=3).map(tuple), max_size=8),
    st.dictionaries(st.sampled_from("xyz"), texts),
)
def test_a_signal_meets_every_silence_that_its_labels_meet(
    stated: list[tuple[Matcher, ...]], labels: dict[str, str]
) -> None:
    """Each is asked for alone, by its own time: keeping them by label hides none."""
    some = [
        silence(
            f"sil_{n}",
            matchers=asked,
            starts_at=NOON + timedelta(hours=2 * n),
            ends_at=NOON + timedelta(hours=2 * n + 1),
        )
        for n, asked in enumerate(stated)
    ]
    together = compiled_silences(some)
    for n, asked in enumerate(stated):
        at = NOON + timedelta(hours=2 * n)
        covered = together.cover(labels, at, at)
        wanted = Cover(f"sil_{n}", at + timedelta(hours=1)) if compiled(asked)(labels) else None
        assert covered == wanted
