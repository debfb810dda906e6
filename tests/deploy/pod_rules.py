"""The rules of every pod in the manifests, whatever runs in it, and of every pod of Groundswell."""

import re
from typing import Any

from services.listening import STOP_SECONDS
from shared.supervisor import STUCK_SECONDS
from tests.deploy.rules import MARGIN_SECONDS, PRE_STOP_SECONDS, Rule, equals, patience, within

POD = "spec.template.spec"
GROUNDSWELL = 10001
"""The image's user, and its group."""


def _private(pod: dict[str, Any]) -> bool:
    shared = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace")
    volumes = pod.get("volumes", [])
    return not any(pod.get(key) for key in shared) and all("hostPath" not in v for v in volumes)


def _sized(resources: dict[str, Any]) -> bool:
    wanted = {"cpu", "memory", "ephemeral-storage"}
    return all(wanted <= resources.get(half, {}).keys() for half in ("requests", "limits"))


def _bounded(volumes: list[dict[str, Any]]) -> bool:
    return all("sizeLimit" in v["emptyDir"] for v in volumes if "emptyDir" in v)


def pod_rules(
    target: str, overlays: tuple[str, ...], *, account: str, user: int = GROUNDSWELL
) -> list[Rule]:
    """What the restricted standard asks for and some more: identity, privileges, what is shared."""

    def rule(sentence: str, path: str, holds: Any, *broken: Any) -> Rule:
        return Rule(f"{target}: {sentence}", target, f"{POD}.{path}", holds, broken, overlays)

    return [
        rule("mounts no token", "automountServiceAccountToken", equals(False), True),
        rule("has its own identity", "serviceAccountName", equals(account), "default"),
        rule("never runs as root", "securityContext.runAsNonRoot", equals(True), False),
        rule("runs as the image's user", "securityContext.runAsUser", equals(user), 0),
        rule("runs as the image's group", "securityContext.runAsGroup", equals(user), 0),
        rule("its volumes are its group's", "securityContext.fsGroup", equals(user), 0),
        rule(
            "system calls are filtered",
            "securityContext.seccompProfile.type",
            equals("RuntimeDefault"),
            "Unconfined",
        ),
        rule("no Service's address slips in", "enableServiceLinks", equals(False), True),
        rule("can't fill its node", "volumes", _bounded, [{"name": "tmp", "emptyDir": {}}]),
        Rule(
            f"{target}: shares nothing with its node",
            target,
            POD,
            _private,
            (
                {"hostNetwork": True},
                {"hostPID": True},
                {"volumes": [{"name": "h", "hostPath": {"path": "/"}}]},
            ),
            overlays,
        ),
    ]


def container_rules(target: str, overlays: tuple[str, ...], number: int = 0) -> list[Rule]:
    """What a container of it may do, and how much it may use."""
    box = f"{POD}.containers.{number}"

    def rule(sentence: str, path: str, holds: Any, *broken: Any) -> Rule:
        where = f"{target}/{number}"
        return Rule(f"{where}: {sentence}", target, f"{box}.{path}", holds, broken, overlays)

    return [
        rule(
            "privileges can't grow",
            "securityContext.allowPrivilegeEscalation",
            equals(False),
            True,
        ),
        rule(
            "is not privileged",
            "securityContext",
            lambda context: not context.get("privileged"),
            {"privileged": True},
        ),
        rule(
            "every capability is dropped and none added",
            "securityContext.capabilities",
            equals({"drop": ["ALL"]}),
            {"drop": []},
            {"drop": ["ALL"], "add": ["NET_ADMIN"]},
        ),
        rule(
            "the root filesystem is read-only",
            "securityContext.readOnlyRootFilesystem",
            equals(True),
            False,
        ),
        rule("requests and limits are set", "resources", _sized, {"requests": {"cpu": "1"}}),
        rule(
            "the image is of one version",
            "image",
            lambda image: re.search(r":v?\d+(\.\d+)+$|@sha256:[0-9a-f]{64}$", image) is not None,
            "groundswell",
            "groundswell:latest",
        ),
    ]


def process_rules(target: str, overlays: tuple[str, ...], *, start_seconds: int) -> list[Rule]:
    """How a process of Groundswell is started, probed and stopped."""
    box = f"{POD}.containers.0"

    def rule(sentence: str, path: str, holds: Any, *broken: Any) -> Rule:
        return Rule(f"{target}: {sentence}", target, path, holds, broken, overlays)

    return [
        rule(
            "start-up waits for the schema",
            f"{box}.startupProbe.httpGet.path",
            equals("/readyz"),
            "/livez",
        ),
        rule(
            f"start-up has {start_seconds} s",
            f"{box}.startupProbe",
            lambda probe: patience(probe) >= start_seconds,
            {"periodSeconds": 2, "failureThreshold": 3},
        ),
        rule(
            "readiness asks for the database and the drain",
            f"{box}.readinessProbe.httpGet.path",
            equals("/readyz"),
            "/livez",
        ),
        rule(
            "liveness asks the process alone",
            f"{box}.livenessProbe.httpGet.path",
            equals("/livez"),
            "/readyz",
        ),
        rule(
            "liveness is no less patient than the process is with itself",
            f"{box}.livenessProbe",
            lambda probe: patience(probe) >= STUCK_SECONDS,
            {"periodSeconds": 5, "failureThreshold": 2},
        ),
        rule(
            "serves on while the endpoints forget it",
            f"{box}.lifecycle.preStop.sleep.seconds",
            within(*PRE_STOP_SECONDS),
            0,
            60,
        ),
        rule(
            "the grace is longer than the pause and the longest stop",
            f"{POD}.terminationGracePeriodSeconds",
            lambda seconds: seconds >= PRE_STOP_SECONDS[1] + STOP_SECONDS + MARGIN_SECONDS,
            30,
            25,
        ),
    ]
