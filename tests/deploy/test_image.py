"""The image and the compose file: what goes in, as whom it runs, and what it may touch."""

import json
import re
import tomllib
from collections.abc import Iterator

import pytest
import yaml

from tests.deploy.rendering import GONE, ROOT, Rendered, at, find, rendered, spoiled
from tests.deploy.rules import JOBS_SECONDS, Rule, drain_seconds, equals, has

DOCKERFILE = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
LOCK = (ROOT / "requirements.txt").read_text()

CONTAINERS = ("groundswell", "prometheus")
SETTINGS = {
    "GROUNDSWELL_DATA": "/data",
    "GROUNDSWELL_HOST": "0.0.0.0",
    "GROUNDSWELL_PORT": "8080",
    "GROUNDSWELL_LOG_FORMAT": "json",
}


def instructions(name: str) -> list[str]:
    """What follows an instruction of the Dockerfile, each time it stands in the last stage."""
    last_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    return re.findall(rf"^{name} (.+)$", last_stage, flags=re.MULTILINE)


def locked_for() -> dict[str, set[str]]:
    """Each locked package, and which packages want it."""
    entries = re.split(r"^(?=[a-z0-9])", LOCK, flags=re.MULTILINE)[1:]
    wanted: dict[str, set[str]] = {}
    for entry in entries:
        via = entry.partition("# via")[2]
        wanted[entry.partition("==")[0]] = set(re.findall(r"[a-z0-9][a-z0-9_.-]+", via))
    return wanted


def test_image_stops_checks_and_starts_as_the_manifests_expect() -> None:
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    assert [json.loads(command) for command in instructions("CMD")] == [["groundswell", "run"]]
    assert instructions("VOLUME") == ["/data"]
    health = instructions("HEALTHCHECK")
    assert len(health) == 1
    assert "/readyz" in health[0]
    assert at(compose(), "0.healthcheck.test.3") == json.loads(health[0].partition("CMD ")[2])[2]


def test_image_runs_as_the_user_of_the_pod() -> None:
    security = at(
        find(rendered("small"), "StatefulSet/groundswell"), "spec.template.spec.securityContext"
    )
    assert instructions("USER") == [f"{security['runAsUser']}:{security['runAsGroup']}"]


def test_image_compose_and_cluster_agree_on_the_settings() -> None:
    environment = dict(re.findall(r"(GROUNDSWELL_[A-Z_]+)=(\S+)", instructions("ENV")[0]))
    settings = find(rendered("small"), "ConfigMap/groundswell-settings-*")
    assert environment == at(settings, "data") == at(compose(), "0.environment") == SETTINGS


def test_dependencies_are_locked_by_hash_and_never_compiled() -> None:
    assert "--require-hashes --only-binary :all: --requirement requirements.txt" in DOCKERFILE
    unpinned = [name for name in locked_for() if f"\n{name}==" not in f"\n{LOCK}"]
    assert not unpinned
    assert LOCK.count("==") <= LOCK.count("--hash=sha256:")


def test_what_only_the_build_needs_is_taken_out_of_the_image() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    build = {re.split(r"[<>=\[]", need)[0] for need in project["optional-dependencies"]["build"]}
    build |= {name for name, wanted in locked_for().items() if wanted and wanted <= build}
    removed = re.search(r"uninstall --yes ([a-z -]+) &&", DOCKERFILE)
    assert removed
    assert set(removed.group(1).split()) == build


def test_build_context_holds_what_is_copied_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, flags=re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert let_in == copied
    assert all((ROOT / source).exists() for source in copied)


def compose() -> Rendered:
    """The containers of compose.yaml, in the shape that rules look at."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    return [
        {"kind": "Container", "metadata": {"name": name}, **services[name]} for name in CONTAINERS
    ]


def compose_rules() -> Iterator[Rule]:
    for name in CONTAINERS:
        target = f"Container/{name}"
        yield Rule(
            f"{name} is published on loopback only",
            target,
            "ports",
            lambda ports: all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports),
            (["8080:8080"], ["0.0.0.0:8080:8080"]),
        )
        yield Rule(f"{name} has a read-only root", target, "read_only", equals(True), (False,))
        yield Rule(f"{name} has no capability", target, "cap_drop", equals(["ALL"]), ([],))
        yield Rule(
            f"{name} can't gain privileges",
            target,
            "security_opt",
            equals(["no-new-privileges:true"]),
            ([],),
        )
        yield Rule(f"{name} is probed", target, "healthcheck", lambda probe: "test" in probe, ({},))
        yield Rule(
            f"{name} has bounded memory", target, "mem_limit", lambda limit: bool(limit), (0,)
        )
        yield Rule(
            f"{name} has bounded processes", target, "pids_limit", lambda n: 0 < n <= 256, (-1,)
        )
    yield Rule(
        "groundswell has longer to stop than its drain",
        "Container/groundswell",
        "stop_grace_period",
        lambda grace: int(grace.removesuffix("s")) >= drain_seconds() + JOBS_SECONDS,
        ("10s",),
    )
    yield Rule(
        "groundswell keeps its data in a volume",
        "Container/groundswell",
        "volumes",
        equals(["data:/data"]),
        ([],),
    )
    yield Rule(
        "prometheus waits for groundswell to be ready",
        "Container/prometheus",
        "depends_on.groundswell",
        has(condition="service_healthy"),
        ({"condition": "service_started"},),
    )
    yield Rule(
        "prometheus reads the rules and can't change them",
        "Container/prometheus",
        "volumes.0",
        equals("./deploy/prometheus:/etc/prometheus:ro"),
        ("./deploy/prometheus:/etc/prometheus",),
    )


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule.sentence) for rule in compose_rules()])
def test_compose_keeps_the_rule_and_notices_when_it_is_broken(rule: Rule) -> None:
    assert rule.kept_by(compose())
    for value in (GONE, *rule.broken):
        assert not rule.kept_by(spoiled(compose(), rule.target, rule.path, value)), value


def test_compose_runs_one_groundswell_of_the_manifests_version() -> None:
    container = find(compose(), "Container/groundswell")
    assert container
    assert "deploy" not in container
    assert "scale" not in container
    image = at(
        find(rendered("small"), "StatefulSet/groundswell"), "spec.template.spec.containers.0.image"
    )
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert container["image"] == image == f"groundswell:{version}"
