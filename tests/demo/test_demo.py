"""`groundswell demo --once`, as a newcomer runs it: every station is reached, and twice is like once."""

import json
import sqlite3
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.standalone.conftest import environment, free_port, groundswell, started
from tests.standalone.recording import distinct_signals

COUNTS = ("signals", "incidents", "themes", "candidates", "items")


@dataclass
class Told:
    """A demo that has ended, and its data folder."""

    data: Path
    done: subprocess.CompletedProcess[str]

    @property
    def result(self) -> dict[str, Any]:
        return json.loads(self.done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """One demo for the module."""
    data = tmp_path_factory.mktemp("demo") / "data"
    return Told(data, groundswell("demo", "--once", env=environment(data, free_port())))


def test_every_station_is_reached(told: Told) -> None:
    assert told.done.returncode == 0, told.done.stderr
    result = told.result
    assert result["signals"] == distinct_signals()
    assert result["incidents"] > result["themes"] > result["candidates"] > 0
    assert result["top_candidate"]["raised_by"] == "service:roadmap"
    assert len(result["top_candidate"]["reasons"]) >= 3
    assert result["item"]["delivered_at"]
    assert result["outcome"]["verdict"] == "verified"
    assert result["outcome"]["numbers"]["observed_reduction"] > 0.5


def test_the_candidate_it_follows_is_the_one_whose_cause_was_fixed(told: Told) -> None:
    assert "Connection pool of payments" in told.result["top_candidate"]["title"]


def test_the_story_shows_reasons_power_verdict_and_the_road(told: Told) -> None:
    story = told.done.stdout
    for sight in ("the threshold is", "Power check", "Did it work?", "scope `ingest` only"):
        assert sight in story
    for station in ("signal", "incident", "theme", "candidate", "item", "outcome"):
        assert f"  {station} " in story
    assert "Traceback" not in told.done.stderr
    assert "Warning" not in told.done.stderr


def test_the_sender_had_a_key_that_can_only_send(told: Told) -> None:
    with sqlite3.connect(told.data / "gateway.sqlite3") as db:
        scopes = dict(db.execute("SELECT name, scopes FROM api_keys").fetchall())
    db.close()
    assert json.loads(scopes["demo sender"]) == ["ingest"]


def test_told_again_it_changes_nothing(told: Told) -> None:
    again = groundswell("demo", "--once", "--json", env=environment(told.data, free_port()))
    assert again.returncode == 0, again.stderr
    (line,) = again.stdout.splitlines()
    second, first = json.loads(line), told.result
    assert {name: second[name] for name in COUNTS} == {name: first[name] for name in COUNTS}
    assert second["top_candidate"] == first["top_candidate"]
    assert second["item"] == first["item"]
    assert second["outcome"] == first["outcome"]


def test_what_the_demo_left_is_an_ordinary_groundswell(told: Told) -> None:
    with started(told.data) as process, process.client() as client:
        road = client.get(f"/v1/trace/{told.result['traced_incident']}").json()
    assert road["outcome"]["verdict"] == told.result["outcome"]["verdict"]
    assert road["unavailable"] == {}
