"""Failpoints: named places in the product where a test may kill it, make it fail or hold it.

In the product a failpoint is a comment on a line of its own, `# failpoint: relay.sent`, and costs
nothing. Only where `install()` ran before the product was imported does each such line become a call
of `hit`, on the same line. What was hit, and what is to happen, stands on a board in shared memory,
so that a parent sees what its forked child did, however that ended.
"""

import ast
import importlib
import mmap
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Literal

ROOT = Path(__file__).absolute().parents[2]
PACKAGES = ("shared", "services")
MODULE = "tests.faults.failpoints"
MARK = re.compile(
    r"^(?P<indent>[ ]*)# failpoint: (?P<name>[a-z_]+(?:\.[a-z_]+)+)[ ]*$", re.MULTILINE
)
ANY_MARK = re.compile(r"#\s*failpoint", re.IGNORECASE)

Action = Literal["kill", "raise", "pause"]
ACTIONS: tuple[Action, ...] = ("kill", "raise", "pause")
OVERALL = "*"
"""Instead of a name: count the hits of all failpoints together."""


class FailpointReached(OSError):
    """What a failpoint raises where it was told to; an I/O error like any other to the product."""


@dataclass(frozen=True, slots=True)
class Plan:
    """At the `at`-th hit of `name`, counted from when the plan was made: do this."""

    name: str
    at: int = 1
    action: Action = "kill"
    seconds: float = 0.0
    """How long a pause lasts; it holds the whole process."""


def sources() -> Iterator[Path]:
    """Every file of the product that may hold a failpoint."""
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def places() -> dict[str, list[str]]:
    """Each failpoint in the source, and where it stands as `file:line`."""
    found: dict[str, list[str]] = {}
    for path in sources():
        text = path.read_text()
        for mark in MARK.finditer(text):
            line = text.count("\n", 0, mark.start()) + 1
            found.setdefault(mark["name"], []).append(f"{path.relative_to(ROOT)}:{line}")
    return dict(sorted(found.items()))


def armed(text: str) -> str:
    """The source with each failpoint turned into a call, line for line."""
    return MARK.sub(rf'\g<indent>__import__("{MODULE}", fromlist=["hit"]).hit("\g<name>")', text)


def plain(text: str) -> str:
    """The source without its failpoints, line for line."""
    return MARK.sub("", text)


@dataclass
class Board:
    """What is armed, and how often each failpoint was hit. Shared with children forked after it."""

    names: Sequence[str] = field(default_factory=lambda: tuple(places()))

    def __post_init__(self) -> None:
        self._memory = mmap.mmap(-1, 8 * (len(self.names) + 8))
        self._cells = memoryview(self._memory).cast("q")
        self._index = {name: number + 8 for number, name in enumerate(self.names)}

    # The first eight cells: armed name, hits still to go, action, milliseconds, the name that went off.
    def arm(self, plan: Plan | None) -> None:
        """Make this the plan, from now on; None: nothing happens any more."""
        self._cells[0] = 0
        self._cells[4] = 0
        if plan is None:
            return
        self._cells[1] = plan.at
        self._cells[2] = ACTIONS.index(plan.action)
        self._cells[3] = int(plan.seconds * 1000)
        self._cells[0] = -1 if plan.name == OVERALL else self._index[plan.name]

    def forget(self) -> None:
        """Count from nought again."""
        for cell in self._index.values():
            self._cells[cell] = 0

    @property
    def went_off(self) -> str | None:
        """The failpoint at which the plan was carried out."""
        cell = self._cells[4]
        return self.names[cell - 8] if cell else None

    def hits(self) -> Counter[str]:
        """How often each was hit since `forget`."""
        return Counter({name: self._cells[cell] for name, cell in self._index.items()})

    def hit(self, name: str) -> None:
        cell = self._index[name]
        self._cells[cell] += 1
        if self._cells[0] not in (cell, -1):
            return
        self._cells[1] -= 1
        if self._cells[1] == 0:
            self._cells[0] = 0
            self._cells[4] = cell
            self._act(name, ACTIONS[self._cells[2]], self._cells[3] / 1000)

    def _act(self, name: str, action: Action, seconds: float) -> None:
        if action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif action == "raise":
            raise FailpointReached(f"failpoint {name}")
        else:
            time.sleep(seconds)


_board: Board | None = None


def board() -> Board:
    """This process's board."""
    global _board
    if _board is None:
        _board = Board()
    return _board


def hit(name: str) -> None:
    """Called by the product at each failpoint, where the hook is installed."""
    board().hit(name)


class _ArmedLoader(SourceFileLoader):
    """Compiles a module with its failpoints, and keeps out of the cache of compiled files."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return compile(armed(self.get_data(path).decode()), path, "exec", dont_inherit=True)


class _Finder:
    """Finds the product's modules where they are, and has them loaded by `_ArmedLoader`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in PACKAGES:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _ArmedLoader(spec.loader.name, spec.loader.path)
        return spec


def install() -> Board:
    """Turn failpoints into calls in every product module that is imported from now on."""
    early = [name for name in sys.modules if name.partition(".")[0] in PACKAGES]
    if early:
        raise RuntimeError(f"install failpoints before the product is imported: {early[:3]}")
    finder: Any = _Finder()
    sys.meta_path.insert(0, finder)
    return board()


def misspelt() -> list[str]:
    """Lines that look like a failpoint and are none, and those that would break their module."""
    wrong: list[str] = []
    for path in sources():
        text = path.read_text()
        for number, line in enumerate(text.splitlines(), 1):
            if ANY_MARK.search(line) and not MARK.match(line):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
        try:
            ast.parse(armed(text))
        except SyntaxError as error:
            wrong.append(f"{path.relative_to(ROOT)}:{error.lineno}: stands inside an expression")
    return wrong


def planned(text: str) -> Plan:
    """A plan from `NAME:HIT` or `NAME:HIT:ACTION`; a pause lasts five seconds."""
    name, _, rest = text.partition(":")
    at, _, action = rest.partition(":")
    if name != OVERALL and name not in places():
        raise SystemExit(f"there is no failpoint {name!r}; without arguments all are listed")
    for wanted in ACTIONS:
        if wanted == (action or "kill"):
            return Plan(name, int(at or 1), wanted, seconds=5.0)
    raise SystemExit(f"{action!r} is none of {', '.join(ACTIONS)}")


def main() -> None:
    """Print every failpoint and where it stands; or run the command line with one armed:

    python -m tests.faults.failpoints relay.sent:3:kill run
    """
    if len(sys.argv) == 1:
        for name, where in places().items():
            print(f"{name:32} {', '.join(where)}")
        return
    importlib.import_module(MODULE).install().arm(planned(sys.argv[1]))
    sys.argv = ["groundswell", *sys.argv[2:]]
    importlib.import_module("services.cli").app()


if __name__ == "__main__":
    main()
