"""The compose files: nothing reachable from outside, no secret in them, every container confined."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from services.gateway.access.domain import is_strong
from services.gateway.settings import GatewaySettings
from services.listening import STOP_SECONDS
from shared.bus.kafka_client import KafkaOptions
from shared.settings import Settings
from tests.deploy.composed import COMPOSE, FILES, composed, container_of, containers
from tests.deploy.distributed_rules import PROCESSES
from tests.deploy.rendering import ROOT, Rendered, at, find, rendered
from tests.deploy.rules import MARGIN_SECONDS, Rule, equals, has, within
from tests.deploy.test_agreement import known_settings, made_secrets

DISTRIBUTED, SINGLE = FILES
OURS = tuple(f"{service}-{role}" for service, role in PROCESSES)
STORES = ("postgres", "kafka")
NAMES = {
    DISTRIBUTED: (*STORES, "migrate", *OURS, "prometheus"),
    SINGLE: ("groundswell", "prometheus"),
}
PUBLISHED = {
    (DISTRIBUTED, "gateway-api"): 8080,
    (DISTRIBUTED, "prometheus"): 9090,
    (SINGLE, "groundswell"): 8080,
    (SINGLE, "prometheus"): 9090,
}
ASKED_FOR = re.compile(
    r"\$\{(GROUNDSWELL_[A-Z_]+):\?is not set; make the file \.env with: "
    r"sh deploy/new-secrets\.sh compose > \.env\}"
)


def seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))


def _no_default(environment: dict[str, str]) -> bool:
    """What is secret is asked for, in a sentence, and has no value that would do instead."""
    secret = re.compile(r"PASSWORD|SECRET|PEPPER|_KEY$|DATABASE$")
    return all(
        ASKED_FOR.search(value) is not None and "$" not in ASKED_FOR.sub("", value)
        for name, value in environment.items()
        if secret.search(name)
    )


def _confined(file: str, name: str) -> Iterator[Rule]:
    def rule(sentence: str, path: str, holds: Any, *broken: Any) -> Rule:
        return Rule(f"{name}: {sentence}", f"Container/{name}", path, holds, broken, (file,))

    yield rule("has a read-only root", "read_only", equals(True), False)
    yield rule("has no capability", "cap_drop", equals(["ALL"]), [])
    yield rule("can't gain privileges", "security_opt", equals(["no-new-privileges:true"]), [])
    yield rule("has bounded memory", "mem_limit", lambda limit: bool(limit), "")
    yield rule("has bounded processes", "pids_limit", within(1, 256), -1)
    yield rule("its /tmp is bounded", "tmpfs", lambda all: "/tmp:size=" in all[0], ["/tmp"])
    yield rule(
        "is of one version",
        "image",
        lambda image: re.search(r":v?\d+\.\d+(\.\d+)?$", image) is not None,
        "postgres",
        "postgres:latest",
    )
    if (file, name) in PUBLISHED:
        port = PUBLISHED[file, name]
        yield rule(
            "is published on loopback only",
            "ports",
            equals([f"127.0.0.1:{port}:{port}"]),
            [f"{port}:{port}"],
            [f"0.0.0.0:{port}:{port}"],
        )
    if name == "migrate":
        yield rule("is tried again a few times", "restart", equals("on-failure:5"), "always")
    else:
        yield rule("is probed", "healthcheck.test", lambda test: len(test) > 1, [])
        yield rule("comes back by itself", "restart", equals("unless-stopped"), "no")


def _distributed() -> Iterator[Rule]:
    def rule(sentence: str, target: str, path: str, holds: Any, *broken: Any) -> Rule:
        where = f"Container/{target}"
        return Rule(f"{target}: {sentence}", where, path, holds, broken, (DISTRIBUTED,))

    for service, role in PROCESSES:
        name = f"{service}-{role}"
        yield rule(
            "the command says which service and which role",
            name,
            "command",
            equals(["groundswell", "serve", service, "--role", role]),
            ["groundswell", "run"],
        )
        yield rule(
            "waits for the migration",
            name,
            "depends_on.migrate",
            has(condition="service_completed_successfully"),
            {"condition": "service_started"},
        )
    for name in (*OURS, "migrate"):
        yield rule(
            "has longer to stop than its longest stop",
            name,
            "stop_grace_period",
            lambda grace: seconds(grace) >= STOP_SECONDS + MARGIN_SECONDS,
            "10s",
        )
    for name in ("postgres", *OURS, "migrate"):
        yield rule(
            "has no secret of its own",
            name,
            "environment",
            _no_default,
            {"POSTGRES_PASSWORD": "postgres"},
            {"GROUNDSWELL_PEPPER": "${GROUNDSWELL_PEPPER:-0000}"},
            {"GROUNDSWELL_DATABASE": "postgresql://a:b@postgres:5432/groundswell"},
        )
    for name, _ in (*((n, 0) for n in STORES), ("migrate", 0)):
        yield rule("has no way out", name, "networks", equals(["inside"]), ["outside"])
    for name in OURS:
        outside = name == "gateway-api"
        wanted = ["inside", "outside"] if outside else ["inside"]
        yield rule("is where it has to be", name, "networks", equals(wanted), ["outside"])
    for store in STORES:
        yield rule(
            f"comes after {store}",
            "migrate",
            f"depends_on.{store}",
            has(condition="service_healthy"),
            {"condition": "service_started"},
        )
        yield rule(
            f"keeps its data in a volume ({store})",
            store,
            "volumes",
            lambda volumes, store=store: volumes[0].startswith(f"{store}:/var/lib/"),
            ["/var/lib/x"],
        )
        yield rule(
            f"has a minute to stop in order ({store})",
            store,
            "stop_grace_period",
            lambda grace: seconds(grace) >= 60,
            "10s",
        )
    for service in ("incidents", "feedback", "roadmap"):
        yield rule(
            f"comes after {service}",
            "gateway-api",
            f"depends_on.{service}-api",
            has(condition="service_healthy"),
            {"condition": "service_started"},
        )
    yield rule(
        "syncs what it acknowledges, for want of copies",
        "kafka",
        "environment.KAFKA_LOG_FLUSH_INTERVAL_MESSAGES",
        equals("1"),
        "10000",
    )
    yield rule("is not root", "postgres", "user", equals("999:999"), "0:0")


def _single() -> Iterator[Rule]:
    target = "Container/groundswell"
    yield Rule(
        "groundswell has longer to stop than its longest stop",
        target,
        "stop_grace_period",
        lambda grace: seconds(grace) >= STOP_SECONDS + MARGIN_SECONDS,
        ("10s",),
        (SINGLE,),
    )
    yield Rule(
        "groundswell keeps its data in a volume",
        target,
        "volumes",
        equals(["data:/data"]),
        ([],),
        (SINGLE,),
    )
    yield Rule(
        "prometheus waits for groundswell to be ready",
        "Container/prometheus",
        "depends_on.groundswell",
        has(condition="service_healthy"),
        ({"condition": "service_started"},),
        (SINGLE,),
    )


def compose_rules() -> Iterator[Rule]:
    for file in FILES:
        for name in NAMES[file]:
            yield from _confined(file, name)
        yield Rule(
            "prometheus reads the rules and can't change them",
            "Container/prometheus",
            "volumes.0",
            equals("./deploy/prometheus:/etc/prometheus:ro"),
            ("./deploy/prometheus:/etc/prometheus",),
            (file,),
        )
    yield from _distributed()
    yield from _single()


@pytest.mark.parametrize(
    "rule",
    [pytest.param(rule, id=f"{rule.overlays[0]}: {rule.sentence}") for rule in compose_rules()],
)
def test_compose_keeps_the_rule_and_notices_when_it_is_broken(rule: Rule) -> None:
    objects: Rendered = containers(rule.overlays[0])
    assert rule.kept_by(objects)
    assert not rule.unnoticed(objects)


@pytest.mark.parametrize("file", FILES)
def test_compose_file_has_the_shape_that_compose_reads(file: str) -> None:
    jsonschema.validate(composed(file), COMPOSE)
    assert set(composed(file)["services"]) == set(NAMES[file]), "a new one needs rules here"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**composed(file), "service": {}}, COMPOSE)


@pytest.mark.parametrize("file", FILES)
def test_what_a_container_names_is_declared(file: str) -> None:
    whole = composed(file)
    for container in whole["services"].values():
        assert set(container.get("networks", [])) <= set(whole.get("networks", {}))
        assert set(container.get("depends_on", {})) <= set(whole["services"])
        named = {v.split(":")[0] for v in container.get("volumes", [])} - {"./deploy/prometheus"}
        assert named <= set(whole["volumes"])


@pytest.mark.parametrize("file", FILES)
def test_only_the_front_door_and_prometheus_are_published(file: str) -> None:
    published = {n for n, c in composed(file)["services"].items() if "ports" in c}
    assert published == {name for of, name in PUBLISHED if of == file}


def test_stores_and_services_have_no_way_out() -> None:
    assert composed(DISTRIBUTED)["networks"]["inside"] == {"internal": True}


def test_both_files_are_projects_of_their_own() -> None:
    """Else the `up` of one would take the containers of the other for leftovers."""
    assert composed(DISTRIBUTED)["name"] != composed(SINGLE)["name"] == "groundswell"


def test_compose_runs_the_manifests_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    pods = find(rendered("small"), "StatefulSet/groundswell")
    image = at(pods, "spec.template.spec.containers.0.image")
    assert image == f"groundswell:{version}"
    for name in (*OURS, "migrate"):
        assert container_of(DISTRIBUTED, name)["image"] == image
    assert container_of(SINGLE, "groundswell")["image"] == image


def test_stores_are_of_the_version_that_the_small_overlay_has() -> None:
    for store in STORES:
        pods = find(rendered("distributed-small"), f"StatefulSet/{store}")
        image = at(pods, "spec.template.spec.containers.0.image")
        assert container_of(DISTRIBUTED, store)["image"] == image


def test_prometheus_scrapes_every_process_by_the_name_that_it_has() -> None:
    text = (ROOT / "deploy" / "prometheus" / "prometheus.distributed.yaml").read_text()
    job = yaml.safe_load(text)["scrape_configs"][0]
    assert job["job_name"] == "groundswell"
    assert set(job["dns_sd_configs"][0]["names"]) == set(OURS)
    assert job["dns_sd_configs"][0]["port"] == 8080


def given(variables: dict[str, str], value: str) -> str:
    """What compose makes of a value with these variables in .env."""
    return ASKED_FOR.sub(lambda asked: variables[asked.group(1)], value)


def test_new_secrets_are_all_that_compose_asks_for_and_the_code_takes_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = dict(line.split("=", 1) for line in made_secrets("compose").splitlines())
    asked = set(ASKED_FOR.findall((ROOT / DISTRIBUTED).read_text()))
    assert set(made) == asked
    assert is_strong(made["GROUNDSWELL_ADMIN_KEY"])
    for name in (*OURS, "migrate"):
        for variable, value in container_of(DISTRIBUTED, name)["environment"].items():
            assert variable in known_settings()
            monkeypatch.setenv(variable, given(made, value))
    settings = Settings()
    assert settings.database_url("roadmap").startswith("postgresql+asyncpg://groundswell:")
    assert settings.kafka_servers() == "kafka:9092"
    assert KafkaOptions().partitions == 6
    gateway = GatewaySettings()
    assert gateway.pepper
    assert gateway.urls() == {
        service: f"http://{service}-api:8080" for service in ("incidents", "feedback", "roadmap")
    }


def test_file_of_secrets_goes_neither_into_the_image_nor_into_the_history() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()
    let_in = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in let_in
    assert not any(".env" in line for line in let_in)
