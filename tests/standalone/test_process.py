"""The process: one per data folder, a sentence when it can't start, nothing lost when it is told to stop."""

import signal
import socket
from pathlib import Path

import httpx

from tests.standalone.conftest import environment, free_port, groundswell, started

COMPLAINTS = ("Traceback", "Warning", "Exception")


def post(client: httpx.Client, number: int) -> httpx.Response:
    signal_ = {"title": f"Alert {number}", "service": "payments", "severity": "high"}
    return client.post("/v1/signals", json=signal_)


def test_it_starts_answers_and_stops_without_a_complaint(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        with process.client() as client:
            assert post(client, 1).status_code == 202
            assert client.get("/livez").status_code == 200
        assert process.stop() == 0
        log = process.log.read_text()
        key = (tmp_path / "admin.key").read_text().strip()
    assert not [word for word in COMPLAINTS if word in log], log
    assert "stopped" in log
    assert key not in log


def test_a_second_process_on_the_same_folder_is_turned_away(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        second = groundswell("run", env=environment(tmp_path, free_port()))
        assert second.returncode == 1
        assert f"process {process.popen.pid}" in second.stderr
        assert "GROUNDSWELL_DATA" in second.stderr
        assert "Traceback" not in second.stderr
        with process.client() as client:
            assert client.get("/readyz").status_code == 200


def test_the_folder_is_free_again_after_a_kill(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        process.stop(signal.SIGKILL)
    with started(tmp_path) as process, process.client() as client:
        assert client.get("/v1/keys").status_code == 200


def test_a_taken_port_is_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = groundswell("run", env=environment(tmp_path, port))
    assert refused.returncode == 1
    assert f"127.0.0.1:{port}" in refused.stderr
    assert "GROUNDSWELL_PORT" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_bad_setting_is_named(tmp_path: Path) -> None:
    refused = groundswell("run", env=environment(tmp_path, 0) | {"GROUNDSWELL_PORT": "many"})
    assert refused.returncode == 2
    assert "GROUNDSWELL_PORT" in refused.stderr


def test_migrate_brings_a_fresh_folder_to_the_newest_revision(tmp_path: Path) -> None:
    env = environment(tmp_path, free_port())
    first, again = groundswell("migrate", env=env), groundswell("migrate", env=env)
    assert first.returncode == again.returncode == 0, first.stderr
    assert sorted(p.name for p in tmp_path.glob("*.sqlite3")) == [
        f"{name}.sqlite3" for name in ("feedback", "gateway", "incidents", "roadmap")
    ]
