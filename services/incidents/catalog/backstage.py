"""Reads Backstage's `catalog-info.yaml`: its Components become services. Pure: bytes in, commands out."""

from typing import Any

import yaml

from services.incidents.catalog.domain import DEFAULT_TIER, RegisterService
from shared.refusals import Invalid

TIER_KEYS = ("groundswell.dev/tier", "tier", "service-tier")
LARGEST = 1000
MOST_ALIASES = 50
UNREADABLE = (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError, LookupError)
"""What PyYAML raises; the last three for a value that its own tag can't be made of."""


class CatalogFileInvalid(Invalid):
    """The file is not a Backstage catalog that can be read."""


class _Loader(yaml.SafeLoader):
    """Without aliases: a few lines of them unfold to gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise CatalogFileInvalid("Aliases (*name) are not taken; write the value out.")
        return super().compose_node(parent, index)


def parse(content: bytes) -> list[RegisterService]:
    """The services of a catalog file, which may hold many YAML documents.

    `metadata.name` is the name; `spec.system` (else `spec.domain`, else the name) the product;
    `spec.owner` the owner; the annotation or label `tier` the tier; `spec.dependsOn` components the
    dependencies; the annotation `groundswell.dev/aliases` (comma-separated) the aliases. Other kinds
    than Component are passed over. Raises CatalogFileInvalid, naming the document.
    """
    try:
        documents: list[Any] = list(yaml.load_all(content, _Loader))
    except UNREADABLE as error:
        why = str(error).encode(errors="replace").decode()[:300]
        raise CatalogFileInvalid(f"This is not YAML: {why}; mend the file.") from error
    if len(documents) > LARGEST:
        raise CatalogFileInvalid(f"{len(documents)} documents in one file; send at most {LARGEST}.")
    return [
        _component(document, number)
        for number, document in enumerate(documents, start=1)
        if isinstance(document, dict) and document.get("kind") == "Component"
    ]


def _component(document: dict[str, Any], number: int) -> RegisterService:
    metadata, spec = _mapping(document.get("metadata")), _mapping(document.get("spec"))
    name = metadata.get("name")
    if not isinstance(name, str) or not name.strip() or len(name) > 200:
        raise CatalogFileInvalid(
            f"Document {number}: metadata.name must be a string of 1 to 200 characters."
        )
    marks = {**_mapping(metadata.get("labels")), **_mapping(metadata.get("annotations"))}
    listed = marks.get("groundswell.dev/aliases", "")
    aliases = listed.split(",") if isinstance(listed, str) else []
    if len(aliases) > MOST_ALIASES or not isinstance(listed, str):
        raise CatalogFileInvalid(
            f"Document {number}: groundswell.dev/aliases must be a text of at most {MOST_ALIASES}"
            " names, with commas between them."
        )
    found = RegisterService(
        name=name,
        product=_short(spec.get("system")) or _short(spec.get("domain")) or name,
        owner=_short(spec.get("owner")),
        tier=_tier(marks, number),
        dependencies=tuple(
            reference.split(":", 1)[1].split("/")[-1]
            for reference in _strings(spec.get("dependsOn"))
            if reference.lower().startswith("component:")
        ),
        aliases=tuple(alias.strip()[:200] for alias in aliases if alias.strip()),
    )
    texts = (found.name, found.product, found.owner or "", *found.dependencies, *found.aliases)
    if not all(map(_storable, texts)):
        raise CatalogFileInvalid(
            f"Document {number}: a name holds a NUL or half of a character; remove it."
        )
    return found


def _storable(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= one <= "\udfff" for one in text)


def _tier(marks: dict[str, Any], number: int) -> int:
    stated = next((marks[key] for key in TIER_KEYS if key in marks), DEFAULT_TIER)
    plain = str(stated)[:40] if isinstance(stated, (str, int)) else type(stated).__name__
    digits = plain.lower().removeprefix("tier").strip(" -_")
    if digits not in {"1", "2", "3", "4"}:
        raise CatalogFileInvalid(f"Document {number}: tier {plain!r} is not one of 1, 2, 3, 4.")
    return int(digits)


def _mapping(value: object) -> dict[str, Any]:
    return {str(k): v for k, v in value.items()} if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _short(value: object) -> str | None:
    return value[:200] if isinstance(value, str) and value else None


def _strings(value: object) -> list[str]:
    return (
        [entry for entry in value[:200] if isinstance(entry, str)]
        if isinstance(value, list)
        else []
    )  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
