"""Recorded bodies with one thing in them replaced, and what every signal must be all the same."""

import json
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from services.incidents.signals import signal as rules
from services.incidents.signals.signal import Acknowledgement, Said

BODIES = Path(__file__).parent / "bodies"
NOW = datetime(2026, 11, 21, 14, 3, 30, tzinfo=UTC)

words = st.text(max_size=8) | st.sampled_from(
    ["\0", "x" * 5_000, "é" * 600, "0001-01-01T00:00:00Z"]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | words
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


def recorded(name: str) -> bytes:
    return (BODIES / f"{name}.json").read_bytes()


def document(name: str) -> Any:
    return json.loads(recorded(name))


@st.composite
def spoiled(draw: st.DrawFn, *names: str) -> bytes:
    """One of these recorded bodies with a value somewhere in it replaced; or any JSON at all."""
    body = deepcopy(document(draw(st.sampled_from(names))))
    path = draw(st.sampled_from([(), *paths(body)]))
    value = draw(values)
    if not path:
        return json.dumps(value).encode()
    inner = body
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return json.dumps(body).encode()


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for step, inner in pairs:
        yield (*path, step)
        if isinstance(inner, dict | list):
            yield from paths(inner, (*path, step))


def check(said: Said) -> None:
    """What the store and the rules behind it rely on, whatever was sent."""
    assert 0 < len(said.fingerprint) <= rules.MAX_NAME
    if isinstance(said, Acknowledgement):
        assert 0 < len(said.by) <= rules.MAX_NAME
        assert said.at <= NOW + timedelta(minutes=5)
        return
    assert (said.ends_at is not None) == (said.status == "resolved")
    assert said.starts_at <= NOW + timedelta(minutes=5)
    assert said.ends_at is None or said.ends_at >= said.starts_at
    assert 0 < len(said.title) <= rules.MAX_TITLE
    assert "\n" not in said.title
    assert len(said.service or "") <= rules.MAX_NAME
    for entries in (said.labels, said.annotations):
        assert len(entries) <= rules.MAX_LABELS
        assert all(0 < len(name) <= rules.MAX_NAME for name in entries)
        assert all(len(value.encode()) <= rules.MAX_VALUE for value in entries.values())
        assert "\0" not in "".join((*entries, *entries.values()))
    assert "\0" not in said.title + said.fingerprint + said.description + (said.service or "")
