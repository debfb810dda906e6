"""The rendered manifests: valid for the cluster, complete, and keeping every rule.

Each rule is also broken on purpose, once by removal and once in each way it names, and has to notice.
"""

import json
import re
from collections.abc import Iterator

import jsonschema
import kubernetes_validate
import pytest

from tests.deploy.custom_resources import SCHEMAS
from tests.deploy.distributed_rules import PROCESSES, distributed_rules
from tests.deploy.production_rules import PRODUCTION_RULES
from tests.deploy.rendering import (
    DISTRIBUTED,
    OVERLAYS,
    STANDALONE,
    Manifest,
    at,
    find,
    kubectl,
    rendered,
    spoiled,
)
from tests.deploy.rules import Rule
from tests.deploy.standalone_rules import STANDALONE_RULES
from tests.deploy.store_resources import STORE_SCHEMAS
from tests.deploy.store_rules import store_rules

OLDEST_KUBERNETES = "1.30"  # the first with the sleep action of preStop on by default
VERSIONS = (OLDEST_KUBERNETES, kubernetes_validate.latest_version())
CUSTOM = SCHEMAS | STORE_SCHEMAS
RULES = [*STANDALONE_RULES, *PRODUCTION_RULES, *distributed_rules(), *store_rules()]

SMALL = {
    "Namespace/groundswell",
    "ServiceAccount/groundswell",
    "ConfigMap/groundswell-settings",
    "Service/groundswell",
    "StatefulSet/groundswell",
    "PodDisruptionBudget/groundswell",
    "NetworkPolicy/default-deny",
    "NetworkPolicy/groundswell",
}
MONITORING = {
    "ConfigMap/groundswell-dashboard",
    "ServiceMonitor/groundswell",
    "PrometheusRule/groundswell",
    "HTTPRoute/groundswell",
}
DISTRIBUTED_BASE = {
    "Namespace/groundswell",
    "ConfigMap/groundswell-settings",
    "NetworkPolicy/default-deny",
    "NetworkPolicy/migrate",
    "ServiceAccount/migrate",
    "Job/migrate-0-1-0",
    *(
        f"{kind}/{service}-{role}"
        for service, role in PROCESSES
        for kind in (
            "Deployment",
            "Service",
            "ServiceAccount",
            "PodDisruptionBudget",
            "NetworkPolicy",
        )
    ),
}
EXPECTED = {
    "small": SMALL,
    "production": SMALL | MONITORING,
    "distributed-small": DISTRIBUTED_BASE
    | {"ConfigMap/postgres-roles"}
    | {
        f"{kind}/{store}"
        for store in ("postgres", "kafka")
        for kind in ("ServiceAccount", "StatefulSet", "NetworkPolicy")
    }
    | {"Service/postgres-rw", "Service/kafka"},
    "distributed-production": DISTRIBUTED_BASE
    | MONITORING
    | {"NetworkPolicy/postgres", "NetworkPolicy/kafka", "ConfigMap/autoscaler"}
    | {"Cluster/postgres", "Database/groundswell", "Kafka/events", "KafkaNodePool/nodes"}
    | {f"KafkaTopic/{name}.events" for name in ("incidents", "feedback", "roadmap")}
    | {f"KafkaUser/{name}-bus" for name in ("incidents", "feedback", "roadmap")}
    | {"KafkaUser/autoscaler", "TriggerAuthentication/events"}
    | {f"HorizontalPodAutoscaler/{s}-{role}" for s, role in PROCESSES if role == "api"}
    | {f"ScaledObject/{s}-{role}" for s, role in PROCESSES if role == "worker"},
}


def overlays_and_rules() -> Iterator[tuple[str, Rule]]:
    return ((overlay, rule) for rule in RULES for overlay in rule.overlays)


def custom() -> Iterator[tuple[str, Manifest]]:
    return (
        (overlay, manifest)
        for overlay in OVERLAYS
        for manifest in rendered(overlay)
        if manifest["kind"] in CUSTOM
    )


def name_of(manifest: Manifest) -> str:
    """Kind and name, without the hash of the content that kustomize adds to generated names."""
    name = manifest["metadata"]["name"]
    if manifest["kind"] == "ConfigMap":
        name = re.sub(r"-[0-9a-z]{10}$", "", name)
    return f"{manifest['kind']}/{name}"


@pytest.mark.parametrize(
    ("overlay", "rule"),
    [pytest.param(o, rule, id=f"{o}: {rule.sentence}") for o, rule in overlays_and_rules()],
)
def test_manifests_keep_the_rule_and_notice_when_it_is_broken(overlay: str, rule: Rule) -> None:
    objects = rendered(overlay)
    assert rule.kept_by(objects), f"{rule.target} at {rule.path}: {rule.sentence}"
    assert not rule.unnoticed(objects)


