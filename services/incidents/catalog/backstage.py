"""Reads Backstage's `catalog-info.yaml`: its Components become services. Pure: bytes in, commands out."""

from typing import Any

import yaml

from services.incidents.catalog.domain import DEFAULT_TIER, RegisterService
from shared.refusals import Invalid

TIER_KEYS = ("groundswell.dev/tier", "tier", "service-tier")
LARGEST = 1000


class CatalogFileInvalid(Invalid):
    """The file is not a Backstage catalog that can be read."""


def parse(content: bytes) -> list[RegisterService]:
    """The services of a catalog file, which may hold many YAML documents.

    `metadata.name` is the name; `spec.system` (else `spec.domain`, else the name) the product;
    `spec.owner` the owner; the annotation or label `tier` the tier; `spec.dependsOn` components the
    dependencies; the annotation `groundswell.dev/aliases` (comma-separated) the aliases. Other kinds
    than Component are passed over. Raises CatalogFileInvalid, naming the document.
    """
    try:
        documents: list[Any] = list(yaml.safe_load_all(content))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CatalogFileInvalid(f"This is not YAML: {error}") from error
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
    if not isinstance(name, str) or not 0 < len(name) <= 200:
        raise CatalogFileInvalid(
            f"Document {number}: metadata.name must be a string of 1 to 200 characters."
        )
    marks = {**_mapping(metadata.get("labels")), **_mapping(metadata.get("annotations"))}
    aliases = str(marks.get("groundswell.dev/aliases", "")).split(",")
    return RegisterService(
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


def _tier(marks: dict[str, Any], number: int) -> int:
    stated = next((marks[key] for key in TIER_KEYS if key in marks), DEFAULT_TIER)
    digits = str(stated).lower().removeprefix("tier").strip(" -_")
    if digits not in {"1", "2", "3", "4"}:
        raise CatalogFileInvalid(f"Document {number}: tier {stated!r} is not one of 1, 2, 3, 4.")
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
