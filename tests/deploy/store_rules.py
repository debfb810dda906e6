"""The rules of the stores under the distributed shape, and of what scales the processes over them."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from services.engines import SERVICES
from tests.deploy.distributed_rules import PROCESSES
from tests.deploy.pod_rules import POD, container_rules, pod_rules
from tests.deploy.rules import ANYWHERE, METRICS, NAMES, equals, has, patience, within
from tests.deploy.rules import Rule as AnyRule

SMALL = ("distributed-small",)
PRODUCTION = ("distributed-production",)
API_SERVER = {"ports": [{"port": 443, "protocol": "TCP"}, {"port": 6443, "protocol": "TCP"}]}
OURS = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "groundswell"}}}
WORKERS = {
    "podSelector": {
        "matchLabels": {
            "app.kubernetes.io/name": "groundswell",
            "app.kubernetes.io/component": "worker",
        }
    }
}
RESTRICTED_POD = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
RESTRICTED_BOX = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}

OnSmall = partial(AnyRule, overlays=SMALL)
OnProduction = partial(AnyRule, overlays=PRODUCTION)


def _set_to(name: str, value: str, env: list[dict[str, Any]]) -> bool:
    return {"name": name, "value": value} in env


def _one_of_each(store: str, user: int, port: int) -> Iterator[AnyRule]:
    """The small overlay's one pod of a store."""
    target = f"StatefulSet/{store}"
    yield from pod_rules(target, SMALL, account=store, user=user)
    yield from container_rules(target, SMALL)
    yield OnSmall(f"{store}: one pod has the volume", target, "spec.replicas", equals(1), (2,))
    yield OnSmall(
        f"{store}: its data outlive the StatefulSet",
        target,
        "spec.persistentVolumeClaimRetentionPolicy",
        equals({"whenDeleted": "Retain", "whenScaled": "Retain"}),
        ({"whenDeleted": "Delete", "whenScaled": "Retain"},),
    )
    yield OnSmall(
        f"{store}: one pod holds the volume",
        target,
        "spec.volumeClaimTemplates.0.spec.accessModes",
        equals(["ReadWriteOncePod"]),
        (["ReadWriteMany"],),
    )
    yield OnSmall(
        f"{store}: has a minute to stop in order",
        target,
        f"{POD}.terminationGracePeriodSeconds",
        lambda seconds: seconds >= 60,
        (10,),
    )
    for probe, least in (("startupProbe", 300), ("readinessProbe", 10), ("livenessProbe", 60)):
        yield OnSmall(
            f"{store}: has a {probe}",
            target,
            f"{POD}.containers.0.{probe}",
            lambda found, least=least: patience(found) >= least,
            ({"periodSeconds": 1, "failureThreshold": 1},),
        )
    yield OnSmall(
        f"{store}: calls nobody",
        f"NetworkPolicy/{store}",
        "spec",
        lambda spec: "Egress" in spec["policyTypes"] and "egress" not in spec,
        ({"policyTypes": ["Ingress"]}, {"policyTypes": ["Egress"], "egress": [{}]}),
    )
    yield OnSmall(
        f"{store}: its policy is of its pods",
        f"NetworkPolicy/{store}",
        "spec.podSelector.matchLabels",
        equals({"groundswell/store": store}),
        ({},),
    )
    yield OnSmall(
        f"{store}: only its port is open, and not to everybody",
        f"NetworkPolicy/{store}",
        "spec.ingress",
        lambda rules: (
            [rule["ports"] for rule in rules] == [[{"port": port, "protocol": "TCP"}]]
            and all(_selects_ours(peer) for peer in rules[0]["from"])
        ),
        ([], [{"from": [ANYWHERE], "ports": [{"port": port, "protocol": "TCP"}]}]),
    )


def _selects_ours(peer: dict[str, Any]) -> bool:
    selector = peer.get("podSelector", {}).get("matchLabels", {})
    return selector.get("app.kubernetes.io/name") == "groundswell"


def _small() -> Iterator[AnyRule]:
    yield from _one_of_each("postgres", 999, 5432)
    yield from _one_of_each("kafka", 1000, 9092)
    env = f"{POD}.containers.0.env"
    yield OnSmall(
        "the one broker syncs what it acknowledges, for want of copies",
        "StatefulSet/kafka",
        env,
        partial(_set_to, "KAFKA_LOG_FLUSH_INTERVAL_MESSAGES", "1"),
        ([],),
    )
    yield OnSmall(
        "a misspelt topic is not made by using it",
        "StatefulSet/kafka",
        env,
        partial(_set_to, "KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false"),
        ([],),
    )
    yield OnSmall(
        "the passwords of the roles are those that the services use",
        "StatefulSet/postgres",
        env,
        lambda found: all(
            {
                "name": f"{service.upper()}_PASSWORD",
                "valueFrom": {"secretKeyRef": {"name": f"{service}-database", "key": "password"}},
            }
            in found
            for service in SERVICES
        ),
        ([],),
    )
    yield OnSmall(
        "the roles are made with the database",
        "StatefulSet/postgres",
        f"{POD}.containers.0.volumeMounts",
        lambda mounts: any(m["mountPath"] == "/docker-entrypoint-initdb.d" for m in mounts),
        ([],),
    )


