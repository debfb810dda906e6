"""The mapping document: what is wrong with it is said when it is written, with its place."""

from typing import Any

import pytest
from pydantic import ValidationError

from services.incidents.mappings.document import MappingDocument
from services.incidents.mappings.mapping import mapping_of


def wrong(**document: Any) -> list[str]:
    with pytest.raises(ValidationError) as raised:
        MappingDocument.model_validate({"title": "$.t", **document})
    return [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in raised.value.errors()]


@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        ({"title": None}, "title"),
        ({"titel": "$.t"}, "titel: Extra inputs"),
        ({"service": "name"}, "service.path: Value error, is not JSONPath"),
        ({"service": {"path": "$..x"}}, "service.rule.path: Value error, looks at all descendants"),
        ({"service": {"path": "$.x", "vals": {}}}, "service.rule.vals: Extra inputs"),
        ({"service": {"const": ""}}, "service.const.const: String should have at least 1"),
        ({"service": {"const": "a", "path": "$.x"}}, "service.const.path: Extra inputs"),
        ({"service": 3}, "service.rule"),
        ({"each": "$..alerts"}, "each: Value error, looks at all descendants"),
        ({"status": {"const": "down"}}, "status.const.const: Input should be 'firing'"),
        (
            {"status": {"path": "$.s", "values": {"UP": "ok"}}},
            "status.rule.values.UP: Input should",
        ),
        ({"severity": {"path": "$.s", "default": "P1"}}, "severity.rule.default: Input should"),
        ({"labels": "labels"}, "labels.path: Value error, is not JSONPath"),
        ({"labels": {"env": "env"}}, "labels.rules.env.path: Value error, is not JSONPath"),
        ({"labels": {"": "$.x"}}, "labels.rules..[key]: String should have at least 1"),
        ({"labels": {str(i): "$.x" for i in range(65)}}, "labels.rules: Dictionary should have at"),
        (
            {"service": {"path": "$.x", "values": {str(i): "y" for i in range(65)}}},
            "service.rule.values: Dictionary should have at most 64",
        ),
        (
            {"service": {"const": "a\x00"}},
            "service.const.const: Value error, must not contain a NUL",
        ),
        ({"service": "$['a\x00']"}, "service.path: Value error, is not JSONPath"),
        ({"service": {"const": "\ud800"}}, "service.const.const: Input should be a valid string"),
        ({"service": "$.a" * 90}, "service.path: String should have at most 256"),
    ],
)
def test_an_error_names_its_place(document: dict[str, Any], wanted: str) -> None:
    (complaint,) = wrong(**document)
    assert complaint.startswith(wanted)


def test_what_is_stored_means_the_same_when_it_is_read_again() -> None:
    document = MappingDocument.model_validate(
        {
            "each": "$.all[*]",
            "title": {"path": "$.t", "of": "body", "default": "untitled"},
            "status": {"path": "$.s", "values": {"UP": "resolved"}, "default": "firing"},
            "severity": {"const": "low"},
            "labels": {"path": "$.path", "const": {"const": "a label may have any name"}},
        }
    )
    stored = document.model_dump(mode="json", exclude_defaults=True)
    again = MappingDocument.model_validate(stored)
    assert again == document
    assert again.model_dump(mode="json", exclude_defaults=True) == stored
    mapping = mapping_of("x", 1, again)
    assert mapping.source == "generic.x"
    assert set(mapping.rules) == {"title", "status", "severity"}
    assert isinstance(mapping.labels, dict)
    assert set(mapping.labels) == {"path", "const"}
