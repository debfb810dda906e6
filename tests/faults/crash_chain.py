"""A chain of lives over one set of data: each ends at its failpoint, and the next goes on from there.

After every life the next one must answer for what was acknowledged; after the last, everything comes
to rest and is checked whole.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.crash_client import Client, Gone
from tests.faults.crash_points import Point
from tests.faults.crash_story import Answer, Ask, Step, Teller, leading_to
from tests.faults.failpoints import Board, Plan

LIFE_SECONDS = 12.0
"""How long a life may take to come to its failpoint, before it is counted as missed."""
STEPS_PER_LIFE = 60
PACE_SECONDS = 0.008
"""Between two steps: what they set off in the background gets its turn."""
START_SECONDS = 60.0
FINISH_SECONDS = 120.0
READ_BACK = 5


class ChainFailed(Exception):
    """The system did not do what it must between two crashes; says what."""


@dataclass
class Chain:
    """One chain. `fork` starts a life, `admin_key` reads the key that it made."""

    board: Board
    fork: Callable[[], int]
    admin_key: Callable[[], str | None]
    client: Client
    teller: Teller
    log: Path
    crashed: list[Point] = field(default_factory=list[Point])
    missed: list[Point] = field(default_factory=list[Point])
    steps: dict[str, int] = field(default_factory=dict[str, int])
    _step: Step | None = None
    _asks: list[Ask] = field(default_factory=list[Ask])
    _answers: list[Answer] = field(default_factory=list[Answer])
    _open: list[int] = field(default_factory=list[int])
    """Places of the asks that are not acknowledged yet."""
    _pid: int = 0

    def crash(self, point: Point) -> None:
        """One life, armed with this point; whatever it does, it is dead at the end."""
        self.board.forget()
        self.board.arm(Plan(point.failpoint, point.hit))
        self._start()
        deadline = time.monotonic() + LIFE_SECONDS
        kinds = leading_to(point.failpoint)
        try:
            self._await_listener()
            self.client.read_back(READ_BACK)
            for _ in range(STEPS_PER_LIFE):
                if time.monotonic() > deadline:
                    break
                self._advance(kinds)
                time.sleep(PACE_SECONDS)
            while not self._dead() and time.monotonic() < deadline:
                time.sleep(0.005)
        except Gone:
            pass
        finally:
            self._bury(expected=self.board.went_off is not None)
        (self.crashed if self.board.went_off == point.failpoint else self.missed).append(point)
        self.board.arm(None)

    def finish(self, at_rest: Callable[[], object]) -> None:
        """A life that is left alone: it ends the step under way and comes to rest; then it is killed."""
        self.board.forget()
        self.board.arm(None)
        self._start()
        deadline = time.monotonic() + FINISH_SECONDS
        try:
            while True:
                try:
                    self._end_step(deadline)
                except Gone:
                    if self._dead():
                        raise ChainFailed(f"it ended by itself; see {self.log}") from None
                else:
                    break
            at_rest()
            if self._dead():
                raise ChainFailed(f"it ended by itself; see {self.log}")
        finally:
            self._bury(expected=False)

    def _end_step(self, deadline: float) -> None:
        """Answer for all that was acknowledged, and end the step under way. Raises Gone."""
        self._await_listener()
        self.client.read_back(1000)
        while self._step is not None:
            if time.monotonic() > deadline:
                raise ChainFailed(f"it does not take {self._asks}; see {self.log}")
            self._advance(())

    def _start(self) -> None:
        self.client.hang_up()
        self._pid = self.fork()

    def _await_listener(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.client.wait_for_listener(0.02):
            if self._dead():
                raise Gone({})
            if time.monotonic() > deadline:
                raise ChainFailed(f"it did not listen within {START_SECONDS} s; see {self.log}")
        # Once it answers, the key file is the one that was committed; before, it may be a draft.
        self.client.ask([Ask("/livez", method="GET")])
        self.client.key = self.admin_key() or ""

    def _advance(self, kinds: Sequence[str]) -> None:
        """Ask what is to be asked next. Raises Gone."""
        if self._step is None:
            kind, self._step = self.teller.step(kinds)
            self.steps[kind] = self.steps.get(kind, 0) + 1
            self._take(next(self._step, None))
        try:
            self._note(self.client.ask([self._asks[place] for place in self._open]))
        except Gone as gone:
            self._note(gone.args[0])
            raise
        if not self._open:
            assert self._step is not None
            try:
                self._take(self._step.send(self._answers))
            except StopIteration:
                self._step = None

    def _take(self, asks: list[Ask] | None) -> None:
        self._asks = asks or []
        self._answers = [None] * len(self._asks)
        self._open = list(range(len(self._asks)))

    def _note(self, done: dict[int, Answer]) -> None:
        for place, answer in done.items():
            self._answers[self._open[place]] = answer
        self._open = [one for place, one in enumerate(self._open) if place not in done]

    def _dead(self) -> bool:
        if self._pid and os.waitpid(self._pid, os.WNOHANG)[0]:
            self._pid = 0
        return not self._pid

    def _bury(self, *, expected: bool) -> None:
        """Make sure that it is dead. `expected`: its failpoint went off, so that it is dying."""
        deadline = time.monotonic() + (2.0 if expected else 0.0)
        while not self._dead() and time.monotonic() < deadline:
            time.sleep(0.001)
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0
        self.client.hang_up()