def _postgres() -> Iterator[AnyRule]:
    cluster = "Cluster/postgres"
    yield OnProduction(
        "a commit is on two machines, or is not answered",
        cluster,
        "spec.postgresql.synchronous",
        equals({"method": "any", "number": 1, "dataDurability": "required"}),
        ({"method": "any", "number": 1, "dataDurability": "preferred"},),
    )
    yield OnProduction(
        "the database has standbys", cluster, "spec.instances", lambda n: n >= 3, (1, 2)
    )
    yield OnProduction(
        "each service has a role, whose password is in its Secret",
        cluster,
        "spec.managed.roles",
        equals(
            [
                {
                    "name": service,
                    "ensure": "present",
                    "login": True,
                    "passwordSecret": {"name": f"{service}-database"},
                }
                for service in SERVICES
            ]
        ),
        ([],),
    )
    yield OnProduction(
        "each role owns its schema and no other",
        "Database/groundswell",
        "spec.schemas",
        equals([{"name": name, "owner": name, "ensure": "present"} for name in SERVICES]),
        ([], [{"name": "incidents", "owner": "feedback", "ensure": "present"}]),
    )
    yield OnProduction(
        "the data outlive their manifest",
        "Database/groundswell",
        "spec.databaseReclaimPolicy",
        equals("retain"),
        ("delete",),
    )
    yield OnProduction(
        "the policies know the database's pods",
        cluster,
        "spec.inheritedMetadata.labels",
        equals({"groundswell/store": "postgres"}),
        ({},),
    )
    yield OnProduction(
        "standbys are in other zones where there are any",
        cluster,
        "spec.affinity",
        has(enablePodAntiAffinity=True, topologyKey="topology.kubernetes.io/zone"),
        ({"enablePodAntiAffinity": False},),
    )
    own = {"podSelector": {"matchLabels": {"cnpg.io/cluster": "postgres"}}}
    operator = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "cnpg-system"}}
    }
    sql, status = {"port": 5432, "protocol": "TCP"}, {"port": 8000, "protocol": "TCP"}
    yield OnProduction(
        "the database is open to our pods, its operator and its peers",
        "NetworkPolicy/postgres",
        "spec.ingress",
        equals(
            [
                {"from": [OURS], "ports": [sql]},
                {"from": [own, operator], "ports": [sql, status]},
                {"from": [METRICS], "ports": [{"port": 9187, "protocol": "TCP"}]},
            ]
        ),
        ([{}], [{"from": [ANYWHERE], "ports": [sql]}]),
    )
    yield OnProduction(
        "the database calls its peers and the API server",
        "NetworkPolicy/postgres",
        "spec.egress",
        equals([{"to": [own], "ports": [sql, status]}, NAMES, API_SERVER]),
        ([{}],),
    )


