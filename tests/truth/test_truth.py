"""The program that asks a real log: that nothing leaks into a cut, and that it can say no."""

import csv
import importlib
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent
START = datetime(2026, 1, 1, tzinfo=UTC)
Row = dict[str, str]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The reader of the log, which lies beside the program and in no package."""
    monkeypatch.setattr(sys, "path", [str(HERE), *sys.path])
    return importlib.import_module("servicenow_log")


def version(day: float, **changes: str) -> Row:
    """One version of an incident that opened on day 0, written on `day`."""
    row = {
        "number": "INC1",
        "incident_state": "New",
        "sys_mod_count": "0",
        "opened_at": stamp(0),
        "sys_updated_at": stamp(day),
        "category": "Mail",
        "subcategory": "Relay",
        "priority": "3 - Moderate",
        "problem_id": "?",
        "rfc": "?",
        "closed_code": "code 1",
    }
    return row | changes


def stamp(day: float) -> str:
    return (START + timedelta(days=day)).strftime("%d/%m/%Y %H:%M")


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def test_a_link_that_appears_is_known_when_it_appears(log: ModuleType):
    versions = [version(0), version(3, problem_id="PRB1"), version(9, problem_id="PRB1")]
    assert log.incident_of(versions).linked_from == day(3)


def test_a_link_that_stands_on_every_version_is_known_only_at_the_last(log: ModuleType):
    versions = [version(0, rfc="CHG1"), version(3, rfc="CHG1"), version(9, rfc="CHG1")]
    assert log.incident_of(versions).linked_from == day(9)


def test_an_incident_with_no_problem_and_no_change_is_never_linked(log: ModuleType):
    assert log.incident_of([version(0), version(9)]).linked_from is None


def test_severity_and_theme_are_those_of_the_first_version_in_whatever_order(log: ModuleType):
    versions = [
        version(5, priority="1 - Critical", category="Network", sys_mod_count="2"),
        version(0, sys_mod_count="0"),
        version(0, priority="2 - High", sys_mod_count="1"),
    ]
    incident = log.incident_of(versions)
    assert (incident.severity, incident.theme) == ("medium", ("Mail", "Relay"))


def test_windows_of_a_cut_count_by_when_incidents_opened(log: ModuleType):
    opened = [0, 10, 29, 32, 45, 46, 47, 59, 61]
    rows = [
        version(at + 2, number=f"INC{at}", opened_at=stamp(at), incident_state="Resolved")
        for at in opened
    ]
    [outcome] = log.outcomes_at(day(60), log.incidents_of(rows))
    numbers = outcome.numbers
    assert (numbers.total, numbers.opened_28d, numbers.opened_14d) == (8, 4, 2)
    assert (numbers.earlier_count, numbers.earlier_days) == (6, 46)
    assert (numbers.open, outcome.later) == (1, 1)


def test_nothing_that_happens_after_a_cut_changes_what_was_known_at_it(log: ModuleType):
    rows = busy_log()
    cut = day(40)
    tampered = [row if written(row) <= cut else row | tampering(row, cut) for row in rows]
    assert tampered != rows

    def known(of: list[Row]) -> dict[object, object]:
        return {o.theme: o.numbers for o in log.outcomes_at(cut, log.incidents_of(of))}

    assert known(tampered) == known(rows)


def tampering(row: Row, cut: datetime) -> Row:
    """The worst that the future can bring to an incident, old or new."""
    worst = {"priority": "1 - Critical", "rfc": "CHG9", "category": "Elsewhere"}
    return worst if opened(row) <= cut else worst | {"category": row["category"]}


def opened(row: Row) -> datetime:
    return datetime.strptime(row["opened_at"], "%d/%m/%Y %H:%M").replace(tzinfo=UTC)


def written(row: Row) -> datetime:
    return datetime.strptime(row["sys_updated_at"], "%d/%m/%Y %H:%M").replace(tzinfo=UTC)


def busy_log(grave: str = "1 - Critical", loud: str = "4 - Low") -> list[Row]:
    """40 loud themes that nobody fixed, and 20 themes with a problem record for each incident."""
    rows: list[Row] = []
    for theme in range(60):
        fixed = theme < 20
        for at in range(theme % 4, 75, 4 if fixed else 1):
            told = {
                "number": f"INC{theme}-{at}",
                "category": f"Theme {theme}",
                "opened_at": stamp(at),
                "priority": grave if fixed else loud,
            }
            link = f"PRB{theme}" if fixed else "?"
            rows.append(version(at, **told))
            rows.append(version(at + 2, **told, incident_state="Closed", problem_id=link))
    return rows


def saved(rows: list[Row], path: Path) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def asked(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the program as `make truth` does."""
    inherited = {k: v for k, v in os.environ.items() if k != "GROUNDSWELL_SERVICENOW_LOG"}
    return subprocess.run(
        [sys.executable, str(HERE / "truth.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=inherited | settings,
    )


def test_a_score_that_finds_what_was_fixed_meets_the_bar(tmp_path: Path):
    answer = asked(str(saved(busy_log(), tmp_path / "log.csv")), "--json")
    report = json.loads(answer.stdout)
    lift = {line["name"]: line["lift"]["value"] for line in report["lines"]}
    # 20 of 60 themes are hits: attention finds all 20 (3 x base), counting finds none
    assert (lift["attention"], lift["count"]) == pytest.approx((3.0, 0.0))
    assert (answer.returncode, report["missed"]) == (0, [])


def test_a_score_that_finds_nothing_misses_the_bar_and_says_which(tmp_path: Path):
    misleading = busy_log(grave="4 - Low", loud="1 - Critical")
    for row in misleading:
        row["problem_id"] = "?" if opened(row) < day(60) else row["problem_id"]
    log = saved(misleading, tmp_path / "log.csv")
    answer = asked(GROUNDSWELL_SERVICENOW_LOG=str(log))
    assert answer.returncode == 1
    assert "is missed: at least 2 x base rate; lower bound above 1; above count" in answer.stdout


def test_without_a_log_it_says_where_to_name_one():
    answer = asked()
    assert answer.returncode == 2
    assert "GROUNDSWELL_SERVICENOW_LOG" in answer.stderr


def test_a_file_that_is_not_the_log_is_refused_by_its_missing_columns(tmp_path: Path):
    answer = asked(str(saved([{"number": "INC1"}], tmp_path / "other.csv")))
    assert answer.returncode == 2
    assert "has no column incident_state" in answer.stderr
