"""The rules of the processes of the distributed shape: each service, in each of its roles."""

from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

from services.engines import SERVICES
from tests.deploy.pod_rules import POD, container_rules, pod_rules, process_rules
from tests.deploy.rendering import DISTRIBUTED
from tests.deploy.rules import (
    ADMITTED,
    ANYWHERE,
    HTTP,
    METRICS,
    NAMES,
    equals,
    has,
    pod_security,
)
from tests.deploy.rules import Rule as AnyRule

Rule = partial(AnyRule, overlays=DISTRIBUTED)

PROCESSES = tuple(
    (service, role)
    for service, role in product(SERVICES, ("api", "worker"))
    if (service, role) != ("gateway", "worker")
)
"""Which service runs in which roles; `test_agreement` asks the code whether that is so."""

JOB = "Job/migrate-*"
SPREAD = f"{POD}.topologySpreadConstraints"

POSTGRES = {
    "to": [{"podSelector": {"matchLabels": {"groundswell/store": "postgres"}}}],
    "ports": [{"port": 5432, "protocol": "TCP"}],
}
KAFKA = {
    "to": [{"podSelector": {"matchLabels": {"groundswell/store": "kafka"}}}],
    "ports": [{"port": 9092, "protocol": "TCP"}],
}
GATEWAY = {
    "podSelector": {
        "matchLabels": {
            "app.kubernetes.io/component": "api",
            "groundswell/service": "gateway",
        }
    }
}
BEHIND = {
    "to": [
        {
            "podSelector": {
                "matchExpressions": [
                    {
                        "key": "groundswell/service",
                        "operator": "In",
                        "values": [service for service in SERVICES if service != "gateway"],
                    }
                ],
                "matchLabels": {"app.kubernetes.io/component": "api"},
            }
        }
    ],
    "ports": HTTP,
}


def labels(service: str, role: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "groundswell",
        "app.kubernetes.io/component": role,
        "groundswell/service": service,
    }


def callers(service: str, role: str) -> list[dict[str, Any]]:
    """Who may open a connection to it."""
    if role == "worker":
        return [METRICS]
    return [ADMITTED, METRICS] if service == "gateway" else [GATEWAY, METRICS]


def called(service: str, role: str) -> list[dict[str, Any]]:
    """To whom it may open one."""
    if role == "worker":
        return [NAMES, POSTGRES, KAFKA]
    return [NAMES, POSTGRES, BEHIND] if service == "gateway" else [NAMES, POSTGRES]


def _spread(service: str, role: str, constraints: list[dict[str, Any]]) -> bool:
    """Over zones and over machines, counting the pods of this version alone."""
    return [c["topologyKey"] for c in constraints] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ] and all(
        c["labelSelector"]["matchLabels"] == labels(service, role)
        and c["matchLabelKeys"] == ["pod-template-hash"]
        for c in constraints
    )


