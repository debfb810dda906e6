"""The bench itself, with no clock in it: what it reads, how it compares, when it says that it failed."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, Column, insert, select
from sqlalchemy import Table as SqlTable

from bench import ingest, rows
from bench.bodies import Shape, script
from bench.contestants import ALERTMANAGER, POSTGRESQL, SQLITE, STARTS
from bench.figures import Figure, Outcome, Run, Table, ratio
from bench.load import BenchFailed, milliseconds, parsed
from bench.profile import layer, shown
from bench.report import BEGIN, END, markdown, table, write_document, write_json
from bench.rounds import Result
from bench.server import ROOT
from services.engines import MIGRATIONS
from services.incidents.incidents.store import incidents
from services.roadmap.candidates.store import candidates
from shared.database import Database, UtcDateTime
from shared.migrations import upgrade
from shared.settings import Settings

PRINTED = """\
Running 2s test @ http://127.0.0.1:9/api/v2/alerts
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.59ms    0.90ms  20.11ms   91.00%
    Req/Sec     9.93k     1.02k   11.60k    62.50%
  Latency Distribution
     50%  890.00us
     75%    1.70ms
     90%    1.90ms
     99%    1.20s
  19866 requests in 2.00s, 1.52MB read
Requests/sec:   9925.12
Transfer/sec:    775.40KB
"""


def test_what_wrk_prints_is_read() -> None:
    load = parsed(PRINTED, 0.5)
    assert (load.rate, load.requests, load.errors, load.busy) == (9925.12, 19866, 0, 0.5)
    assert (load.p50, load.p99) == (0.89, 1200.0)


def test_refused_and_broken_requests_are_errors() -> None:
    more = "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 5\n"
    assert parsed(PRINTED + more).errors == 15


def test_a_server_that_answered_nothing_has_no_latency_and_meets_no_ceiling() -> None:
    load = parsed(PRINTED.replace("19866 requests", "0 requests").replace("9925.12", "0.00"))
    assert load.rate == 0
    assert not _figure(load.p99, ceiling=1e9).met


def test_what_wrk_does_not_print_is_refused() -> None:
    with pytest.raises(BenchFailed, match="can't be read"):
        parsed("unable to connect")


@pytest.mark.parametrize(("text", "ms"), [("2.50ms", 2.5), ("1.00m", 60_000.0), ("7.00us", 0.007)])
def test_units_of_time_are_told_apart(text: str, ms: float) -> None:
    assert milliseconds(text) == ms


def _figure(value: float, floor: float | None = None, ceiling: float | None = None) -> Figure:
    return Figure("one", value, "×", "another", floor, ceiling)


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        (_figure(0.6, floor=0.6), True),
        (_figure(0.59, floor=0.6), False),
        (_figure(0.5, ceiling=0.5), True),
        (_figure(0.51, ceiling=0.5), False),
        (_figure(float("nan"), floor=0.6), False),
        (_figure(float("nan"), ceiling=0.5), False),
        (_figure(0.0), True),
    ],
)
def test_a_figure_meets_what_is_asked_or_does_not(figure: Figure, met: bool) -> None:
    assert figure.met is met


def test_a_missed_floor_and_a_failed_part_end_with_1_and_the_rest_still_runs() -> None:
    run = Run()
    run.add("good", lambda: Outcome(figures=[_figure(1, floor=1)]))
    assert run.status == 0
    run.add("bad", lambda: Outcome(figures=[_figure(0.9, floor=1)]))
    assert (run.status, len(run.missed)) == (1, 1)

    def broken() -> Outcome:
        raise BenchFailed("No `wrk` here")

    other = Run()
    other.add("broken", broken)
    other.add("good", lambda: Outcome(figures=[_figure(1, floor=1)]))
    assert (other.status, list(other.outcomes)) == (1, ["good"])
    assert "No `wrk` here" in other.failed["broken"]


def test_nothing_to_compare_with_meets_no_floor() -> None:
    assert not _figure(ratio(5, 0), floor=0).met


def test_the_figures_are_written_as_they_are_asked_for(tmp_path: Path) -> None:
    run = Run({"part": Outcome(figures=[_figure(1, floor=1), _figure(float("nan"))])})
    write_json(tmp_path / "build" / "bench.json", run)
    written = json.loads((tmp_path / "build" / "bench.json").read_text())
    assert written == {
        "figures": [
            {"name": "one", "value": 1, "unit": "×", "against": "another", "floor": 1},
            {"name": "one", "value": None, "unit": "×", "against": "another"},
        ]
    }


def _result(rate: float, p99: float) -> Result:
    return Result(rate, 1, p99, drained=0, memory=100, busy=0.5)


def test_each_floor_of_ingest_is_a_ratio_within_its_own_cell() -> None:
    results = {
        cell: {name: _result(1000, 10) for name in STARTS}
        | {POSTGRESQL: _result(700, 4), ALERTMANAGER: _result(1000, 10)}
        for cell in ingest.cells(quick=True)
    }
    asked = [figure for figure in ingest.figures(results, sync=1.0) if figure.asked]
    beside = [f for f in asked if POSTGRESQL in f.name and f.against == ALERTMANAGER]
    assert [(f.value, f.floor, f.ceiling) for f in beside[:2]] == [
        (0.7, 0.6, None),
        (0.4, None, 0.5),
    ]
    assert [f.met for f in beside if f.floor == 1.2] == [False, False]
    assert len([f for f in asked if SQLITE in f.name]) == 6
    assert len(ingest.table(results, 1.0).rows) == len(results) * len(STARTS)


def test_a_script_writes_new_alerts_of_its_own_run_and_as_many_as_are_asked_for(
    tmp_path: Path,
) -> None:
    text = script(tmp_path, Shape(10, 90, "2026-01-01T00:00:00.000Z"), "r1-", pause=7).read_text()
    assert '"2026-01-01T00:00:00.000Z", "r1-", 997, 1, 10' in text
    assert "delay = function() return 7 end" in text
    assert ", 997, 10, 1\n" in script(tmp_path, Shape(1, 0), "r2-").read_text()


def test_a_table_says_which_floor_was_missed_and_which_part_failed() -> None:
    run = Run({"part": Outcome(figures=[_figure(0.5, floor=1)])}, {"lists": "BenchFailed: no wrk"})
    text = markdown(run, "make bench")
    assert "| one | ≥ 1 | 0.5 | × | another | **no** |" in text
    assert "**lists failed**: BenchFailed: no wrk" in text
    assert "not measured in this run: road, storm." in markdown(run, "make", ["road", "storm"])
    assert table(Table("T", ("a", "b"), [("1", "2")], ["n"])).endswith("| 1 | 2 |\n\n- n")


def test_only_what_lies_between_the_markers_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_document(page, "new\n")
    assert page.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    page.write_text("no place")
    with pytest.raises(ValueError, match="has no place"):
        write_document(page, "new\n")


def test_time_is_shown_by_layer_and_by_function() -> None:
    times = {
        (str(ROOT / "services" / "incidents" / "signals" / "writer.py"), 9, "write"): (200, 0.3),
        ("/lib/python3.11/site-packages/sqlalchemy/engine/base.py", 1, "execute"): (100, 0.1),
        ("/lib/python3.11/asyncio/locks.py", 1, "acquire"): (100, 0.0),
    }
    assert [layer(function) for function in times] == [
        "services/incidents/signals",
        "sqlalchemy",
        "python: locks",
    ]
    text = shown(100, times)
    assert text.startswith("100 requests, 4,000 µs each")
    assert "| services/incidents/signals | 3,000.0 | 75.0% |" in text
    assert "| services/incidents/signals: writer.py:9 write | 2.00 | 3,000.0 |" in text


async def test_rows_are_copied_until_there_are_as_many_as_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data=tmp_path)
    for name in ("incidents", "roadmap"):
        await upgrade(settings.database_url(name), MIGRATIONS[name])
    now = datetime.now(UTC).replace(microsecond=0)
    monkeypatch.setattr(rows, "REAL", 1)
    monkeypatch.setattr(rows, "AT_ONCE", 7)
    await _insert(settings.database_url("incidents"), incidents, {"opened_at": now})
    await _insert(settings.database_url("roadmap"), candidates, {"raised_at": now, "score": 1.0})
    await rows.grow(settings, 20)
    for name, moment in (
        ("incidents", incidents.c.opened_at),
        ("roadmap", candidates.c.raised_at),
    ):
        db = Database(settings.database_url(name))
        async with db.read() as conn:
            found = [row[0] for row in await conn.execute(select(moment))]
        await db.close()
        assert len(set(found)) == 20
        assert max(found) - min(found) == timedelta(seconds=19)


async def _insert(url: str, table: SqlTable, stated: dict[str, Any]) -> None:
    """One row, with something of the right kind in each column that needs it."""
    needed = {c.name: _any(c) for c in table.columns if not c.nullable or c.primary_key}
    db = Database(url)
    async with db.begin() as conn:
        await conn.execute(insert(table).values(needed | stated))
    await db.close()


def _any(column: Column[Any]) -> Any:
    if column.name == "state":
        return "open"
    if isinstance(column.type, UtcDateTime):
        return datetime.now(UTC)
    if isinstance(column.type, JSON):
        return {}
    return column.type.python_type()
