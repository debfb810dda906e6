"""Values of any type become texts, labels and times; nothing is refused."""

import json
from datetime import UTC, datetime

import msgspec
import pytest

from services.incidents.signals.adapters import loose

AT = datetime(2026, 11, 21, 14, 3, 30, 500_000, tzinfo=UTC)


@pytest.mark.parametrize(
    "stated",
    [
        "2026-11-21T14:03:30.5Z",
        "2026-11-21t14:03:30.500000z",
        "2026-11-21T14:03:30.500000123Z",
        "2026-11-21T15:03:30.5+0100",
        "2026-11-21 14:03:30.5",
        AT.timestamp(),
        AT.timestamp() * 1_000,
        str(AT.timestamp() * 1_000),
        f" {AT.timestamp()} ",
        AT,
    ],
)
def test_a_time_is_read_however_it_is_written(stated: object) -> None:
    assert loose.instant(stated) == AT


@pytest.mark.parametrize(
    "stated",
    [
        None,
        "",
        "soon",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59-23:59",
        "nan",
        1e300,
        -1e300,
        [],
        {},
    ],
)
def test_what_is_no_time_is_none(stated: object) -> None:
    assert loose.instant(stated) is None


def test_objects_within_objects_are_taken_apart_and_blank_entries_left_out() -> None:
    value = {"a": {"b": {"c": {"d": 1}}, "e": True}, "f": " ", "g": None, "h": [1, "x"]}
    assert loose.flat(value) == {"a.b.c": '{"d":1}', "a.e": "true", "h": '[1,"x"]'}
    assert [loose.flat(other) for other in (None, [], "x", 7)] == [{}] * 4


def test_an_object_nested_as_deeply_as_it_can_be_decoded_is_flattened() -> None:
    read = 0
    for depth in range(700, 1_200, 5):
        try:
            value = msgspec.json.decode(b'{"a":' * depth + b"1" + b"}" * depth)
        except RecursionError:
            continue
        (name,) = loose.flat(value)
        assert name == "a.a.a"
        read += 1
    assert read


def test_no_more_is_kept_than_is_stored() -> None:
    kept = loose.kept(
        {" ": "x", "empty": "", "n" * 999: "é" * 9_999, **{f"{i}": "x" for i in range(99)}}
    )
    assert len(kept) == 64
    assert next(iter(kept)) == "n" * 256
    assert len(kept["n" * 256].encode()) <= 4_096


@pytest.mark.parametrize(
    ("title", "stateless"),
    [
        ("[FIRING:2] Slow (api)", "Slow (api)"),
        ("[RESOLVED] Slow", "Slow"),
        ("[P2] [Triggered on {host:a}] Slow", "Slow"),
        ("[Re-Triggered] Slow", "Slow"),
        ("[Alerting] Slow", "Slow"),
        ("[No Data] Slow", "Slow"),
        ("[api] Slow", "[api] Slow"),
        ("[P21] Slow", "[P21] Slow"),
        ("[OK]", "[OK]"),
        ("Slow [FIRING:2]", "Slow [FIRING:2]"),
    ],
)
def test_a_title_keeps_what_is_no_state(title: str, stateless: str) -> None:
    assert loose.stateless(title) == stateless


def test_the_first_tag_of_a_name_counts_and_tags_without_a_value_do_not() -> None:
    tags = ["env:prod", "env:test", "monitor", "a:", ":b", "url:http://x:1"]
    assert loose.tagged(tags) == {"env": "prod", "url": "http://x:1"}


def test_a_key_too_long_to_store_is_told_apart_all_the_same() -> None:
    keys = ["k" * 256, "k" * 257, "k" * 258]
    identities = [loose.identity(key) for key in keys]
    assert identities[0] == keys[0]
    assert len(set(identities)) == 3
    assert max(len(one) for one in identities) <= 256


def test_texts_are_as_they_are_and_all_else_is_json() -> None:
    values = ["a\0b", None, 1.5, False, {"é": [1]}]
    assert [loose.text(value) for value in values] == ["a\ufffdb", "", "1.5", "false", '{"é":[1]}']
    assert json.loads(loose.text({"a": 1})) == {"a": 1}
