"""What a rule over rendered manifests is, and the words that rules are made of.

A rule looks at one place of one object. It names the ways in which it could be broken, and has to
notice each of them, and also when that place is removed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.deploy.rendering import GONE, STANDALONE, Rendered, at, find, spoiled

PRE_STOP_SECONDS = (5, 10)
MARGIN_SECONDS = 5
"""Between the longest stop of a process and the SIGKILL of who runs it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`holds` judges what stands at `path` of `target`; each of `broken` must fail it."""

    sentence: str
    target: str
    path: str
    holds: Callable[[Any], bool]
    broken: tuple[Any, ...] = ()
    overlays: tuple[str, ...] = STANDALONE

    def kept_by(self, objects: Rendered) -> bool:
        found = at(find(objects, self.target), self.path)
        return found is not GONE and self.holds(found)

    def unnoticed(self, objects: Rendered) -> list[Any]:
        """The ways to break it that it would let pass; GONE stands for the removal."""
        return [
            value
            for value in (GONE, *self.broken)
            if self.kept_by(spoiled(objects, self.target, self.path, value))
        ]


def equals(expected: Any) -> Callable[[Any], bool]:
    """Strict about types too: 1 is not True."""
    return lambda found: type(found) is type(expected) and found == expected


def has(**expected: Any) -> Callable[[Any], bool]:
    return lambda found: all(found.get(key) == value for key, value in expected.items())


def within(least: int, most: int) -> Callable[[Any], bool]:
    return lambda found: least <= found <= most


def pod_security(**modes: str) -> dict[str, str]:
    return {f"pod-security.kubernetes.io/{mode}": level for mode, level in modes.items()}


def patience(probe: dict[str, Any]) -> int:
    """Seconds until a probe that fails each time has its consequence."""
    return probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)


ANYWHERE = {"namespaceSelector": {}}
METRICS = {"namespaceSelector": {"matchLabels": {"groundswell/metrics": "true"}}}
ADMITTED = {"namespaceSelector": {"matchLabels": {"groundswell/access": "true"}}}
HTTP = [{"port": 8080, "protocol": "TCP"}]
DNS_SERVER = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
    "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
}
DNS = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
NAMES = {"to": [DNS_SERVER], "ports": DNS}
