"""What every rendered manifest has to keep, each rule with the ways in which it could be broken.

A rule looks at one place of one object. It also has to notice when that place is removed.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.supervisor import STUCK_SECONDS
from tests.deploy.rendering import GONE, OVERLAYS, ROOT, Rendered, at, find

POD_LABELS = {
    "app.kubernetes.io/name": "groundswell",
    "app.kubernetes.io/component": "standalone",
}
PRE_STOP_SECONDS = (5, 10)
JOBS_SECONDS = 10
"""For jobs to leave their transactions, and databases to close, after the last request."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`holds` judges what stands at `path` of `target`; each of `broken` must fail it."""

    sentence: str
    target: str
    path: str
    holds: Callable[[Any], bool]
    broken: tuple[Any, ...] = ()
    overlays: tuple[str, ...] = OVERLAYS

    def kept_by(self, objects: Rendered) -> bool:
        found = at(find(objects, self.target), self.path)
        return found is not GONE and self.holds(found)


def equals(expected: Any) -> Callable[[Any], bool]:
    """Strict about types too: 1 is not True."""
    return lambda found: type(found) is type(expected) and found == expected


def has(**expected: Any) -> Callable[[Any], bool]:
    return lambda found: all(found.get(key) == value for key, value in expected.items())


def _labels(**extra: str) -> dict[str, str]:
    return {f"pod-security.kubernetes.io/{mode}": level for mode, level in extra.items()}


def drain_seconds() -> int:
    """How long the process lets running requests finish, as it says itself."""
    source = (ROOT / "services" / "standalone.py").read_text()
    found = re.search(r"^DRAIN_SECONDS = (\d+)$", source, flags=re.MULTILINE)
    assert found, "services/standalone.py no longer says DRAIN_SECONDS; say here what it says now"
    return int(found.group(1))


def _patience(probe: dict[str, Any]) -> int:
    return probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)


def _private(pod: dict[str, Any]) -> bool:
    shared = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace")
    volumes = pod.get("volumes", [])
    return not any(pod.get(key) for key in shared) and all("hostPath" not in v for v in volumes)


def _sized(resources: dict[str, Any]) -> bool:
    wanted = {"cpu", "memory", "ephemeral-storage"}
    return all(wanted <= resources.get(half, {}).keys() for half in ("requests", "limits"))


SET = "StatefulSet/groundswell"
POD = "spec.template.spec"
BOX = f"{POD}.containers.0"
ANYWHERE = {"namespaceSelector": {}}
ADMITTED = {"namespaceSelector": {"matchLabels": {"groundswell/access": "true"}}}
HTTP = [{"port": 8080, "protocol": "TCP"}]
DNS_SERVER = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
    "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
}
DNS = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]

