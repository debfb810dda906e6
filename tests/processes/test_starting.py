"""What a process says when it can't start, and what it takes to be up."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from services.cli import app
from services.engines import SERVICES
from services.listening import StartRefused
from services.serve import serving
from shared import logs
from shared.settings import Settings
from tests.engines.mock_kafka import MockKafka
from tests.engines.processes import PARTS, Cluster
from tests.processes.conftest import NewDatabase, execute

Said = Callable[..., Result]

NEEDED = {
    "GROUNDSWELL_DATABASE": ("incidents", "api"),
    "GROUNDSWELL_BUS": ("feedback", "worker"),
    "GROUNDSWELL_INTERNAL_SECRET": ("roadmap", "api"),
    "GROUNDSWELL_PEPPER": ("gateway", "api"),
    "GROUNDSWELL_ADMIN_KEY": ("gateway", "api"),
}
UNUSABLE = {
    "GROUNDSWELL_DATABASE": "mysql://u:hidden-word@h/db",
    "GROUNDSWELL_BUS": "kafka://somewhere",
    "GROUNDSWELL_INTERNAL_SECRET": "hidden-word",
    "GROUNDSWELL_PEPPER": "hidden-word",
    "GROUNDSWELL_ADMIN_KEY": "gs_admin_hidden-word",
    "GROUNDSWELL_INCIDENTS_URL": "incidents",
    "GROUNDSWELL_KAFKA_PARTITIONS": "0",
}


@pytest.fixture
def empty(new_database: NewDatabase, kafka: MockKafka, tmp_path: Path) -> Cluster:
    """A system over a database with nothing in it; no process of it is up."""
    return Cluster(tmp_path, new_database(), kafka.servers)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Said:
    """Runs the command line in this process, with exactly these settings."""
    monkeypatch.setattr(logs, "configure", lambda *_: None)  # it would keep the captured stderr

    def run(*arguments: str, env: dict[str, str]) -> Result:
        answer = CliRunner().invoke(app, list(arguments), env={**env, "GROUNDSWELL_PORT": "0"})
        assert "Traceback" not in answer.stderr
        assert "hidden-word" not in answer.stderr
        return answer

    return run


@pytest.mark.parametrize("missing", NEEDED)
def test_a_setting_that_is_missing_is_asked_for(
    empty: Cluster, command: Said, missing: str
) -> None:
    service, role = NEEDED[missing]
    if service == "gateway":
        assert command("migrate", service, env=empty.env(0)).exit_code == 0
    env = {k: v for k, v in empty.env(0).items() if k != missing}
    refused = command("serve", service, "--role", role, env=env)
    assert refused.exit_code == 1
    assert missing in refused.stderr


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_setting_that_is_unusable_is_named_and_not_quoted(
    empty: Cluster, command: Said, name: str
) -> None:
    env = empty.env(0) | {name: UNUSABLE[name]}
    for arguments in (["serve", "gateway", "--role", "api"], ["run"]):
        refused = command(*arguments, env=env)
        assert refused.exit_code == 2
        assert name in refused.stderr


def test_the_gateway_has_no_worker(empty: Cluster, command: Said) -> None:
    refused = command("serve", "gateway", "--role", "worker", env=empty.env(0))
    assert refused.exit_code == 1
    assert "--role api" in refused.stderr


def test_a_database_that_is_away_is_a_sentence_without_its_password(
    empty: Cluster, command: Said
) -> None:
    away = {"GROUNDSWELL_DATABASE": "postgresql://ada:hidden-word@127.0.0.1:9/db"}
    for arguments in (["migrate"], ["serve", "roadmap", "--role", "api"], ["run"]):
        refused = command(*arguments, env=empty.env(0) | away)
        assert refused.exit_code == 1, arguments
        assert "GROUNDSWELL_DATABASE" in refused.stderr


def test_topics_that_cannot_be_made_are_a_sentence(empty: Cluster, command: Said) -> None:
    env = empty.env(0) | {"GROUNDSWELL_BUS": "kafka://127.0.0.1:9"}
    refused = command("migrate", "roadmap", env=env)
    assert refused.exit_code == 1
    assert "GROUNDSWELL_BUS" in refused.stderr


def test_a_migration_names_what_it_did_and_may_be_repeated(empty: Cluster, command: Said) -> None:
    env = empty.env(0)
    one = command("migrate", "roadmap", env=env)
    assert (one.exit_code, one.stdout) == (0, "roadmap is at its newest revision\n"), one.stderr
    everything = command("migrate", env=env)
    assert everything.exit_code == 0, everything.stderr
    assert [line.split()[0] for line in everything.stdout.splitlines()] == list(SERVICES)


def settings_of(whole: Cluster) -> Settings:
    env = whole.env(0)
    return Settings.model_validate(
        {
            "port": 0,
            "database": env["GROUNDSWELL_DATABASE"],
            "bus": env["GROUNDSWELL_BUS"],
            "internal_secret": env["GROUNDSWELL_INTERNAL_SECRET"],
        }
    )


@pytest.mark.parametrize("role", ["api", "worker"])
async def test_an_empty_database_asks_for_a_migration(empty: Cluster, role: str) -> None:
    with pytest.raises(StartRefused, match="groundswell migrate incidents"):
        async with serving(settings_of(empty), "incidents", role):
            raise AssertionError("it started")


async def test_an_older_schema_is_refused_and_a_newer_one_taken(empty: Cluster) -> None:
    empty.migrate("roadmap")
    await execute(empty.database, "UPDATE roadmap.alembic_version SET version_num = '0001'")
    with pytest.raises(StartRefused, match="groundswell migrate roadmap"):
        async with serving(settings_of(empty), "roadmap", "worker"):
            raise AssertionError("it started")
    await execute(empty.database, "UPDATE roadmap.alembic_version SET version_num = '9999'")
    newer = empty["roadmap-api"]
    try:
        await asyncio.to_thread(newer.start)
        assert await asyncio.to_thread(newer.stop) == 0
    finally:
        empty.kill()


OWN = {
    "incidents": ("signals_", "incidents_", "ingest_"),
    "feedback": ("feedback_",),
    "roadmap": ("roadmap_",),
    "gateway": ("gateway_",),
}


def test_each_process_tells_only_what_it_does(cluster: Cluster) -> None:
    told = {
        name: set(re.findall(r"^# TYPE (\w+)", cluster[name].metrics(), re.MULTILINE))
        for name in PARTS
    }
    assert "gateway_refused_total" in told["gateway-api"]
    assert "ingest_accepted_total" in told["incidents-api"]
    assert "signals_stored" in told["incidents-worker"]
    assert "signals_stored" not in told["incidents-api"]
    for name, metrics in told.items():
        for service, prefixes in OWN.items():
            if service != name.partition("-")[0]:
                foreign = {one for one in metrics if one.startswith(prefixes)}
                assert not foreign, f"{name} tells {foreign}"
