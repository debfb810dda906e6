"""The command line against a running process."""

import json
from pathlib import Path

import pytest

from services.gateway.openapi import operations
from tests.standalone.conftest import Process, environment, free_port, groundswell

COMMANDS = ("run", "demo", "keys", "incidents", "themes", "candidates", "items", "trace", "catalog")
BACKSTAGE = """\
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {name: payments}
spec: {type: service, owner: team-a, system: checkout, lifecycle: production}
"""


def test_help_names_every_command(tmp_path: Path) -> None:
    shown = groundswell("--help", env=environment(tmp_path, 1))
    assert shown.returncode == 0
    for command in (*COMMANDS, "openapi", "events", "migrate"):
        assert f"\n  {command} " in shown.stdout


@pytest.mark.parametrize("command", ["incidents", "themes", "candidates", "items"])
def test_every_list_is_a_table_or_json(process: Process, command: str) -> None:
    table = groundswell(command, env=process.env)
    assert table.returncode == 0, table.stderr
    assert "\x1b" not in table.stdout
    listed = groundswell(command, "--json", env=process.env)
    assert isinstance(json.loads(listed.stdout)["items"], list)


def test_a_key_is_created_listed_and_revoked(process: Process) -> None:
    made = groundswell("keys", "create", "grafana", "--scope", "ingest", "--json", env=process.env)
    key = json.loads(made.stdout)
    listed = groundswell("keys", "list", env=process.env)
    assert "grafana" in listed.stdout
    assert key["key"] not in listed.stdout
    revoked = groundswell("keys", "revoke", key["id"], env=process.env)
    assert revoked.returncode == 0, revoked.stderr
    with process.client(key["key"]) as client:
        assert client.get("/v1/signals").status_code == 401


def test_a_catalog_file_is_imported(process: Process, tmp_path: Path) -> None:
    file = tmp_path / "catalog-info.yaml"
    file.write_text(BACKSTAGE)
    imported = groundswell("catalog", "import", str(file), env=process.env)
    assert imported.returncode == 0, imported.stderr
    assert "payments" in imported.stdout


def test_a_signal_is_traced_from_the_command_line(process: Process) -> None:
    with process.client() as client:
        body = {"title": "Payments fail", "service": "payments", "severity": "critical"}
        taken = client.post("/v1/signals", json=body).json()["signals"][0]
    shown = groundswell("trace", taken["id"], env=process.env)
    assert shown.returncode == 0, shown.stderr
    assert "Payments fail" in shown.stdout
    road = json.loads(groundswell("trace", taken["id"], "--json", env=process.env).stdout)
    assert road["incident"]["id"] == taken["incident_id"]


@pytest.mark.parametrize("asked", ["inc_unknown", "nonsense", "../keys", "%00", ""])
def test_a_trace_of_nothing_is_a_sentence(process: Process, asked: str) -> None:
    shown = groundswell("trace", asked, env=process.env)
    assert shown.returncode == 1
    assert shown.stderr.strip()
    assert "Traceback" not in shown.stderr


def test_a_refused_request_says_the_problems_own_sentence(process: Process) -> None:
    shown = groundswell("candidates", env={**process.env, "GROUNDSWELL_KEY": "gs_no_key"})
    assert shown.returncode == 1
    assert "unknown, revoked or expired" in shown.stderr


def test_when_nothing_answers_it_says_how_to_start_it(process: Process) -> None:
    env = {**process.env, "GROUNDSWELL_PORT": str(free_port())}
    shown = groundswell("candidates", env=env)
    assert shown.returncode == 1
    assert "groundswell run" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_without_a_key_it_says_where_to_find_one(process: Process, tmp_path: Path) -> None:
    shown = groundswell("candidates", env={**process.env, "GROUNDSWELL_DATA": str(tmp_path)})
    assert shown.returncode == 1
    assert "GROUNDSWELL_KEY" in shown.stderr


def test_the_openapi_document_is_printed_without_a_running_process(tmp_path: Path) -> None:
    printed = groundswell("openapi", env=environment(tmp_path, 1))
    assert "GET /v1/keys" in dict(operations(json.loads(printed.stdout)))
    assert list(tmp_path.iterdir()) == []


def test_the_event_catalogue_is_a_table_or_asyncapi(tmp_path: Path) -> None:
    env = environment(tmp_path, 1)
    assert "groundswell.outcome.assessed.v1" in groundswell("events", env=env).stdout
    assert json.loads(groundswell("events", "--json", env=env).stdout)["asyncapi"] == "3.0.0"
