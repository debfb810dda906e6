"""Which service a path belongs to. The table is made from what the services document."""

from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.edge.answers import refuse


class RoutesOverlap(Exception):
    """Two services claim the same path; a start-up error."""


def table_of(
    apps: Mapping[str, ASGIApp], documents: Mapping[str, Mapping[str, Any]]
) -> dict[str, ASGIApp]:
    """Path prefix → app, from each service's app and OpenAPI document.

    A prefix is a documented path up to its first parameter: `/v1/themes/{theme_id}/evidence` →
    `/v1/themes`. Raises RoutesOverlap when a prefix has two owners.
    """
    owners: dict[str, str] = {}
    for name, document in documents.items():
        for path in document.get("paths", {}):
            prefix = path.partition("/{")[0] or "/"
            if owners.setdefault(prefix, name) != name:
                raise RoutesOverlap(f"both {owners[prefix]} and {name} serve {prefix}")
    return {prefix: apps[name] for prefix, name in owners.items()}


def routed(table: Mapping[str, ASGIApp]) -> ASGIApp:
    """Hand the request to the app with the longest prefix of its path; a plain call, no socket."""

    async def chosen(scope: Scope, receive: Receive, send: Send) -> None:
        app = longest(table, scope["path"])
        if app is None:
            path = scope["path"].encode("utf-8", "replace").decode()[:200]
            detail = f"There is nothing at {path}; see /docs for what there is."
            return await refuse(scope, receive, send, 404, "not-found", detail)
        return await app(scope, receive, send)

    return chosen


def longest(table: Mapping[str, ASGIApp], path: str) -> ASGIApp | None:
    """The app whose prefix ends where a segment of `path` ends, and is the longest such."""
    prefix = path
    while prefix:
        if prefix in table:
            return table[prefix]
        prefix = prefix.rpartition("/")[0]
    return table.get("/") if path == "/" else None
