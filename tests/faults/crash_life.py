"""The whole system in one process, wired once and then forked for each life it is to live.

What is slow and the same in every life (imports, applications, documents, compiled statements) is
done before the fork; what a start does to its data (locks, migrations, keys, joining the bus) is done
by each child, by the product's own `running`. No connection, thread or loop exists when it forks.
"""

import asyncio
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from fastapi import FastAPI

from services import standalone
from services.feedback import worker as feedback_worker
from services.gateway import app as gateway
from services.incidents import worker as incidents_worker
from services.incidents.signals.writer import Writer
from services.incidents.silences.current import CurrentSilences
from services.roadmap import worker as roadmap_worker
from shared.database import Database
from shared.settings import Settings

TIMER_SECONDS = 0.15
"""The timers' pace here: a life is short."""


@dataclass
class Wiring:
    """Applications and databases of one set of settings, opened by nobody yet."""

    settings: Settings
    dbs: dict[str, Database]
    services: dict[str, FastAPI]
    own: FastAPI


def hasten() -> None:
    """Let the timers come round often enough for a life of a second."""
    incidents_worker.EXPIRY_SECONDS = TIMER_SECONDS
    incidents_worker.SILENCES_SECONDS = TIMER_SECONDS
    incidents_worker.ADOPTION_SECONDS = TIMER_SECONDS
    feedback_worker.REVIEW_SECONDS = TIMER_SECONDS
    roadmap_worker.WAKE_SECONDS = TIMER_SECONDS


def wired(settings: Settings) -> Wiring:
    """Build what every life shares, and have `running` use it."""
    dbs = {name: Database(settings.database_url(name)) for name in standalone.MIGRATIONS}
    services = standalone.services_over(dbs)
    own: Any = None
    create_app = gateway.create_app
    upgraded = standalone.migrated

    async def migrated(wanted: Settings) -> dict[str, Database]:
        for db in (await upgraded(wanted)).values():
            await db.close()
        return dbs

    def create_own(db: Database, keyring: Any, health: Any) -> FastAPI:
        nonlocal own
        if own is None:
            own = create_app(db, keyring, health)
        own.state.keyring, own.state.health = keyring, health
        return own

    merge = gateway.merged
    document: Any = None

    def merge_once(documents: Any) -> Any:
        nonlocal document
        document = document or merge(documents)
        return document

    standalone.migrated = migrated
    standalone.services_over = lambda _dbs: services
    gateway.create_app = create_own
    gateway.merged = merge_once
    return Wiring(settings, dbs, services, own)


def refresh(wiring: Wiring) -> None:
    """Forget what belonged to the loop of the life before."""
    for db in wiring.dbs.values():
        db.published = asyncio.Event()
    state = wiring.services["incidents"].state
    state.silences = CurrentSilences(wiring.dbs["incidents"])
    state.writer = Writer(wiring.dbs["incidents"], state.writer.settings, state.silences)


async def _live(settings: Settings, use: Callable[[str, str], None] | None) -> None:
    async with standalone.running(settings) as groundswell:
        if use is not None:
            await asyncio.to_thread(use, groundswell.url, groundswell.admin_key or "")
            return
        await asyncio.Event().wait()


def live_here(wiring: Wiring, use: Callable[[str, str], None]) -> None:
    """One life in this process, with `use` as its only client; its caches stay warm for the forks."""
    refresh(wiring)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_live(wiring.settings, use))
    refresh(wiring)
    gc.collect()
    gc.freeze()
    left = [
        thread.name for thread in threading.enumerate() if thread is not threading.main_thread()
    ]
    assert not left, f"a fork would lose these threads: {left}"


def fork(wiring: Wiring, log: Path) -> int:
    """A child that lives until it is killed. Returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        refresh(wiring)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_live(wiring.settings, None))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)