def _read_of(variable: str, secret: str, key: str, env: list[dict[str, Any]]) -> bool:
    """The variable is taken from this key of this Secret, and is not written down."""
    return [e for e in env if e["name"] == variable] == [
        {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
    ]


def _roll(service: str, role: str) -> Iterator[AnyRule]:
    name = f"{service}-{role}"
    target = f"Deployment/{name}"
    yield Rule(
        f"{name}: an old pod goes when the new one is ready",
        target,
        "spec.strategy.rollingUpdate",
        has(maxUnavailable=0, maxSurge=1),
        ({"maxUnavailable": 1, "maxSurge": 1}, {"maxUnavailable": 0}),
    )
    yield Rule(
        f"{name}: an apply does not undo what an autoscaler said",
        target,
        "spec",
        lambda spec: "replicas" not in spec,
        ({"replicas": 1},),
    )
    yield Rule(
        f"{name}: the command says which service and which role",
        target,
        f"{POD}.containers.0.args",
        equals(["groundswell", "serve", service, "--role", role]),
        (["groundswell", "run"],),
    )
    yield Rule(
        f"{name}: spreads over zones and machines",
        target,
        SPREAD,
        partial(_spread, service, role),
        ([],),
    )
    yield Rule(
        f"{name}: its selector is its own pods'",
        target,
        "spec.selector.matchLabels",
        equals(labels(service, role)),
        ({"app.kubernetes.io/name": "groundswell"},),
    )
    yield Rule(
        f"{name}: logs in to the database as its service",
        target,
        f"{POD}.containers.0.env",
        partial(_read_of, "GROUNDSWELL_DATABASE", f"{service}-database", "url"),
        (
            [],
            [{"name": "GROUNDSWELL_DATABASE", "value": "postgresql://postgres:secret@db/x"}],
        ),
    )
    yield Rule(
        f"{name}: one pod at a time may be evicted",
        f"PodDisruptionBudget/{name}",
        "spec.maxUnavailable",
        equals(1),
        (0,),
    )
    yield Rule(
        f"{name}: a pod that is down anyway does not block a drain",
        f"PodDisruptionBudget/{name}",
        "spec.unhealthyPodEvictionPolicy",
        equals("AlwaysAllow"),
        ("IfHealthyBudget",),
    )
    yield Rule(
        f"{name}: the budget counts its pods",
        f"PodDisruptionBudget/{name}",
        "spec.selector.matchLabels",
        equals(labels(service, role)),
        ({},),
    )
    yield Rule(
        f"{name}: the account mounts no token",
        f"ServiceAccount/{name}",
        "automountServiceAccountToken",
        equals(False),
        (True,),
    )


def _network(service: str, role: str) -> Iterator[AnyRule]:
    name = f"{service}-{role}"
    policy = f"NetworkPolicy/{name}"
    yield Rule(
        f"{name}: has a policy of its own",
        policy,
        "spec.podSelector.matchLabels",
        equals(labels(service, role)),
        ({},),
    )
    yield Rule(
        f"{name}: its policy is for both directions",
        policy,
        "spec.policyTypes",
        equals(["Ingress", "Egress"]),
        (["Ingress"],),
    )
    yield Rule(
        f"{name}: only who has to may call it",
        policy,
        "spec.ingress",
        equals([{"from": callers(service, role), "ports": HTTP}]),
        ([{}], [{"ports": HTTP}], [{"from": [ANYWHERE], "ports": HTTP}]),
    )
    yield Rule(
        f"{name}: it calls only what it has to",
        policy,
        "spec.egress",
        equals(called(service, role)),
        ([], [{}], [NAMES], [*called(service, role), {"to": [ANYWHERE]}]),
    )
    yield Rule(
        f"{name}: the Service finds its pods",
        f"Service/{name}",
        "spec.selector",
        equals(labels(service, role)),
        ({},),
    )
    yield Rule(
        f"{name}: the Service is not published outside",
        f"Service/{name}",
        "spec.type",
        equals("ClusterIP"),
        ("LoadBalancer", "NodePort"),
    )


def _secrets() -> Iterator[AnyRule]:
    for service in SERVICES:
        yield Rule(
            f"{service}-api: the word on who calls is signed with the shared secret",
            f"Deployment/{service}-api",
            f"{POD}.containers.0.env",
            partial(_read_of, "GROUNDSWELL_INTERNAL_SECRET", "internal", "secret"),
            ([], [{"name": "GROUNDSWELL_INTERNAL_SECRET", "value": "0" * 64}]),
        )
    for variable, key in (
        ("GROUNDSWELL_PEPPER", "pepper"),
        ("GROUNDSWELL_ADMIN_KEY", "admin-key"),
    ):
        yield Rule(
            f"gateway-api: {variable} is read of a Secret",
            "Deployment/gateway-api",
            f"{POD}.containers.0.env",
            partial(_read_of, variable, "api-keys", key),
            ([], [{"name": variable, "value": "0" * 64}]),
        )


def _migration() -> Iterator[AnyRule]:
    yield from pod_rules(JOB, DISTRIBUTED, account="migrate")
    for number, service in enumerate(SERVICES):
        yield from container_rules(JOB, DISTRIBUTED, number)
        yield Rule(
            f"the migration of {service} touches {service} alone",
            JOB,
            f"{POD}.containers.{number}.args",
            equals(["groundswell", "migrate", service]),
            (["groundswell", "migrate"],),
        )
        yield Rule(
            f"the migration of {service} logs in as the owner of its tables",
            JOB,
            f"{POD}.containers.{number}.env",
            partial(_read_of, "GROUNDSWELL_DATABASE", f"{service}-database", "url"),
            ([],),
        )
    yield Rule(
        "the migration is tried again while the database comes up",
        JOB,
        "spec.backoffLimit",
        lambda n: n >= 10,
        (0,),
    )
    yield Rule(
        "a failed container is started again in its place",
        JOB,
        f"{POD}.restartPolicy",
        equals("OnFailure"),
        ("Never",),
    )
    yield Rule(
        "the Job of a release before goes by itself",
        JOB,
        "spec.ttlSecondsAfterFinished",
        lambda seconds: seconds > 0,
        (0,),
    )
    yield Rule(
        "nobody calls the migration",
        "NetworkPolicy/migrate",
        "spec",
        lambda spec: spec["policyTypes"] == ["Ingress", "Egress"] and "ingress" not in spec,
        ({"policyTypes": ["Egress"]}, {"policyTypes": ["Ingress", "Egress"], "ingress": [{}]}),
    )
    yield Rule(
        "the migration calls the stores alone",
        "NetworkPolicy/migrate",
        "spec.egress",
        equals([NAMES, POSTGRES, KAFKA]),
        ([], [{}]),
    )


def distributed_rules() -> Iterator[AnyRule]:
    """All of them, for both overlays."""
    yield Rule(
        "the cluster enforces the restricted standard in the namespace",
        "Namespace/groundswell",
        "metadata.labels",
        has(**pod_security(enforce="restricted", audit="restricted", warn="restricted")),
        (pod_security(enforce="baseline", audit="restricted", warn="restricted"), {}),
    )
    yield Rule(
        "nothing may talk unless a policy says so",
        "NetworkPolicy/default-deny",
        "spec",
        equals({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}),
        (
            {"podSelector": {}, "policyTypes": ["Ingress"]},
            {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": [{}]},
        ),
    )
    for service, role in PROCESSES:
        target = f"Deployment/{service}-{role}"
        yield from pod_rules(target, DISTRIBUTED, account=f"{service}-{role}")
        yield from container_rules(target, DISTRIBUTED)
        yield from process_rules(target, DISTRIBUTED, start_seconds=120)
        yield from _roll(service, role)
        yield from _network(service, role)
    yield from _secrets()
    yield from _migration()
