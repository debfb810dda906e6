"""A mapping ready to be used: its expressions are compiled, once for each of its versions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from services.incidents.mappings.document import (
    Fixed,
    FixedSeverity,
    FixedState,
    MappingDocument,
    Rule,
    SeverityRule,
    StateRule,
)
from services.incidents.mappings.paths import Path, compiled
from shared.refusals import NotFound

FIELDS = (
    "title",
    "fingerprint",
    "status",
    "severity",
    "service",
    "starts_at",
    "ends_at",
    "alert_name",
    "description",
    "url",
    "acknowledged_by",
    "acknowledged_at",
)


class MappingUnknown(NotFound):
    """Nobody put a mapping of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is no mapping {name!r}; put it with PUT /v1/mappings/{{name}} first."
        )


@dataclass(frozen=True, slots=True)
class FieldRule:
    """Where a field's value is found. No path: it is `default`, always."""

    path: Path | None
    of_body: bool
    words: Mapping[str, str]
    """Ours for the sender's, which stand here case-folded."""
    default: str | None


@dataclass(frozen=True, slots=True)
class SenderMapping:
    """How the bodies of one sender become signals. `source` vouches for their fingerprints."""

    name: str
    version: int
    each: Path | None
    rules: Mapping[str, FieldRule]
    """By the field's name, those that the document has."""
    labels: Mapping[str, FieldRule] | Path

    @property
    def source(self) -> str:
        return f"generic.{self.name}"


def mapping_of(name: str, version: int, document: MappingDocument) -> SenderMapping:
    """The mapping that the document describes."""
    stated = {field: getattr(document, field) for field in FIELDS}
    labels = document.labels
    return SenderMapping(
        name=name,
        version=version,
        each=None if document.each is None else compiled(document.each),
        rules={field: _rule(rule) for field, rule in stated.items() if rule is not None},
        labels=compiled(labels)
        if isinstance(labels, str)
        else {label: _rule(rule) for label, rule in labels.items()},
    )


def _rule(stated: Rule | StateRule | SeverityRule) -> FieldRule:
    if isinstance(stated, str):
        return FieldRule(compiled(stated), False, {}, None)
    if isinstance(stated, Fixed | FixedState | FixedSeverity):
        return FieldRule(None, False, {}, stated.const)
    values = cast("dict[str, str]", stated.values)
    words = {theirs.casefold(): ours for theirs, ours in values.items()}
    return FieldRule(compiled(stated.path), stated.of == "body", words, stated.default)
