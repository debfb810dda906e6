"""The events on the wire stay what their readers were promised."""

import json

import jsoncompat
import pytest

from shared.contracts import EVENTS
from tests.contracts.golden import GOLDEN, readable_by_old, schema_of


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_every_event_equals_its_golden_schema(name: str) -> None:
    golden = GOLDEN / f"{name}.json"
    assert golden.exists(), f"{name} is new: run `make contracts` and commit the schema"
    assert golden.read_text() == schema_of(EVENTS[name]), (
        "run `make contracts`, and read what it says"
    )


def test_no_golden_schema_is_left_of_an_event_that_went_away() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(EVENTS)


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_every_event_is_named_as_agreed(name: str) -> None:
    schema = json.loads(schema_of(EVENTS[name]))
    assert schema["type"] == "object"
    assert name == EVENTS[name].TYPE
    assert name.startswith("groundswell.")
    assert name.endswith(".v1")


def test_the_gate_refuses_a_removed_and_a_retyped_field() -> None:
    old = json.dumps(
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
    )
    removed = json.dumps({"type": "object", "properties": {}})
    retyped = json.dumps(
        {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    )
    added = json.dumps(
        {
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "required": ["a", "b"],
        }
    )
    assert not readable_by_old(old, removed)
    assert not readable_by_old(old, retyped)
    assert readable_by_old(old, added)
    assert jsoncompat.check_compat(old, old, "both")
