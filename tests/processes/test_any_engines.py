"""`groundswell run`, all in one process, on every combination of engines."""

import re
import signal
from pathlib import Path

import pytest

from tests.engines.mock_kafka import MockKafka
from tests.engines.processes import eventually
from tests.processes.conftest import NewDatabase
from tests.standalone.conftest import started


@pytest.mark.parametrize("engines", [("DATABASE",), ("BUS",), ("DATABASE", "BUS")])
def test_a_signal_becomes_a_theme_and_a_kill_loses_nothing(
    engines: tuple[str, ...], tmp_path: Path, new_database: NewDatabase, kafka: MockKafka
) -> None:
    every = {"DATABASE": new_database(), "BUS": f"kafka://{kafka.servers}"}
    settings = {f"GROUNDSWELL_{name}": every[name] for name in engines}
    alert = {"title": "Card payments time out", "service": "payments", "severity": "high"}
    with started(tmp_path, **settings) as first, first.client() as client:
        assert client.post("/v1/signals", json=alert).status_code == 202
        first.stop(signal.SIGKILL)
    with started(tmp_path, **settings) as second, second.client() as client:
        themes = eventually(lambda: client.get("/v1/themes").json()["items"], "the theme")
        assert [theme["evidence_count"] for theme in themes] == [1]
        eventually(lambda: lags(client.get("/metrics").text) == {"0.0"}, "no lag")
        assert second.stop() == 0
    files = {file.name for file in tmp_path.glob("*.sqlite3")}
    assert ("incidents.sqlite3" in files) == ("DATABASE" not in engines)
    assert ("bus.sqlite3" in files) == ("BUS" not in engines)
    assert "Traceback" not in second.log.read_text()


def lags(metrics: str) -> set[str]:
    return set(re.findall(r"^consumer_lag_records{.*} (\S+)$", metrics, re.MULTILINE))
