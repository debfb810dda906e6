"""One OpenAPI document for all services. What can't be merged, or has no scope, stops the start."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from shared.auth import SCOPES
from shared.http.problems import MEDIA_TYPE
from shared.version import VERSION

Document = dict[str, Any]

METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
PUBLIC = frozenset({"/", "/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/redoc"})
"""Open to all. Everything else needs a key with the operation's scope."""

DESCRIPTION = """\
Turns what operations live through into roadmap candidates with evidence and a score, and measures
whether the fix worked.

Every operation outside the probes needs an API key: as `Authorization: Bearer <key>`, as `X-API-Key`,
or as the password of HTTP Basic. Errors are problem documents (RFC 9457) with a stable `type`. Lists
page by `limit` and `cursor`. What has a version carries it as `ETag`; `If-Match` guards a write.

Scopes: """


class DocumentsConflict(Exception):
    """Two services say different things under one name."""


class ScopeMissing(Exception):
    """An operation that anybody could call, and that is not meant for anybody."""


def merged(documents: Mapping[str, Document]) -> Document:
    """One document of the services' own. Raises DocumentsConflict or ScopeMissing."""
    whole: Document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Groundswell",
            "version": VERSION,
            "description": DESCRIPTION + "; ".join(f"`{s}` ({w})" for s, w in SCOPES.items()) + ".",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {},
        "components": {},
    }
    for service, document in copy.deepcopy(dict(documents)).items():
        _enter(whole["paths"], document.get("paths", {}), service, "path")
        for kind, named in document.get("components", {}).items():
            _enter(whole["components"].setdefault(kind, {}), named, service, kind)
    seen: set[str] = set()
    for name, operation in operations(whole):
        _check_scope(name, operation)
        if (operation_id := operation["operationId"]) in seen:
            raise DocumentsConflict(f"two operations are called {operation_id}")
        seen.add(operation_id)
        for answer in operation["responses"].values():
            _problems_only(answer)
    return whole


def operations(document: Document) -> Iterator[tuple[str, Document]]:
    """Every operation as ("GET /v1/keys", its description)."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def scope_of(operation: Document) -> str | None:
    """The scope that this operation asks for, or None when it asks for none."""
    for requirement in operation.get("security", []):
        for scopes in requirement.values():
            for scope in scopes:
                return scope
    return None


def _enter(into: Document, new: Mapping[str, Any], service: str, kind: str) -> None:
    for name, content in new.items():
        if into.setdefault(name, content) != content:
            raise DocumentsConflict(f"{service} defines {kind} {name!r} unlike another service")


def _check_scope(name: str, operation: Document) -> None:
    scope = scope_of(operation)
    if scope not in SCOPES and name.partition(" ")[2] not in PUBLIC:
        raise ScopeMissing(f"{name} declares no known scope; give it needs('<scope>')")


def _problems_only(answer: Document) -> None:
    """FastAPI documents an error's model as the route's own media type; ours are problem+json."""
    content = answer.get("content", {})
    if MEDIA_TYPE in content:
        described = next((entry for entry in content.values() if entry), {})
        answer["content"] = {MEDIA_TYPE: described}
