"""The rules of the one process on the embedded engine: its data folder, its network, its budget."""

from tests.deploy.pod_rules import POD, container_rules, pod_rules, process_rules
from tests.deploy.rendering import STANDALONE
from tests.deploy.rules import (
    ADMITTED,
    ANYWHERE,
    DNS,
    DNS_SERVER,
    HTTP,
    Rule,
    equals,
    has,
    pod_security,
)

SET = "StatefulSet/groundswell"
BOX = f"{POD}.containers.0"
POD_LABELS = {
    "app.kubernetes.io/name": "groundswell",
    "app.kubernetes.io/component": "standalone",
}

IDENTITY = [
    Rule(
        "the cluster enforces the restricted standard in the namespace",
        "Namespace/groundswell",
        "metadata.labels",
        has(**pod_security(enforce="restricted", audit="restricted", warn="restricted")),
        (pod_security(enforce="baseline", audit="restricted", warn="restricted"), {}),
    ),
    Rule(
        "the service account mounts no token",
        "ServiceAccount/groundswell",
        "automountServiceAccountToken",
        equals(False),
        (True,),
    ),
    Rule(
        "a restart does not open the key file to the group",
        SET,
        f"{POD}.securityContext.fsGroupChangePolicy",
        equals("OnRootMismatch"),
        ("Always",),
    ),
]

LIFE = [
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

STANDALONE_RULES = [
    *pod_rules(SET, STANDALONE, account="groundswell"),
    *container_rules(SET, STANDALONE),
    *process_rules(SET, STANDALONE, start_seconds=300),
    *IDENTITY,
    *LIFE,
    *DATA,
    *NETWORK,
]
