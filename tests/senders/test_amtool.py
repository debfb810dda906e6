"""amtool, unmodified, adds and ends alerts at Groundswell as it does at an Alertmanager."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.senders.capture import Capture
from tests.senders.groundswell import Groundswell
from tests.senders.monitoring import Alertmanager, alertmanager
from tests.senders.programs import binary, until

Run = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def http_config(folder: Path, system: Groundswell) -> Path:
    """What --http.config.file names: how amtool shows its key."""
    file = folder / "amtool-http.yml"
    file.write_text(json.dumps({"authorization": {"credentials_file": str(system.sender_key)}}))
    return file


def add(at: Groundswell | Alertmanager, *words: str, http_config: Path | None = None) -> Run:
    """`amtool alert add …`; its version check stays on, as it is by default."""
    command = [binary("amtool"), "alert", "add", *words, f"--alertmanager.url={at.url}"]
    if http_config is not None:
        command.append(f"--http.config.file={http_config}")
    return subprocess.run(command, capture_output=True, text=True, timeout=20)


def ago(**span: float) -> str:
    return (datetime.now(UTC) - timedelta(**span)).isoformat(timespec="seconds")


def incidents_of(system: Groundswell, instance: str) -> list[Any]:
    every = system.incidents("SearchIndexStale")
    return [one for one in every if one["labels"]["instance"] == instance]


def test_an_alert_that_amtool_adds_is_an_incident(system: Groundswell, http_config: Path) -> None:
    words = ("SearchIndexStale", "service=search", "severity=page", "instance=search-1:9200")
    summary = "--annotation=summary=The index on search-1 is 41 minutes old"
    done = add(system, *words, summary, http_config=http_config)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    [incident] = incidents_of(system, "search-1:9200")
    assert incident["title"] == "The index on search-1 is 41 minutes old"
    assert incident["severity"] == "critical"
    assert incident["state"] == "open"


def test_the_same_alert_added_again_changes_nothing(system: Groundswell, http_config: Path) -> None:
    words = ("SearchIndexStale", "service=search", "instance=search-2:9200")
    start = f"--start={ago(minutes=5)}"
    assert add(system, *words, start, http_config=http_config).returncode == 0
    before, counted = system.snapshot(), system.signals_counted()
    for _ in range(3):
        assert add(system, *words, start, http_config=http_config).returncode == 0
    assert system.snapshot() == before
    assert system.signals_counted() == counted + 3


def test_an_alert_added_again_without_a_start_stays_one_incident(
    system: Groundswell, http_config: Path
) -> None:
    words = ("SearchIndexStale", "service=search", "instance=search-3:9200")
    for _ in range(3):
        assert add(system, *words, http_config=http_config).returncode == 0
    assert len(incidents_of(system, "search-3:9200")) == 1


def test_an_end_that_amtool_states_resolves_the_incident_as_of_then(
    system: Groundswell, http_config: Path
) -> None:
    words = ("SearchIndexStale", "service=search", "instance=search-4:9200")
    start, end = ago(minutes=9), ago(minutes=1)
    assert add(system, *words, f"--start={start}", http_config=http_config).returncode == 0
    ended = add(system, *words, f"--start={start}", f"--end={end}", http_config=http_config)
    assert ended.returncode == 0
    [incident] = incidents_of(system, "search-4:9200")
    assert incident["state"] == "resolved"
    assert datetime.fromisoformat(incident["opened_at"]) == datetime.fromisoformat(start)
    assert datetime.fromisoformat(incident["resolved_at"]) == datetime.fromisoformat(end)


def test_an_alertmanager_that_repeats_itself_every_second_changes_nothing(
    system: Groundswell, http_config: Path, folder: Path, webhook: Capture
) -> None:
    words = ("SearchIndexStale", "service=search", "instance=search-5:9200")
    start = f"--start={ago(minutes=2)}"
    with alertmanager(folder, system, webhook, repeat_interval="1s") as manager:
        assert add(manager, *words, start).returncode == 0
        assert webhook.take().document["status"] == "firing"
        until(lambda: incidents_of(system, "search-5:9200"), "an incident by the webhook")
        assert add(system, *words, start, http_config=http_config).returncode == 0
        before, counted = system.snapshot(), system.signals_counted()
        for _ in range(3):
            assert webhook.take().document["status"] == "firing"
        until(lambda: system.signals_counted() >= counted + 2, "it is told again")
        assert system.snapshot() == before
    assert len(incidents_of(system, "search-5:9200")) == 1


def test_amtool_prints_our_sentence_when_an_alert_is_refused(
    system: Groundswell, http_config: Path
) -> None:
    labels = [f"label_{number}=x" for number in range(100)]
    refused = add(system, "TooMuch", *labels, http_config=http_config)
    assert refused.returncode == 1
    assert "send at most 64" in refused.stderr
    assert system.incidents("TooMuch") == []


def test_amtool_without_a_key_fails_and_names_the_status(system: Groundswell) -> None:
    refused = add(system, "NoKey", "service=search")
    assert refused.returncode == 1
    assert "401" in refused.stderr
    assert system.incidents("NoKey") == []