def test_rules_have_sentences_of_their_own() -> None:
    told = [(overlay, rule.sentence) for overlay, rule in overlays_and_rules()]
    assert len(set(told)) == len(told)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlay_renders_these_objects_and_no_others(overlay: str) -> None:
    names = [name_of(manifest) for manifest in rendered(overlay)]
    assert sorted(names) == sorted(EXPECTED[overlay]), "a new object needs rules of its own here"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_knows_every_field(overlay: str, version: str) -> None:
    native = [m for m in rendered(overlay) if m["kind"] not in CUSTOM]
    assert len(native) >= len(SMALL)
    for manifest in native:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_misspelt_field_is_noticed() -> None:
    objects = spoiled(rendered("small"), "StatefulSet/groundswell", "spec.replica", 1)
    manifest = find(objects, "StatefulSet/groundswell")
    assert manifest
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(manifest, OLDEST_KUBERNETES, strict=True)


@pytest.mark.parametrize(
    "manifest", [pytest.param(m, id=f"{overlay}: {name_of(m)}") for overlay, m in custom()]
)
def test_custom_resource_has_its_operators_shape(manifest: Manifest) -> None:
    schema = CUSTOM[manifest["kind"]]
    jsonschema.validate(manifest, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**manifest, "spec": {**manifest["spec"], "unknown": 1}}, schema)


def test_every_shape_of_a_custom_resource_is_of_use() -> None:
    assert {manifest["kind"] for _, manifest in custom()} == set(CUSTOM)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_stands_in_one_namespace(overlay: str) -> None:
    inside = [m for m in rendered(overlay) if m["kind"] != "Namespace"]
    assert {m["metadata"].get("namespace") for m in inside} == {"groundswell"}


@pytest.mark.parametrize("overlay", STANDALONE)
def test_pod_template_settings_and_selectors_fit_together(overlay: str) -> None:
    objects = rendered(overlay)
    pods = find(objects, "StatefulSet/groundswell")
    settings = find(objects, "ConfigMap/groundswell-settings-*")
    service = find(objects, "Service/groundswell")
    assert pods
    assert settings
    assert service
    box = at(pods, "spec.template.spec.containers.0")
    assert at(box, "envFrom.0.configMapRef.name") == settings["metadata"]["name"]
    assert str(at(box, "ports.0.containerPort")) == settings["data"]["GROUNDSWELL_PORT"]
    assert at(box, "ports.0.name") == at(service, "spec.ports.0.targetPort")
    assert at(pods, "spec.serviceName") == service["metadata"]["name"]
    labels = at(pods, "spec.template.metadata.labels")
    assert labels.items() >= at(pods, "spec.selector.matchLabels").items()
    assert labels.items() >= at(service, "spec.selector").items()
    assert at(pods, "spec.volumeClaimTemplates.0.metadata.name") == "data"


@pytest.mark.parametrize("overlay", DISTRIBUTED)
@pytest.mark.parametrize(("service", "role"), PROCESSES)
def test_processes_pods_settings_and_selectors_fit_together(
    overlay: str, service: str, role: str
) -> None:
    objects = rendered(overlay)
    pods = find(objects, f"Deployment/{service}-{role}")
    settings = find(objects, "ConfigMap/groundswell-settings-*")
    assert settings
    box = at(pods, "spec.template.spec.containers.0")
    assert at(box, "envFrom") == [{"configMapRef": {"name": settings["metadata"]["name"]}}]
    assert str(at(box, "ports.0.containerPort")) == settings["data"]["GROUNDSWELL_PORT"]
    assert at(find(objects, f"Service/{service}-{role}"), "spec.ports.0.targetPort") == "http"
    labels = at(pods, "spec.template.metadata.labels")
    assert labels.items() >= at(pods, "spec.selector.matchLabels").items()


def test_production_has_more_room_than_a_laptop() -> None:
    path = "spec.volumeClaimTemplates.0.spec.resources.requests.storage"
    small, production = (
        int(at(find(rendered(overlay), "StatefulSet/groundswell"), path).removesuffix("Gi"))
        for overlay in STANDALONE
    )
    assert small <= 2
    assert production >= 10 * small


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_secret_and_no_key_is_in_the_manifests(overlay: str) -> None:
    objects = rendered(overlay)
    assert all(m["kind"] != "Secret" for m in objects)
    text = json.dumps([m for m in objects if name_of(m) != "ConfigMap/postgres-roles"])
    for written in re.findall(r'"name": "[A-Z_]*(?:PASSWORD|SECRET|KEY|PEPPER)", "value"', text):
        pytest.fail(f"{written} is written down")
    assert re.search(r"://[^/@\"]*:[^/@\"]+@|BEGIN [A-Z ]*PRIVATE|\bgs_[0-9a-f]{10}_", text) is None


def test_missing_kubectl_fails_with_the_package_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(pytest.fail.Exception, match="Install the package kubernetes-client"):
        kubectl()
