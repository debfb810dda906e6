"""Who calls. The gateway finds out; a service only reads what the gateway put into the ASGI scope."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

PRINCIPAL = "groundswell.principal"
"""Key in the ASGI scope. Never read from a header: a client can't name itself."""

SCOPES = {
    "ingest": "send signals and changes",
    "incidents:read": "read incidents, signals, changes, mappings and the catalog",
    "incidents:write": "open and change incidents, edit the catalog",
    "feedback:read": "read feedback, themes, evidence, policies and outcomes",
    "feedback:write": "give feedback, vote, merge and split themes",
    "policies:write": "change detection policies and mappings",
    "roadmap:read": "read candidates, items and objectives",
    "roadmap:write": "decide on candidates, plan and deliver items, set objectives",
    "operations:read": "read dead letters",
    "operations:write": "replay dead letters, let a run of them pass",
    "admin": "everything, and keys and integrations",
}
"""Every scope there is, and what it allows."""


@dataclass(frozen=True, slots=True)
class Sender:
    """What an integration says about whatever its key or signature sends."""

    integration_id: str
    source: str
    """Replaces the source that the format would give: its alerts are told apart from others'."""
    service: str | None
    """The service of what names none."""
    signals_per_minute: int | None
    """How much it may send, or None for as much as there is room for."""


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller; `sender` where it is an integration."""

    id: str
    name: str
    scopes: frozenset[str]
    sender: Sender | None = None

    def may(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes


def principal_of(scope: MutableMapping[str, Any]) -> Principal | None:
    """The caller of this request, or None when nobody authenticated."""
    return scope.get(PRINCIPAL)
