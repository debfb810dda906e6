"""SQLite on the loop's own thread: nothing in a run depends on how threads are scheduled.

A lane hands each piece of work to its thread and waits. Here it is done where it is handed over. It
also takes a fraction of the time.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from shared.lane import Lane


async def _at_once(_: Lane, work: Callable[..., Any], *args: Any, **named: Any) -> Any:
    return work(*args, **named)


@contextmanager
def on_one_thread() -> Generator[None]:
    """While the block runs, no lane uses its thread."""
    with patch.object(Lane, "hop", _at_once):
        yield