def _kafka() -> Iterator[AnyRule]:
    broker = "Kafka/events"
    yield OnProduction(
        "an acknowledged record is on two brokers at least",
        broker,
        "spec.kafka.config",
        lambda config: (
            config["min.insync.replicas"] == 2
            and config["offsets.topic.replication.factor"] == 3
            and config["unclean.leader.election.enable"] is False
            and config["auto.create.topics.enable"] is False
        ),
        (
            {
                "min.insync.replicas": 1,
                "offsets.topic.replication.factor": 3,
                "unclean.leader.election.enable": False,
                "auto.create.topics.enable": False,
            },
        ),
    )
    yield OnProduction(
        "who talks to the brokers says who it is, over TLS",
        broker,
        "spec.kafka.listeners",
        lambda listeners: all(
            one["tls"] is True
            and one["authentication"] == {"type": "scram-sha-512"}
            and one["type"] == "internal"
            for one in listeners
        ),
        ([{"name": "plain", "port": 9092, "type": "internal", "tls": False}],),
    )
    yield OnProduction(
        "workers and KEDA reach the brokers, and nobody else",
        broker,
        "spec.kafka.listeners.0.networkPolicyPeers",
        equals(
            [
                WORKERS,
                {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}},
            ]
        ),
        ([], [ANYWHERE]),
    )
    yield OnProduction(
        "the brokers ask what a user may do",
        broker,
        "spec.kafka.authorization",
        equals({"type": "simple"}),
        ({},),
    )
    yield OnProduction(
        "copies are in other zones where there are any",
        broker,
        "spec.kafka.rack.topologyKey",
        equals("topology.kubernetes.io/zone"),
        ("kubernetes.io/arch",),
    )
    pool = "KafkaNodePool/nodes"
    yield OnProduction("there are three brokers", pool, "spec.replicas", within(3, 9), (1,))
    yield OnProduction(
        "a deleted pool leaves its data",
        pool,
        "spec.storage.volumes.0.deleteClaim",
        equals(False),
        (True,),
    )
    yield OnProduction(
        "the policies know the brokers' pods",
        pool,
        "spec.template.pod.metadata.labels",
        equals({"groundswell/store": "kafka"}),
        ({},),
    )
    for target, path, wanted in (
        (pool, "spec.template.pod.securityContext", RESTRICTED_POD),
        (pool, "spec.template.kafkaContainer.securityContext", RESTRICTED_BOX),
        (broker, "spec.entityOperator.template.pod.securityContext", RESTRICTED_POD),
        (
            broker,
            "spec.entityOperator.template.topicOperatorContainer.securityContext",
            RESTRICTED_BOX,
        ),
        (
            broker,
            "spec.entityOperator.template.userOperatorContainer.securityContext",
            RESTRICTED_BOX,
        ),
    ):
        yield OnProduction(
            f"{target}: {path} is what the namespace demands", target, path, equals(wanted), ({},)
        )
    own = {"podSelector": {"matchLabels": {"strimzi.io/cluster": "events"}}}
    yield OnProduction(
        "the brokers call their peers and the API server",
        "NetworkPolicy/kafka",
        "spec.egress",
        equals([{"to": [own]}, NAMES, API_SERVER]),
        ([{}],),
    )


def _scaling() -> Iterator[AnyRule]:
    for service, role in PROCESSES:
        name = f"{service}-{role}"
        kind, least, most = (
            ("HorizontalPodAutoscaler", "minReplicas", "maxReplicas")
            if role == "api"
            else ("ScaledObject", "minReplicaCount", "maxReplicaCount")
        )
        target = f"{kind}/{name}"
        yield OnProduction(
            f"{name}: is scaled", target, "spec.scaleTargetRef.name", equals(name), ("other",)
        )
        yield OnProduction(
            f"{name}: is never alone", target, f"spec.{least}", lambda n: n >= 2, (0, 1)
        )
        yield OnProduction(f"{name}: is bounded", target, f"spec.{most}", within(2, 6), (100,))
        yield OnProduction(
            f"{name}: the memory asked for is the memory granted",
            f"Deployment/{name}",
            f"{POD}.containers.0.resources",
            lambda r: r["requests"]["memory"] == r["limits"]["memory"],
            ({"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}},),
        )
        if role == "worker":
            yield from _scaled_by_lag(service, target)


def _scaled_by_lag(service: str, target: str) -> Iterator[AnyRule]:
    name = f"{service}-worker"
    yield OnProduction(
        f"{name}: who can't ask for the lag takes none away",
        target,
        "spec.fallback",
        has(replicas=2, behavior="currentReplicasIfHigher"),
        ({"replicas": 0},),
    )
    yield OnProduction(
        f"{name}: a consumer without a partition is of no use",
        target,
        "spec.triggers",
        lambda triggers: all(t["metadata"]["allowIdleConsumers"] == "false" for t in triggers),
        ([{"metadata": {"allowIdleConsumers": "true"}}],),
    )
    yield OnProduction(
        f"{name}: a group that never committed has everything before it",
        target,
        "spec.triggers",
        lambda triggers: all(t["metadata"]["offsetResetPolicy"] == "earliest" for t in triggers),
        ([{"metadata": {"offsetResetPolicy": "latest"}}],),
    )
    yield OnProduction(
        f"{name}: logs in to the bus as its service",
        f"Deployment/{name}",
        f"{POD}.containers.0.env",
        lambda env: (
            {"name": "GROUNDSWELL_KAFKA_SASL_USERNAME", "value": f"{service}-bus"} in env
            and {
                "name": "GROUNDSWELL_KAFKA_SASL_PASSWORD",
                "valueFrom": {"secretKeyRef": {"name": f"{service}-bus", "key": "password"}},
            }
            in env
            and {"name": "GROUNDSWELL_KAFKA_SECURITY_PROTOCOL", "value": "SASL_SSL"} in env
        ),
        ([],),
    )


def store_rules() -> Iterator[AnyRule]:
    """All of them, each for the overlay that has the store."""
    yield from _small()
    yield from _postgres()
    yield from _kafka()
    yield from _scaling()
