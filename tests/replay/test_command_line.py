"""`groundswell replay` against a running process, as people and programs call it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.replay.handwritten import row, write_csv
from tests.replay.test_incidents import LIFE
from tests.standalone.conftest import Process, environment, free_port, groundswell, started

SUMMARY = {
    "incidents": 1,
    "opened": 1,
    "resolved": 1,
    "reopened": 1,
    "resolutions": 2,
    "reopenings": 1,
}

JIRA = """\
Key;Changed;Status;Priority;Summary
A-1;05.02.2024 09:00;To Do;Blocker;Mail is late
A-1;05.02.2024 10:00;Doing;Blocker;Mail is late
A-1;05.02.2024 12:00;Done;Blocker;Mail is late
A-2;06.02.2024 12:00;To Do;Minor;Mail is slow
"""
OPTIONS = (
    "external_ref=Key",
    "at=Changed",
    "state=Status",
    "severity=Priority",
    "title=Summary",
    "time_format=%d.%m.%Y %H:%M",
    "state.acknowledged=Doing",
    "severity.critical=Blocker",
)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with started(tmp_path_factory.mktemp("data")) as process:
        yield process


def test_with_json_the_last_line_is_the_result(process: Process, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "log.csv", LIFE)
    done = groundswell("replay", str(path), "--json", "--source", "here", env=process.env)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert {name: result[name] for name in SUMMARY} == SUMMARY
    assert (result["settled"], result["top_candidates"]) == (True, [])
    assert result["seconds"] > 0
    with process.client() as client:
        (incident,) = client.get("/v1/incidents", params={"source": "here"}).json()["items"]
    assert (incident["external_ref"], incident["state"]) == ("INC1", "closed")
    assert list(process.data.glob("replay-*")) == []


def test_for_people_it_is_a_table_and_a_progress_on_stderr(process: Process, tmp_path: Path):
    path = write_csv(tmp_path / "log.csv", [row("1 08:00", "Limbo")])
    done = groundswell("replay", str(path), "--wait", "0", env=process.env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("incidents")
    assert "sending" in done.stderr
    assert "state 'Limbo' is unknown" in done.stderr


@pytest.mark.parametrize("given", ["options", "file"])
def test_any_other_log_is_brought_in_by_a_mapping(process: Process, tmp_path: Path, given: str):
    path, mapping = tmp_path / "log.csv", tmp_path / "mapping.yaml"
    path.write_text(JIRA)
    mapping.write_text(
        "{external_ref: Key, at: Changed, state: Status, severity: Priority, title: '{Summary}',\n"
        " time_formats: ['%d.%m.%Y %H:%M'], states: {Doing: acknowledged, To Do: open},\n"
        " severities: {Blocker: critical}}"
    )
    asked = [part for option in OPTIONS for part in ("--map", option)]
    arguments = asked if given == "options" else ["--mapping", str(mapping)]
    source = f"jira by {given}"
    done = groundswell(
        "replay", str(path), *arguments, "--source", source, "--wait", "0", "--json",
        env=process.env,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["incidents"], result["resolved"], result["rows"]) == (2, 1, 4)
    with process.client() as client:
        items = client.get("/v1/incidents", params={"source": source}).json()["items"]
    assert [(one["title"], one["severity"], one["state"]) for one in items] == [
        ("Mail is slow", "low", "open"),
        ("Mail is late", "critical", "resolved"),
    ]
    assert items[1]["acknowledged_at"] == "2024-02-05T10:00:00Z"


@pytest.mark.parametrize(
    ("content", "arguments", "says"),
    [
        (None, [], "can't be read"),
        ("Key,Status\n1,x\n", [], "no built-in mapping fits the columns Key, Status"),
        ("Key,Status\n1,x\n", ["--map", "external_ref=Key"], "neither `at` nor `opened_at`"),
        ("Key,T\n1,x\n", ["--map", "external_ref=Key", "--map", "at=T"], "holds no moment"),
        ("Key,T\n1,x\n", ["--mapping", "nowhere.yaml"], "nowhere.yaml can't be read"),
        ("Key,T\n1,x\n", ["--mapping", "servicenow"], "has no column 'number'"),
    ],
)
def test_what_can_not_be_replayed_is_a_sentence(
    process: Process, tmp_path: Path, content: str | None, arguments: list[str], says: str
) -> None:
    path = tmp_path / "log.csv"
    if content is not None:
        path.write_text(content)
    done = groundswell("replay", str(path), *arguments, env=process.env)
    assert done.returncode == 1
    assert says in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_key_that_may_not_see_candidates_is_told_so(process: Process, tmp_path: Path) -> None:
    with process.client() as client:
        wanted = {"name": "writer", "scopes": ["incidents:read", "incidents:write"]}
        key = client.post("/v1/keys", json=wanted).json()["key"]
    path = write_csv(tmp_path / "log.csv", LIFE)
    env = {**process.env, "GROUNDSWELL_KEY": key}
    done = groundswell("replay", str(path), env=env)
    assert done.returncode == 1
    assert "roadmap:read" in done.stderr
    assert groundswell("replay", str(path), "--wait", "0", env=env).returncode == 0


def test_a_place_where_nothing_can_be_noted_is_a_sentence(process: Process, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "log.csv", LIFE)
    nowhere = str(tmp_path / "nowhere" / "state.json")
    done = groundswell("replay", str(path), "--state", nowhere, env=process.env)
    assert done.returncode == 1
    assert nowhere in "".join(done.stderr.split("\n"))
    assert "Traceback" not in done.stderr


def test_when_nothing_answers_it_says_how_to_start_it(process: Process, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "log.csv", LIFE)
    env = {**environment(process.data, free_port())}
    done = groundswell("replay", str(path), env=env)
    assert done.returncode == 1
    assert "groundswell run" in done.stderr
