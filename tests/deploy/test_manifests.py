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
from tests.deploy.production_rules import PRODUCTION_RULES
from tests.deploy.rendering import GONE, OVERLAYS, Manifest, at, find, kubectl, rendered, spoiled
from tests.deploy.rules import RULES, Rule

OLDEST_KUBERNETES = "1.30"  # the first with the sleep action of preStop on by default
VERSIONS = (OLDEST_KUBERNETES, kubernetes_validate.latest_version())

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
PRODUCTION = SMALL | {
    "ConfigMap/groundswell-dashboard",
    "ServiceMonitor/groundswell",
    "PrometheusRule/groundswell",
    "HTTPRoute/groundswell",
}
EXPECTED = {"small": SMALL, "production": PRODUCTION}


def overlays_and_rules() -> Iterator[tuple[str, Rule]]:
    return ((overlay, rule) for rule in [*RULES, *PRODUCTION_RULES] for overlay in rule.overlays)


def ways_to_break() -> Iterator[tuple[str, str, Rule, object]]:
    """How, where, which rule, and what to put in the place it looks at."""
    for overlay, rule in overlays_and_rules():
        yield "removed", overlay, rule, GONE
        for number, value in enumerate(rule.broken, start=1):
            yield f"broken {number}", overlay, rule, value


def name_of(manifest: Manifest) -> str:
    """Kind and name, without the hash of the content that kustomize adds to generated names."""
    name = re.sub(r"-[0-9a-z]{10}$", "", manifest["metadata"]["name"])
    return f"{manifest['kind']}/{name}"


@pytest.mark.parametrize(
    ("overlay", "rule"),
    [pytest.param(o, rule, id=f"{o}: {rule.sentence}") for o, rule in overlays_and_rules()],
)
def test_manifest_keeps_the_rule(overlay: str, rule: Rule) -> None:
    assert rule.kept_by(rendered(overlay)), f"{rule.target} at {rule.path}: {rule.sentence}"


@pytest.mark.parametrize(
    ("overlay", "rule", "value"),
    [pytest.param(o, r, v, id=f"{o}: {r.sentence}: {how}") for how, o, r, v in ways_to_break()],
)
def test_broken_rule_is_noticed(overlay: str, rule: Rule, value: object) -> None:
    assert not rule.kept_by(spoiled(rendered(overlay), rule.target, rule.path, value))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlay_renders_these_objects_and_no_others(overlay: str) -> None:
    names = [name_of(manifest) for manifest in rendered(overlay)]
    assert sorted(names) == sorted(EXPECTED[overlay]), "a new object needs rules of its own here"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_knows_every_field(overlay: str, version: str) -> None:
    native = [m for m in rendered(overlay) if m["kind"] not in SCHEMAS]
    assert len(native) >= len(SMALL)
    for manifest in native:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_misspelt_field_is_noticed() -> None:
    objects = spoiled(rendered("small"), "StatefulSet/groundswell", "spec.replica", 1)
    manifest = find(objects, "StatefulSet/groundswell")
    assert manifest
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(manifest, OLDEST_KUBERNETES, strict=True)


@pytest.mark.parametrize("kind", sorted(SCHEMAS))
def test_custom_resource_has_its_operators_shape(kind: str) -> None:
    manifest = find(rendered("production"), f"{kind}/groundswell")
    assert manifest
    jsonschema.validate(manifest, SCHEMAS[kind])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**manifest, "spec": {**manifest["spec"], "unknown": 1}}, SCHEMAS[kind])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_stands_in_one_namespace(overlay: str) -> None:
    inside = [m for m in rendered(overlay) if m["kind"] != "Namespace"]
    assert {m["metadata"].get("namespace") for m in inside} == {"groundswell"}


@pytest.mark.parametrize("overlay", OVERLAYS)
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


def test_production_has_more_room_than_a_laptop() -> None:
    path = "spec.volumeClaimTemplates.0.spec.resources.requests.storage"
    small, production = (
        int(at(find(rendered(overlay), "StatefulSet/groundswell"), path).removesuffix("Gi"))
        for overlay in OVERLAYS
    )
    assert small <= 2
    assert production >= 10 * small


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_secret_and_no_key_is_in_the_manifests(overlay: str) -> None:
    objects = rendered(overlay)
    assert all(m["kind"] != "Secret" for m in objects)
    assert (
        re.search(r"(?i)password|api[_-]?key\b.*[:=]|BEGIN [A-Z ]*PRIVATE", json.dumps(objects))
        is None
    )


def test_missing_kubectl_fails_with_the_package_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(pytest.fail.Exception, match="Install the package kubernetes-client"):
        kubectl()
