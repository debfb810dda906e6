"""The shape of the custom resources of the stores and their scaling: Strimzi, CloudNativePG, KEDA.

As in `custom_resources`: the fields in use, and no others.
"""

from typing import Any

from tests.deploy.custom_resources import LABELS, PORT, TEXT, resource, several, shape

COUNT = {"type": "integer", "minimum": 1}
YES_OR_NO = {"type": "boolean"}
SIZE = {"type": "string", "pattern": r"^\d+(Mi|Gi|Ti)$"}
RESOURCES = shape(
    "requests limits",
    requests=shape("cpu memory", cpu=TEXT, memory=SIZE),
    limits=shape("cpu memory", cpu=TEXT, memory=SIZE),
)
CONFIG = {
    "type": "object",
    "additionalProperties": {"type": ["string", "integer", "boolean"]},
    "minProperties": 1,
}
_pod_security = shape(
    "runAsNonRoot seccompProfile",
    runAsNonRoot=YES_OR_NO,
    seccompProfile=shape("type", type={"const": "RuntimeDefault"}),
)
_container = shape(
    "securityContext",
    securityContext=shape(
        "allowPrivilegeEscalation capabilities",
        allowPrivilegeEscalation=YES_OR_NO,
        capabilities=shape("drop", drop=several(TEXT)),
    ),
)
_expression = shape(
    "key operator values", key=TEXT, operator={"enum": ["In", "NotIn"]}, values=several(TEXT)
)
_selector = shape(matchLabels=LABELS, matchExpressions=several(_expression))
_peer = shape(podSelector=_selector, namespaceSelector=_selector)

_listener = shape(
    "name port type tls",
    name={"type": "string", "pattern": "^[a-z0-9]{1,11}$"},
    # 9090 and 9091 are the brokers' own, 9404 and 9999 are for metrics.
    port={**PORT, "minimum": 9092, "not": {"enum": [9404, 9999]}},
    type={"enum": ["internal"]},
    tls=YES_OR_NO,
    authentication=shape("type", type={"enum": ["scram-sha-512", "tls"]}),
    networkPolicyPeers=several(_peer),
)
_kafka = shape(
    "kafka entityOperator",
    kafka=shape(
        "listeners config",
        listeners=several(_listener),
        authorization=shape("type", type={"const": "simple"}),
        rack=shape("topologyKey", topologyKey=TEXT),
        config=CONFIG,
    ),
    entityOperator=shape(
        "topicOperator userOperator",
        topicOperator=shape(),
        userOperator=shape(),
        template=shape(
            pod=shape(securityContext=_pod_security),
            topicOperatorContainer=_container,
            userOperatorContainer=_container,
        ),
    ),
)
_volume = shape(
    "id type size",
    id={"type": "integer", "minimum": 0},
    type={"const": "persistent-claim"},
    size=SIZE,
    deleteClaim=YES_OR_NO,
    kraftMetadata={"const": "shared"},
)
_node_pool = shape(
    "replicas roles storage",
    replicas=COUNT,
    roles=several({"enum": ["broker", "controller"]}),
    storage=shape("type volumes", type={"const": "jbod"}, volumes=several(_volume)),
    resources=RESOURCES,
    template=shape(
        pod=shape(metadata=shape("labels", labels=LABELS), securityContext=_pod_security),
        kafkaContainer=_container,
    ),
)
_topic = shape("partitions replicas", partitions=COUNT, replicas=COUNT, config=CONFIG)
_acl = shape(
    "resource operations",
    resource=shape(
        "type name patternType",
        type={"enum": ["topic", "group"]},
        name=TEXT,
        patternType={"enum": ["literal", "prefix"]},
    ),
    operations=several({"enum": ["Read", "Write", "Describe", "Create", "All"]}),
)
_user = shape(
    "authentication authorization",
    authentication=shape("type", type={"enum": ["scram-sha-512", "tls"]}),
    authorization=shape("type acls", type={"const": "simple"}, acls=several(_acl)),
)

_role = shape(
    "name ensure login passwordSecret",
    name=TEXT,
    ensure={"enum": ["present", "absent"]},
    login=YES_OR_NO,
    passwordSecret=shape("name", name=TEXT),
)
_cluster = shape(
    "instances storage",
    instances=COUNT,
    inheritedMetadata=shape(labels=LABELS),
    bootstrap=shape("initdb", initdb=shape("database owner", database=TEXT, owner=TEXT)),
    managed=shape("roles", roles=several(_role)),
    postgresql=shape(
        synchronous=shape(
            "method number",
            method={"enum": ["any", "first"]},
            number=COUNT,
            dataDurability={"enum": ["required", "preferred"]},
        ),
        parameters={"type": "object", "additionalProperties": TEXT},
    ),
    affinity=shape(
        enablePodAntiAffinity=YES_OR_NO,
        podAntiAffinityType={"enum": ["preferred", "required"]},
        topologyKey=TEXT,
    ),
    storage=shape("size", size=SIZE),
    walStorage=shape("size", size=SIZE),
    resources=RESOURCES,
)
_schema = shape("name owner", name=TEXT, owner=TEXT, ensure={"enum": ["present", "absent"]})
_database = shape(
    "name owner cluster",
    name=TEXT,
    owner=TEXT,
    cluster=shape("name", name=TEXT),
    databaseReclaimPolicy={"enum": ["retain", "delete"]},
    schemas=several(_schema),
)

_taken = several(shape("parameter name key", parameter=TEXT, name=TEXT, key=TEXT))
_trigger = shape(
    "type metadata authenticationRef",
    type={"const": "kafka"},
    metadata=shape(
        "bootstrapServers consumerGroup topic lagThreshold",
        bootstrapServers=TEXT,
        consumerGroup=TEXT,
        topic=TEXT,
        # KEDA takes text only.
        lagThreshold={"type": "string", "pattern": r"^\d+$"},
        offsetResetPolicy={"enum": ["earliest", "latest"]},
        allowIdleConsumers={"enum": ["true", "false"]},
        sasl={"enum": ["none", "plaintext", "scram_sha256", "scram_sha512"]},
        tls={"enum": ["enable", "disable"]},
    ),
    authenticationRef=shape("name", name=TEXT),
)
_scaled = shape(
    "scaleTargetRef triggers",
    scaleTargetRef=shape("name", apiVersion=TEXT, kind=TEXT, name=TEXT),
    minReplicaCount={"type": "integer", "minimum": 0},
    maxReplicaCount=COUNT,
    pollingInterval=COUNT,
    cooldownPeriod=COUNT,
    fallback=shape(
        "failureThreshold replicas",
        failureThreshold=COUNT,
        replicas=COUNT,
        behavior={"enum": ["static", "currentReplicas", "currentReplicasIfHigher"]},
    ),
    triggers=several(_trigger),
)

STORE_SCHEMAS: dict[str, dict[str, Any]] = {
    "Kafka": resource("kafka.strimzi.io/v1", _kafka),
    "KafkaNodePool": resource("kafka.strimzi.io/v1", _node_pool),
    "KafkaTopic": resource("kafka.strimzi.io/v1", _topic),
    "KafkaUser": resource("kafka.strimzi.io/v1", _user),
    "Cluster": resource("postgresql.cnpg.io/v1", _cluster),
    "Database": resource("postgresql.cnpg.io/v1", _database),
    "ScaledObject": resource("keda.sh/v1alpha1", _scaled),
    "TriggerAuthentication": resource(
        "keda.sh/v1alpha1", shape(configMapTargetRef=_taken, secretTargetRef=_taken)
    ),
}