IDENTITY = [
    Rule(
        "the cluster enforces the restricted standard in the namespace",
        "Namespace/groundswell",
        "metadata.labels",
        has(**_labels(enforce="restricted", audit="restricted", warn="restricted")),
        (_labels(enforce="baseline", audit="restricted", warn="restricted"), {}),
    ),
    Rule(
        "the service account mounts no token",
        "ServiceAccount/groundswell",
        "automountServiceAccountToken",
        equals(False),
        (True,),
    ),
    Rule(
        "the pod mounts no token",
        SET,
        f"{POD}.automountServiceAccountToken",
        equals(False),
        (True,),
    ),
    Rule(
        "the pod has its own identity",
        SET,
        f"{POD}.serviceAccountName",
        equals("groundswell"),
        ("default",),
    ),
    Rule(
        "the pod never runs as root",
        SET,
        f"{POD}.securityContext.runAsNonRoot",
        equals(True),
        (False,),
    ),
    Rule(
        "the pod runs as the image's user",
        SET,
        f"{POD}.securityContext.runAsUser",
        equals(10001),
        (0,),
    ),
    Rule(
        "the pod runs as the image's group",
        SET,
        f"{POD}.securityContext.runAsGroup",
        equals(10001),
        (0,),
    ),
    Rule(
        "the volume belongs to the pod's group",
        SET,
        f"{POD}.securityContext.fsGroup",
        equals(10001),
        (0,),
    ),
    Rule(
        "a restart does not open the key file to the group",
        SET,
        f"{POD}.securityContext.fsGroupChangePolicy",
        equals("OnRootMismatch"),
        ("Always",),
    ),
    Rule(
        "system calls are filtered",
        SET,
        f"{POD}.securityContext.seccompProfile.type",
        equals("RuntimeDefault"),
        ("Unconfined",),
    ),
    Rule(
        "privileges can't grow",
        SET,
        f"{BOX}.securityContext.allowPrivilegeEscalation",
        equals(False),
        (True,),
    ),
    Rule(
        "the container is not privileged",
        SET,
        f"{BOX}.securityContext",
        lambda context: not context.get("privileged"),
        ({"privileged": True},),
    ),
    Rule(
        "every capability is dropped and none added",
        SET,
        f"{BOX}.securityContext.capabilities",
        equals({"drop": ["ALL"]}),
        ({"drop": []}, {"drop": ["ALL"], "add": ["NET_ADMIN"]}),
    ),
    Rule(
        "the root filesystem is read-only",
        SET,
        f"{BOX}.securityContext.readOnlyRootFilesystem",
        equals(True),
        (False,),
    ),
    Rule(
        "the pod shares nothing with its node",
        SET,
        POD,
        _private,
        (
            {"hostNetwork": True},
            {"hostPID": True},
            {"volumes": [{"name": "h", "hostPath": {"path": "/"}}]},
        ),
    ),
]

LIFE = [
    Rule(
        "start-up waits for the schema",
        SET,
        f"{BOX}.startupProbe.httpGet.path",
        equals("/readyz"),
        ("/livez",),
    ),
    Rule(
        "start-up has minutes, for migrations and recovery",
        SET,
        f"{BOX}.startupProbe",
        lambda probe: _patience(probe) >= 300,
        ({"periodSeconds": 2, "failureThreshold": 3},),
    ),
    Rule(
        "readiness asks for the database and the drain",
        SET,
        f"{BOX}.readinessProbe.httpGet.path",
        equals("/readyz"),
        ("/livez",),
    ),
    Rule(
        "liveness asks the process alone",
        SET,
        f"{BOX}.livenessProbe.httpGet.path",
        equals("/livez"),
        ("/readyz",),
    ),
    Rule(
        "liveness is more patient than the process is with itself",
        SET,
        f"{BOX}.livenessProbe",
        lambda probe: _patience(probe) >= STUCK_SECONDS,
        ({"periodSeconds": 5, "failureThreshold": 2},),
    ),
    Rule(
        "the pod serves on while the endpoints forget it",
        SET,
        f"{BOX}.lifecycle.preStop.sleep.seconds",
        lambda seconds: PRE_STOP_SECONDS[0] <= seconds <= PRE_STOP_SECONDS[1],
        (0, 60),
    ),
    Rule(
        "the grace is longer than the pause and the drain",
        SET,
        f"{POD}.terminationGracePeriodSeconds",
        lambda seconds: seconds >= PRE_STOP_SECONDS[1] + drain_seconds() + JOBS_SECONDS,
        (30, 25),
    ),
    Rule(
        "a drain of the node is never blocked by the one replica",
        "PodDisruptionBudget/groundswell",
        "spec.maxUnavailable",
        equals(1),
        (0,),
    ),
    Rule(
        "a pod that is down anyway does not block a drain",
        "PodDisruptionBudget/groundswell",
        "spec.unhealthyPodEvictionPolicy",
        equals("AlwaysAllow"),
        ("IfHealthyBudget",),
    ),
    Rule(
        "the budget counts this pod",
        "PodDisruptionBudget/groundswell",
        "spec.selector.matchLabels",
        equals(POD_LABELS),
        ({},),
    ),
    Rule(
        "a rollback replaces a pod that never got ready",
        SET,
        "spec.podManagementPolicy",
        equals("Parallel"),
        ("OrderedReady",),
    ),
    Rule(
        "requests and limits are set",
        SET,
        f"{BOX}.resources",
        _sized,
        ({"requests": {"cpu": "1"}},),
    ),
    Rule(
        "the image is of one version",
        SET,
        f"{BOX}.image",
        lambda image: re.search(r":\d+\.\d+\.\d+$|@sha256:[0-9a-f]{64}$", image) is not None,
        ("groundswell", "groundswell:latest"),
    ),
    Rule("the command says what runs", SET, f"{BOX}.args", equals(["groundswell", "run"]), ([],)),
]

