"""The whole system in a thread of its own, with some of everything in it, and plain HTTP to it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvloop

from services.standalone import running
from shared.settings import Settings
from tests.whole.system import TIMERS_SECONDS, System, quiet
from tests.whole.things import Things, sow

START_SECONDS = 60.0


@contextmanager
def system_at(data: Path) -> Iterator[System]:
    """Groundswell on a free port over this data folder, until the block ends."""
    up: asyncio.Event | None = None
    started = threading.Event()
    found: list[System] = []
    failed: list[BaseException] = []
    loops: list[asyncio.AbstractEventLoop] = []

    async def live() -> None:
        nonlocal up
        up = asyncio.Event()
        loops.append(asyncio.get_running_loop())
        async with running(Settings(data=data, port=0)) as groundswell:
            assert groundswell.admin_key
            found.append(System(groundswell.url, groundswell.admin_key, data))
            started.set()
            await up.wait()

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(live())
        except BaseException as error:  # told to whoever waits, in the other thread
            failed.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="groundswell")
    thread.start()
    try:
        assert started.wait(START_SECONDS), "it did not start"
        if failed:
            raise failed[0]
        yield found[0]
    finally:
        if loops and up is not None and thread.is_alive():
            loops[0].call_soon_threadsafe(up.set)
        thread.join(START_SECONDS)
    assert not thread.is_alive(), "it did not stop"
    if failed:
        raise failed[0]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One system for a module's tests."""
    with system_at(tmp_path_factory.mktemp("whole")) as found:
        yield found


@pytest.fixture(scope="module")
def things(system: System) -> Things:
    """Some of everything, and no work left to do."""
    sown = sow(system)
    quiet(system, TIMERS_SECONDS)
    return sown
