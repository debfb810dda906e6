"""Failpoints are compiled away by default, and where they are installed the crash story meets each."""

import marshal
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults import crash, failpoints
from tests.faults.failpoints import Board, FailpointReached, Plan

SOURCES = list(failpoints.sources())


def bytecode(text: str, path: Path) -> bytes:
    return marshal.dumps(compile(text, str(path), "exec", dont_inherit=True))


def test_every_failpoint_is_spelt_as_one_and_stands_where_a_call_may_stand() -> None:
    assert failpoints.misspelt() == []
    names = failpoints.places()
    assert len(names) >= 30
    print("\n".join(f"{name}: {', '.join(where)}" for name, where in names.items()))


def test_each_failpoint_stands_in_one_place() -> None:
    assert {name: where for name, where in failpoints.places().items() if len(where) > 1} == {}


def test_without_the_hook_the_product_compiles_to_what_it_would_without_failpoints() -> None:
    for path in SOURCES:
        text = path.read_text()
        assert bytecode(text, path) == bytecode(failpoints.plain(text), path), path


def test_without_the_hook_nothing_of_the_tests_is_imported() -> None:
    code = (
        "import sys, services.standalone; sys.exit(any(m.startswith('tests') for m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=failpoints.ROOT, check=False)
    assert done.returncode == 0


def test_with_the_hook_each_becomes_one_call_and_every_line_keeps_its_number() -> None:
    called = 0
    for path in SOURCES:
        text = path.read_text()
        armed = failpoints.armed(text)
        assert armed.count("\n") == text.count("\n")
        calls = re.findall(r'fromlist=\["hit"\]\)\.hit\("[a-z_.]+"\)$', armed, re.MULTILINE)
        assert len(calls) == len(failpoints.MARK.findall(text))
        assert bool(calls) == (bytecode(armed, path) != bytecode(text, path))
        called += len(calls)
    assert called == len(failpoints.places())


def test_a_board_counts_and_acts_at_the_hit_it_was_told() -> None:
    board = Board(("relay.sent", "relay.read"))
    board.arm(Plan("relay.sent", 2, "raise"))
    board.hit("relay.read")
    board.hit("relay.sent")
    with pytest.raises(FailpointReached):
        board.hit("relay.sent")
    board.hit("relay.sent")
    assert board.hits() == {"relay.sent": 3, "relay.read": 1}
    assert board.went_off == "relay.sent"


def test_a_plan_may_count_the_hits_of_all_failpoints() -> None:
    board = Board(("relay.sent", "relay.read"))
    board.arm(Plan(failpoints.OVERALL, 3, "raise"))
    board.hit("relay.read")
    board.hit("relay.sent")
    with pytest.raises(FailpointReached):
        board.hit("relay.read")


def test_a_pause_holds_the_process() -> None:
    board = Board(("relay.sent",))
    board.arm(Plan("relay.sent", 1, "pause", 0.05))
    began = time.monotonic()
    board.hit("relay.sent")
    assert time.monotonic() - began >= 0.05


def test_a_kill_is_a_real_one_and_its_parent_sees_what_was_hit() -> None:
    code = (
        "import os; from tests.faults.failpoints import Board, Plan\n"
        "board = Board(('relay.sent', 'relay.read')); board.arm(Plan('relay.sent'))\n"
        "pid = os.fork()\n"
        "if not pid:\n"
        "    board.hit('relay.read'); board.hit('relay.sent'); os._exit(0)\n"
        "print(os.waitpid(pid, 0)[1], board.went_off, board.hits()['relay.read'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=failpoints.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(int(signal.SIGKILL)), "relay.sent", "1"]


def test_the_command_line_runs_with_a_failpoint_armed(tmp_path: Path) -> None:
    plan = "migrations.upgraded:2"
    done = subprocess.run(
        [sys.executable, "-m", failpoints.MODULE, plan, "run"],
        cwd=failpoints.ROOT,
        env={**os.environ, "GROUNDSWELL_DATA": str(tmp_path / "data"), "GROUNDSWELL_PORT": "0"},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL


def test_a_plan_names_a_failpoint_that_there_is() -> None:
    assert failpoints.planned("relay.sent:3:raise") == Plan("relay.sent", 3, "raise", 5.0)
    with pytest.raises(SystemExit, match="no failpoint"):
        failpoints.planned("relay.sunk")


def test_the_hook_refuses_to_come_too_late() -> None:
    assert "shared" in {name.partition(".")[0] for name in sys.modules}
    with pytest.raises(RuntimeError, match="before the product is imported"):
        failpoints.install()


@pytest.mark.parametrize("engine", ["embedded", "distributed"])
def test_the_story_comes_to_every_failpoint(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(failpoints.ROOT)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    assert crash.reach(engine) == []
