"""The image: what goes in, as whom it runs, and what the manifests expect of it."""

import json
import re
import tomllib

from tests.deploy.composed import container_of
from tests.deploy.rendering import ROOT, at, find, rendered

DOCKERFILE = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
LOCK = (ROOT / "requirements.txt").read_text()

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
    probe = json.loads(health[0].partition("CMD ")[2])
    for file, name in (("compose.single.yaml", "groundswell"), ("compose.yaml", "gateway-api")):
        assert at(container_of(file, name), "healthcheck.test") == ["CMD", *probe]


def test_image_runs_as_the_user_of_the_pod() -> None:
    security = at(
        find(rendered("small"), "StatefulSet/groundswell"), "spec.template.spec.securityContext"
    )
    assert instructions("USER") == [f"{security['runAsUser']}:{security['runAsGroup']}"]


def test_image_compose_and_cluster_agree_on_the_settings() -> None:
    environment = dict(re.findall(r"(GROUNDSWELL_[A-Z_]+)=(\S+)", instructions("ENV")[0]))
    settings = find(rendered("small"), "ConfigMap/groundswell-settings-*")
    single = at(container_of("compose.single.yaml", "groundswell"), "environment")
    assert environment == at(settings, "data") == single == SETTINGS


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