DATA = [
    Rule("one process uses the data folder", SET, "spec.replicas", equals(1), (0, 2)),
    Rule(
        "one pod holds the volume",
        SET,
        "spec.volumeClaimTemplates.0.spec.accessModes",
        equals(["ReadWriteOncePod"]),
        (["ReadWriteOnce"], ["ReadWriteMany"]),
    ),
    Rule(
        "the data outlive the StatefulSet",
        SET,
        "spec.persistentVolumeClaimRetentionPolicy",
        equals({"whenDeleted": "Retain", "whenScaled": "Retain"}),
        ({"whenDeleted": "Delete", "whenScaled": "Retain"},),
    ),
    Rule(
        "only the data folder and /tmp are writable",
        SET,
        f"{BOX}.volumeMounts",
        equals([{"mountPath": "/data", "name": "data"}, {"mountPath": "/tmp", "name": "tmp"}]),
        ([{"mountPath": "/data", "name": "data"}],),
    ),
    Rule(
        "/tmp can't fill the node",
        SET,
        f"{POD}.volumes",
        lambda volumes: (
            [v["name"] for v in volumes] == ["tmp"] and "sizeLimit" in volumes[0]["emptyDir"]
        ),
        ([{"name": "tmp", "emptyDir": {}}],),
    ),
    Rule(
        "settings say where the data are and how to listen and log",
        "ConfigMap/groundswell-settings-*",
        "data",
        has(
            GROUNDSWELL_DATA="/data",
            GROUNDSWELL_HOST="0.0.0.0",
            GROUNDSWELL_PORT="8080",
            GROUNDSWELL_LOG_FORMAT="json",
        ),
        ({"GROUNDSWELL_DATA": "/data"},),
    ),
    Rule(
        "no Service address slips into the settings",
        SET,
        f"{POD}.enableServiceLinks",
        equals(False),
        (True,),
    ),
]

NETWORK = [
    Rule(
        "nothing may talk unless a policy says so",
        "NetworkPolicy/default-deny",
        "spec",
        equals({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}),
        (
            {"podSelector": {}, "policyTypes": ["Ingress"]},
            {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": [{}]},
        ),
    ),
    Rule(
        "the service has a policy of its own",
        "NetworkPolicy/groundswell",
        "spec.podSelector.matchLabels",
        equals(POD_LABELS),
        ({},),
    ),
    Rule(
        "its policy is for both directions",
        "NetworkPolicy/groundswell",
        "spec.policyTypes",
        equals(["Ingress", "Egress"]),
        (["Ingress"],),
    ),
    Rule(
        "only labelled namespaces get in, on the one port",
        "NetworkPolicy/groundswell",
        "spec.ingress",
        equals([{"from": [ADMITTED], "ports": HTTP}]),
        ([{}], [{"ports": HTTP}], [{"from": [ADMITTED]}], [{"from": [ANYWHERE], "ports": HTTP}]),
    ),
    Rule(
        "nothing goes out but the look-up of names",
        "NetworkPolicy/groundswell",
        "spec.egress",
        equals([{"to": [DNS_SERVER], "ports": DNS}]),
        ([], [{}], [{"ports": DNS}], [{"to": [DNS_SERVER]}], [{"to": [ANYWHERE], "ports": DNS}]),
    ),
    Rule(
        "the Service finds the pod",
        "Service/groundswell",
        "spec.selector",
        equals(POD_LABELS),
        ({},),
    ),
    Rule(
        "the Service is not published outside",
        "Service/groundswell",
        "spec.type",
        equals("ClusterIP"),
        ("LoadBalancer", "NodePort"),
    ),
]

RULES = [*IDENTITY, *LIFE, *DATA, *NETWORK]
