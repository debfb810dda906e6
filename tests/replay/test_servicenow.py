"""A whole ServiceNow log through a running system: exactly what the file says, killed midway, repeated.

Needs GROUNDSWELL_SERVICENOW_LOG: the UCI incident event log, as CSV or zip. What the file says is
counted here in straight csv code that shares nothing with the replay, in the order of its rows.
"""

import csv
import io
import json
import os
import subprocess
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.quiet import sums
from tests.standalone.conftest import COMMAND, Process, started

SETTING = "GROUNDSWELL_SERVICENOW_LOG"
LONG_SECONDS = 1200.0
OVER = ("Resolved", "Closed")
SEVERITY = {"1": "critical", "2": "high", "3": "medium", "4": "low"}
COUNTS = ("incidents", "opened", "resolved", "reopened", "resolutions", "reopenings")


@dataclass
class Counted:
    """What the rows of one incident come to."""

    opened_at: datetime
    severity: str
    resolutions: int
    reopenings: int
    over: bool


def log_file() -> Path:
    named = os.environ.get(SETTING)
    if not named or not Path(named).is_file():
        pytest.fail(f"{SETTING} names no file; set it to the UCI incident event log to replay it")
    return Path(named)


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    if path.suffix != ".zip":
        yield from csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline=""))
        return
    with zipfile.ZipFile(path) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".csv")]
        with archive.open(name) as file:
            yield from csv.DictReader(io.TextIOWrapper(file, "utf-8-sig", newline=""))


def counted(path: Path) -> dict[str, Counted]:
    """By the file's own fields: reopenings as its counter says, resolutions as its states change."""
    found: dict[str, Counted] = {}
    for row in rows_of(path):
        over = row["incident_state"] in OVER
        one = found.get(row["number"])
        if one is None:
            opened_at = datetime.strptime(row["opened_at"], "%d/%m/%Y %H:%M").replace(tzinfo=UTC)
            one = found[row["number"]] = Counted(opened_at, "", 0, 0, False)
        one.resolutions += over and not one.over
        one.reopenings = max(one.reopenings, int(row["reopen_count"]))
        one.severity = SEVERITY[row["priority"][0]]
        one.over = over
    return found


def totals(incidents: dict[str, Counted]) -> dict[str, int]:
    return {
        "incidents": len(incidents),
        "opened": len(incidents),
        "resolved": sum(one.resolutions > 0 for one in incidents.values()),
        "reopened": sum(one.reopenings > 0 for one in incidents.values()),
        "resolutions": sum(one.resolutions for one in incidents.values()),
        "reopenings": sum(one.reopenings for one in incidents.values()),
    }


@pytest.fixture(scope="module")
def log() -> Path:
    return log_file()


@pytest.fixture(scope="module")
def expected(log: Path) -> dict[str, Counted]:
    return counted(log)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory, log: Path) -> Iterator[Process]:
    del log  # named first: without it nothing needs to start
    with started(tmp_path_factory.mktemp("data")) as process:
        yield process


def replay(process: Process, log: Path, *arguments: str) -> dict[str, Any]:
    command = [str(COMMAND), "replay", str(log), "--json", *arguments]
    done = subprocess.run(
        command, env=dict(process.env), capture_output=True, text=True, timeout=LONG_SECONDS
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def kill_midway(process: Process, log: Path, enough: int) -> int:
    """Start a replay and kill it once so many incidents were taken in; says how many there are."""
    client = subprocess.Popen(
        [str(COMMAND), "replay", str(log)],
        env=dict(process.env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + LONG_SECONDS
        with process.client() as api:
            while (there := of_log(api)["incidents"]) < enough:
                assert client.poll() is None, "the replay ended before it could be killed"
                assert time.monotonic() < deadline
                time.sleep(0.2)
    finally:
        client.kill()
        client.wait()
    return there


def of_log(api: httpx.Client) -> dict[str, Any]:
    answer = api.get("/v1/incidents/summary", params={"source": "servicenow"}, timeout=60)
    return answer.raise_for_status().json()


@dataclass
class Replayed:
    """The state after a replay that was killed midway and gone on with."""

    killed_at: int
    result: dict[str, Any]
    events: float


@pytest.fixture(scope="module")
def replayed(process: Process, log: Path, expected: dict[str, Counted]) -> Replayed:
    killed_at = kill_midway(process, log, len(expected) // 3)
    result = replay(process, log, "--wait", str(LONG_SECONDS))
    print(f"\n{result}")
    return Replayed(killed_at, result, events_sent(process))


def events_sent(process: Process) -> float:
    with process.client() as api:
        return sums(api.get("/metrics").text)["outbox_events_sent_total"]


def test_the_counts_read_back_are_those_of_the_file(
    replayed: Replayed, expected: dict[str, Counted]
) -> None:
    assert {name: replayed.result[name] for name in COUNTS} == totals(expected)
    assert replayed.result["rows_passed_over"] == 0


def test_killed_midway_it_went_on_where_it_was(
    replayed: Replayed, process: Process, expected: dict[str, Counted]
) -> None:
    assert len(expected) // 3 <= replayed.killed_at < len(expected)
    assert list(process.data.glob("replay-*")) == []


def test_every_incident_is_as_the_file_has_it(
    replayed: Replayed, process: Process, expected: dict[str, Counted]
) -> None:
    found: dict[str, Counted] = {}
    cursor: str | None = None
    with process.client() as api:
        while True:
            asked = {"source": "servicenow", "limit": 200, "cursor": cursor}
            params = {name: value for name, value in asked.items() if value is not None}
            page = api.get("/v1/incidents", params=params, timeout=60).raise_for_status().json()
            for one in page["items"]:
                found[one["external_ref"]] = Counted(
                    opened_at=datetime.fromisoformat(one["opened_at"]),
                    severity=one["severity"],
                    resolutions=one["resolutions"],
                    reopenings=one["reopenings"],
                    over=one["state"] in ("resolved", "closed"),
                )
            cursor = page["next"]
            if cursor is None:
                break
    different = {
        ref for ref in expected.keys() | found.keys() if found.get(ref) != expected.get(ref)
    }
    assert not different, Counter((str(found.get(r)), str(expected.get(r))) for r in different)


def test_themes_are_the_categories_and_subcategories(
    replayed: Replayed, process: Process, log: Path
) -> None:
    first: dict[str, tuple[str, str]] = {}
    for row in rows_of(log):
        first.setdefault(row["number"], (row["category"], row["subcategory"]))
    with process.client() as api:
        summary = api.get("/v1/themes/summary", timeout=60).raise_for_status().json()
    assert summary["themes"] == len(set(first.values()))
    assert summary["evidence_by_kind"]["incident"] == len(first)


def test_it_ends_with_candidates(replayed: Replayed) -> None:
    assert replayed.result["settled"]
    scores = [one["score"] for one in replayed.result["top_candidates"]]
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)


def test_a_second_replay_changes_nothing(
    replayed: Replayed, process: Process, log: Path, expected: dict[str, Counted]
) -> None:
    again = replay(process, log, "--wait", str(LONG_SECONDS))
    assert {name: again[name] for name in COUNTS} == totals(expected)
    assert again["requests"] > replayed.result["requests"]
    assert again["top_candidates"] == replayed.result["top_candidates"]
    assert events_sent(process) == replayed.events
