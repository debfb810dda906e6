"""What code and manifests have to say alike: processes, topics, groups, rights, settings, secrets."""

import importlib
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from services.engines import SERVICES, TOPICS
from services.events import subscriptions
from services.gateway.access.domain import is_strong
from services.listening import StartRefused
from services.serve import serving
from shared.bus.kafka_client import KafkaOptions
from shared.database import LEADERS, READERS
from shared.settings import Settings
from tests.deploy.composed import container_of
from tests.deploy.distributed_rules import PROCESSES
from tests.deploy.rendering import DISTRIBUTED, ROOT, Manifest, at, find, rendered

PRODUCTION = "distributed-production"
DAY = 24 * 3600 * 1000
STRIMZI_KNOWS = ("KafkaUser", "TriggerAuthentication")
"""Kinds whose secrets an operator makes or reads."""

WITH_SETTINGS = (
    "shared.settings",
    "shared.upkeep",
    "shared.bus.kafka_client",
    "services.gateway.settings",
    "services.incidents.settings",
)


def of_kind(overlay: str, kind: str) -> list[Manifest]:
    return [manifest for manifest in rendered(overlay) if manifest["kind"] == kind]


def containers(overlay: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every container of Groundswell itself, with the name of what it belongs to."""
    for manifest in rendered(overlay):
        if manifest["kind"] in ("Deployment", "Job"):
            for container in at(manifest, "spec.template.spec.containers"):
                yield manifest["metadata"]["name"], container


def known_settings() -> set[str]:
    """Every variable that some settings class of ours reads."""
    names: set[str] = set()
    for module in WITH_SETTINGS:
        for found in vars(importlib.import_module(module)).values():
            if isinstance(found, type) and issubclass(found, BaseSettings):
                prefix = found.model_config.get("env_prefix", "")
                names |= {f"{prefix}{field}".upper() for field in found.model_fields}
    return names


def owner_of(group: str) -> str:
    return group.partition(".")[0]


def written(topic: str) -> str:
    """The one service that publishes to it."""
    return topic.removesuffix(".events")


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("role", ["api", "worker"])
async def test_every_role_that_a_service_has_is_deployed_and_no_other(
    monkeypatch: pytest.MonkeyPatch, service: str, role: str
) -> None:
    monkeypatch.setenv("GROUNDSWELL_DATABASE", "postgresql://nobody:nothing@127.0.0.1:9/none")
    settings = Settings(bus="kafka://127.0.0.1:9", port=0, internal_secret="0" * 64)  # pyright: ignore[reportArgumentType]
    with pytest.raises(StartRefused) as refused:
        async with serving(settings, service, role):
            pass
    reached_its_database = f"database of {service}" in str(refused.value)
    assert reached_its_database == ((service, role) in PROCESSES)


def test_every_topic_has_a_manifest_as_the_services_would_make_it() -> None:
    options = KafkaOptions()
    settings = at(find(rendered(PRODUCTION), "ConfigMap/groundswell-settings-*"), "data")
    assert int(settings["GROUNDSWELL_KAFKA_PARTITIONS"]) == options.partitions
    assert int(settings["GROUNDSWELL_KAFKA_RETENTION_DAYS"]) == options.retention_days
    assert int(settings["GROUNDSWELL_KAFKA_REPLICATION"]) == 3
    topics = of_kind(PRODUCTION, "KafkaTopic")
    assert {topic["metadata"]["name"] for topic in topics} == set(TOPICS)
    for topic in topics:
        assert topic["spec"] == {
            "partitions": options.partitions,
            "replicas": 3,
            "config": {
                "cleanup.policy": "delete",
                "min.insync.replicas": 2,
                "retention.ms": options.retention_days * DAY,
            },
        }


@pytest.mark.parametrize("service", [s for s in SERVICES if s != "gateway"])
def test_rights_on_the_bus_are_those_of_the_catalogue(service: str) -> None:
    mine = [sub for sub in subscriptions() if owner_of(sub.group) == service]
    wanted = {("topic", topic, "Write") for topic in TOPICS if written(topic) == service}
    wanted |= {("topic", topic, "Read") for sub in mine for topic in sub.topics}
    wanted |= {("topic", topic, "Describe") for _, topic, _ in wanted}
    wanted |= {("group", sub.group, "Read") for sub in mine}
    assert rights(f"KafkaUser/{service}-bus") == wanted


def test_autoscaler_looks_at_every_lag_and_reads_nothing() -> None:
    wanted = {("topic", topic, "Describe") for topic in TOPICS}
    wanted |= {("group", sub.group, "Describe") for sub in subscriptions()}
    assert rights("KafkaUser/autoscaler") == wanted


def rights(user: str) -> set[tuple[str, str, str]]:
    acls = at(find(rendered(PRODUCTION), user), "spec.authorization.acls")
    assert all(acl["resource"]["patternType"] == "literal" for acl in acls)
    return {
        (acl["resource"]["type"], acl["resource"]["name"], operation)
        for acl in acls
        for operation in acl["operations"]
    }


@pytest.mark.parametrize("service", [s for s in SERVICES if s != "gateway"])
def test_workers_are_scaled_by_the_lag_of_their_subscriptions(service: str) -> None:
    scaled = find(rendered(PRODUCTION), f"ScaledObject/{service}-worker")
    looked_at = {
        (t["metadata"]["consumerGroup"], t["metadata"]["topic"])
        for t in at(scaled, "spec.triggers")
    }
    mine = [sub for sub in subscriptions() if owner_of(sub.group) == service]
    assert looked_at == {(sub.group, topic) for sub in mine for topic in sub.topics}
    assert at(scaled, "spec.maxReplicaCount") <= KafkaOptions().partitions


@pytest.mark.parametrize("overlay", DISTRIBUTED)
def test_every_setting_in_the_manifests_is_one_that_the_code_reads(overlay: str) -> None:
    known = known_settings()
    stated = set(at(find(rendered(overlay), "ConfigMap/groundswell-settings-*"), "data"))
    for _, container in containers(overlay):
        stated |= {variable["name"] for variable in container["env"]}
    assert stated <= known
    assert {"GROUNDSWELL_DATABASE", "GROUNDSWELL_PEPPER", "GROUNDSWELL_KAFKA_CA_FILE"} <= known


@pytest.mark.parametrize("overlay", DISTRIBUTED)
def test_settings_of_the_manifests_are_accepted(
    monkeypatch: pytest.MonkeyPatch, overlay: str
) -> None:
    settings = at(find(rendered(overlay), "ConfigMap/groundswell-settings-*"), "data")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    read = Settings()
    assert (read.host, read.port, read.log_format) == ("0.0.0.0", 8080, "json")
    assert read.kafka_servers() == bootstrap(overlay)
    assert KafkaOptions().replication == (1 if overlay == "distributed-small" else 3)


def bootstrap(overlay: str) -> str:
    if overlay == "distributed-small":
        service = find(rendered(overlay), "Service/kafka")
        return f"kafka:{at(service, 'spec.ports.0.port')}"
    kafka = find(rendered(overlay), "Kafka/*")
    assert kafka
    port = at(kafka, "spec.kafka.listeners.0.port")
    return f"{kafka['metadata']['name']}-kafka-bootstrap:{port}"


@pytest.mark.parametrize("overlay", DISTRIBUTED)
def test_gateway_finds_the_services_where_they_are(overlay: str) -> None:
    settings = at(find(rendered(overlay), "ConfigMap/groundswell-settings-*"), "data")
    for service in ("incidents", "feedback", "roadmap"):
        port = at(find(rendered(overlay), f"Service/{service}-api"), "spec.ports.0.port")
        url = settings[f"GROUNDSWELL_{service.upper()}_URL"]
        assert url == f"http://{service}-api:{port}"


def test_migration_in_production_leaves_the_topics_to_strimzi() -> None:
    for name, container in containers(PRODUCTION):
        bus = {"name": "GROUNDSWELL_BUS", "value": ""}
        assert (bus in container["env"]) == name.startswith("migrate")


@pytest.mark.parametrize("overlay", DISTRIBUTED)
def test_job_is_named_after_the_version_that_it_migrates_to(overlay: str) -> None:
    job = find(rendered(overlay), "Job/migrate-*")
    assert job
    images = {c["image"] for name, c in containers(overlay)}
    assert len(images) == 1, "one release, one image"
    version = images.pop().partition(":")[2]
    assert job["metadata"]["name"] == f"migrate-{version.replace('.', '-')}"


def test_database_has_room_for_every_connection_there_can_be() -> None:
    objects = rendered(PRODUCTION)
    most = 0
    for service, role in PROCESSES:
        kind, field = (
            ("HorizontalPodAutoscaler", "maxReplicas")
            if role == "api"
            else ("ScaledObject", "maxReplicaCount")
        )
        replicas = at(find(objects, f"{kind}/{service}-{role}"), f"spec.{field}")
        surge = at(
            find(objects, f"Deployment/{service}-{role}"), "spec.strategy.rollingUpdate.maxSurge"
        )
        each = 1 + READERS + (LEADERS if role == "worker" else 0)
        most += (replicas + surge) * each
    of_its_own = 20  # replication, the operator, people
    room = int(at(find(objects, "Cluster/postgres"), "spec.postgresql.parameters.max_connections"))
    assert room >= most + of_its_own


def made_secrets(shape: str) -> str:
    return subprocess.run(
        ["sh", ROOT / "deploy" / "new-secrets.sh", shape],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout


def taken_secrets(overlay: str) -> set[tuple[str, str]]:
    """Every key of a Secret that a pod reads."""
    text = yaml.safe_dump_all([m for m in rendered(overlay) if m["kind"] not in STRIMZI_KNOWS])
    found = re.findall(r"secretKeyRef:\n\s+key: (\S+)\n\s+name: (\S+)", text)
    return {(name, key) for key, name in found}


@pytest.mark.parametrize("overlay", DISTRIBUTED)
def test_new_secrets_are_those_that_the_manifests_name(overlay: str) -> None:
    made = {
        (secret["metadata"]["name"], key)
        for secret in yaml.safe_load_all(made_secrets("kubernetes"))
        if secret is not None
        for key in secret["stringData"]
    }
    by_strimzi = {(user["metadata"]["name"], "password") for user in of_kind(overlay, "KafkaUser")}
    taken = taken_secrets(overlay)
    assert taken >= {("api-keys", "pepper"), ("internal", "secret"), ("roadmap-database", "url")}
    assert not taken - made - by_strimzi


def test_new_secrets_are_long_never_twice_the_same_and_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = (list(yaml.safe_load_all(made_secrets("kubernetes"))) for _ in range(2))
    assert first != second
    data = {s["metadata"]["name"]: s["stringData"] for s in first if s is not None}
    values = [v for secret in data.values() for key, v in secret.items() if key != "username"]
    assert len(set(values)) == len(values)
    assert all(len(value) >= 64 for value in values)
    assert is_strong(data["api-keys"]["admin-key"])
    service = find(rendered("distributed-small"), "Service/postgres-rw")
    port = at(service, "spec.ports.0.port")
    for name in SERVICES:
        secret = data[f"{name}-database"]
        assert secret["username"] == name
        address = f"postgresql://{name}:{secret['password']}@postgres-rw:{port}/groundswell"
        assert secret["url"] == address
        monkeypatch.setenv("GROUNDSWELL_DATABASE", secret["url"])
        assert Settings().database_url(name).endswith(f"?schema={name}")


def test_cloudnativepg_calls_its_service_as_the_secrets_do() -> None:
    cluster = find(rendered(PRODUCTION), "Cluster/*")
    assert cluster
    assert f"{cluster['metadata']['name']}-rw" == "postgres-rw"
    database = find(rendered(PRODUCTION), "Database/*")
    assert at(database, "spec.name") == at(cluster, "spec.bootstrap.initdb.database")
    assert at(database, "spec.cluster.name") == cluster["metadata"]["name"]


@pytest.mark.parametrize("service", [s for s in SERVICES if s != "gateway"])
def test_authority_of_the_brokers_is_mounted_where_the_setting_says(service: str) -> None:
    pod = at(find(rendered(PRODUCTION), f"Deployment/{service}-worker"), "spec.template.spec")
    box = pod["containers"][0]
    stated = {v["name"]: v.get("value") for v in box["env"]}["GROUNDSWELL_KAFKA_CA_FILE"]
    volumes = {v["name"]: v["secret"] for v in pod["volumes"] if "secret" in v}
    there = {
        f"{mount['mountPath']}/{item['path']}": volumes[mount["name"]]["secretName"]
        for mount in box["volumeMounts"]
        if mount["name"] in volumes
        for item in volumes[mount["name"]]["items"]
    }
    assert there == {stated: authority()}


def authority() -> str:
    """The Secret in which Strimzi puts what signed the brokers' certificates."""
    kafka = find(rendered(PRODUCTION), "Kafka/*")
    assert kafka
    return f"{kafka['metadata']['name']}-cluster-ca-cert"


def test_strimzi_knows_which_cluster_is_meant() -> None:
    kafka = find(rendered(PRODUCTION), "Kafka/*")
    assert kafka
    for kind in ("KafkaNodePool", "KafkaTopic", "KafkaUser"):
        for manifest in of_kind(PRODUCTION, kind):
            assert manifest["metadata"]["labels"]["strimzi.io/cluster"] == kafka["metadata"]["name"]


def test_keda_asks_the_same_brokers_as_the_user_that_there_is() -> None:
    objects = rendered(PRODUCTION)
    host, port = bootstrap(PRODUCTION).split(":")
    login = find(objects, "TriggerAuthentication/*")
    assert login
    for scaled in of_kind(PRODUCTION, "ScaledObject"):
        for trigger in at(scaled, "spec.triggers"):
            assert trigger["metadata"]["bootstrapServers"] == f"{host}.groundswell.svc:{port}"
            assert trigger["metadata"]["sasl"] == "scram_sha512"
            assert trigger["metadata"]["tls"] == "enable"
            assert trigger["authenticationRef"]["name"] == login["metadata"]["name"]
    assert at(find(objects, "ConfigMap/autoscaler"), "data.username") == "autoscaler"
    taken = [*at(login, "spec.configMapTargetRef"), *at(login, "spec.secretTargetRef")]
    assert {(t["parameter"], t["name"], t["key"]) for t in taken} == {
        ("username", "autoscaler", "username"),
        ("password", "autoscaler", "password"),
        ("ca", authority(), "ca.crt"),
    }


WRITABLE = {
    "postgres": {"/var/lib/postgresql", "/var/run/postgresql", "/tmp"},
    "kafka": {"/var/lib/kafka/data", "/opt/kafka/config", "/opt/kafka/logs", "/tmp"},
}


@pytest.mark.parametrize("store", WRITABLE)
def test_store_can_write_where_its_image_does_and_nowhere_else(store: str) -> None:
    pod = at(find(rendered("distributed-small"), f"StatefulSet/{store}"), "spec")
    mounts = at(pod, "template.spec.containers.0.volumeMounts")
    writable = {m["mountPath"]: m["name"] for m in mounts if not m.get("readOnly")}
    assert set(writable) == WRITABLE[store]
    kept = {t["metadata"]["name"] for t in pod["volumeClaimTemplates"]}
    assert {path for path, name in writable.items() if name in kept} == {
        path for path in WRITABLE[store] if path.startswith("/var/lib/")
    }
    composed = container_of("compose.yaml", store)
    in_memory = {entry.split(":")[0] for entry in composed["tmpfs"]}
    volumes = {entry.split(":")[1] for entry in composed["volumes"]}
    assert in_memory | volumes == WRITABLE[store]
    assert volumes == {path for path in WRITABLE[store] if path.startswith("/var/lib/")}


@pytest.mark.parametrize("overlay", DISTRIBUTED)
def test_process_can_write_in_tmp_alone(overlay: str) -> None:
    for name, container in containers(overlay):
        writable = {m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")}
        assert writable == {"/tmp"}, name


def test_question_without_an_answer_makes_no_secret() -> None:
    done = subprocess.run(
        ["sh", ROOT / "deploy" / "new-secrets.sh"], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Say for what" in done.stderr
