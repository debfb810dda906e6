"""SQLite on the loop's own thread: nothing in a run depends on how threads are scheduled.

The driver hands each statement to a thread of its connection and waits. Here the statement runs where
it is handed over. It also takes a fraction of the time.
"""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import aiosqlite.core

Handed = tuple[asyncio.Future[Any] | None, Callable[[], Any]]


class _AtOnce:
    """The queue of a connection, which works off what is put into it before it returns."""

    def put_nowait(self, handed: Handed) -> None:
        future, work = handed
        try:
            result = work()
        except Exception as error:
            if future is None:
                raise
            future.set_exception(error)
        else:
            if future is not None:
                future.set_result(result)


class _NoThread:
    daemon = True

    def __init__(self, **_: object) -> None:
        return

    def start(self) -> None:
        return


@contextmanager
def on_one_thread() -> Generator[None]:
    """Connections that are made while the block runs have no thread."""
    with (
        patch.object(aiosqlite.core, "SimpleQueue", _AtOnce),
        patch.object(aiosqlite.core, "Thread", _NoThread),
    ):
        yield
