"""One worker of the crash walk: the process that imports everything once, forks every life of its
chains, plays their sender, and judges each chain. Says a line of JSON for each chain.

Run by `tests.faults.crash`, with its orders as JSON in the only argument.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults import failpoints
from tests.faults.crash_points import AT_BIRTH, Point, names_on, poison_for

ENVIRONMENT = {
    "GROUNDSWELL_INCIDENTS_EXPIRY_GRACE_SECONDS": "0",
    "GROUNDSWELL_LOG_LEVEL": "WARNING",
    # The next life is the same member of its groups: nobody waits for the dead one's session.
    "GROUNDSWELL_KAFKA_GROUP_INSTANCE_ID": "crash-walk",
    "GROUNDSWELL_KAFKA_SESSION_SECONDS": "3",
    "GROUNDSWELL_KAFKA_HEARTBEAT_SECONDS": "0.3",
    "GROUNDSWELL_KAFKA_PARTITIONS": "3",
}
"""What a life sees, apart from the settings of its engine."""


REACH_SECONDS = 15.0
"""How long the first life waits for what the story sets off in the background."""


REST_SECONDS = 120.0
"""How long to wait for rest: here it must come, and not within a time."""
STOPPED = 143
LOOKS, LOOK_SECONDS = 5, 5.0
"""What is wrong at so many looks in a row, with rest before each, stays wrong."""


@dataclass(frozen=True)
class Orders:
    """`chains` are numbered, so that a seed names the same chain in every run."""

    engine: str
    seed: int
    chains: tuple[tuple[int, tuple[Point, ...]], ...]
    port: int
    folder: str
    planted: str | None = None
    mock: bool = False
    """No real Kafka."""

    @classmethod
    def read(cls, text: str) -> "Orders":
        said = json.loads(text)
        chains = tuple((n, tuple(Point(*p) for p in points)) for n, points in said.pop("chains"))
        return cls(chains=chains, **said)


TOLD_TO_STOP = threading.Event()


def told_to_stop(*_: object) -> None:
    """Leave, and clean up on the way; a library that swallows this is asked again between lives."""
    TOLD_TO_STOP.set()
    sys.exit(STOPPED)


def main() -> None:
    orders = Orders.read(sys.argv[1])
    os.environ.update(ENVIRONMENT)
    signal.signal(signal.SIGTERM, told_to_stop)
    board = failpoints.install()
    # Only now: the product must not be imported before the hook is there.
    from shared import logs
    from tests.faults import crash_life, crash_planted
    from tests.faults.crash_engines import ENGINES

    logs.configure("console", "WARNING")
    folder = Path(orders.folder)
    crash_life.hasten()
    engine = ENGINES[orders.engine](folder, orders.port, mock=orders.mock)
    try:
        wiring = crash_life.wired(engine.settings)
        crash_life.live_here(wiring, lambda _url, _key: None)
        engine.keep_template()
        Worker(orders, board, engine, wiring, folder).warm()
        print(json.dumps({"reached": dict(board.hits())}), flush=True)
        if orders.planted is not None:
            crash_planted.PLANTED[orders.planted]()
        for number, points in orders.chains:
            worker = Worker(orders, board, engine, wiring, folder)
            print(json.dumps(worker.chain(number, points)), flush=True)
    finally:
        engine.close()


@dataclass
class Worker:
    """What a chain needs. Typed loosely: the product's types are only there once it is imported."""

    orders: Orders
    board: failpoints.Board
    engine: Any
    wiring: Any
    folder: Path

    def warm(self) -> None:
        """Live once in this process, with some of every step, so that the forks find it all warm."""
        from tests.faults import crash_life
        from tests.faults.crash_chain import PACE_SECONDS
        from tests.faults.crash_client import Client
        from tests.faults.crash_story import STEPS, Teller
        from tests.faults.history import History

        def play(_url: str, key: str) -> None:
            client = Client(self.orders.port, History(), key)
            teller = Teller(random.Random(0))
            for kind in (*STEPS, *STEPS):
                _, step = teller.step([kind])
                asks = next(step, None)
                while asks is not None:
                    answers = client.ask(asks)
                    time.sleep(PACE_SECONDS)
                    try:
                        asks = step.send([answers[place] for place in range(len(asks))])
                    except StopIteration:
                        asks = None
            client.hang_up()
            expected = names_on(self.orders.engine)
            deadline = time.monotonic() + REACH_SECONDS
            while not all(self.board.hits()[name] for name in expected):
                if time.monotonic() > deadline:
                    break
                time.sleep(0.05)

        self.engine.prepare(empty=False)
        self.engine.poison()
        self.wiring.settings = self.engine.settings
        crash_life.live_here(self.wiring, play)

    def chain(self, number: int, points: Sequence[Point]) -> dict[str, Any]:
        """Play one chain to its end and judge it."""
        from tests.faults import crash_life, history
        from tests.faults.crash_chain import Chain, ChainFailed
        from tests.faults.crash_client import Client
        from tests.faults.crash_story import Teller

        began = time.monotonic()
        self.engine.prepare(empty=bool(points) and points[0].failpoint.startswith(AT_BIRTH))
        self.wiring.settings = settings = self.engine.settings
        past = self.folder / f"history-{number}"
        shutil.rmtree(past, ignore_errors=True)
        past.mkdir()
        log = self.folder / f"chain-{number}.log"
        key = settings.data / "admin.key"
        chance = random.Random(f"{self.orders.seed} {self.orders.engine} {number}")
        hits: Counter[str] = Counter()
        poison: list[str] = []
        wrong: list[str] = []
        with history.History(past / "client.jsonl") as written:
            chain = Chain(
                self.board,
                lambda: crash_life.fork(self.wiring, log),
                lambda: key.read_text().strip() if key.exists() else None,
                Client(self.orders.port, written),
                Teller(chance),
                log,
            )
            judged: dict[str, Any] = {"acknowledged": 0, "lost": 0, "doubled": 0, "violations": []}
            try:
                for place, point in enumerate(points):
                    if TOLD_TO_STOP.is_set():
                        sys.exit(STOPPED)
                    for _ in range(poison_for(point, place)):
                        poison += self.engine.poison()
                    chain.crash(point)
                    hits += self.board.hits()
                chain.finish(lambda: judged.update(self._at_rest(chain, past, poison)))
                hits += self.board.hits()
            except ChainFailed as failed:
                wrong.append(str(failed))
        judged["violations"] = [*wrong, *chain.client.wrong, *judged["violations"]]
        return {
            "chain": number,
            "crashed": [list(one) for one in chain.crashed],
            "missed": [list(one) for one in chain.missed],
            "hits": dict(hits),
            "steps": chain.steps,
            "seconds": round(time.monotonic() - began, 2),
            **judged,
        }

    def _at_rest(self, chain: Any, past: Path, poison: list[str]) -> dict[str, Any]:
        """Wait until it is at rest and judge it then.

        A timer may say something more after that: what seems wrong is looked at again, as long as
        there is time; a broken promise stays broken.
        """
        deadline = time.monotonic() + REST_SECONDS
        before: Any = None
        unchanged = 0
        while True:
            within = max(deadline - time.monotonic(), LOOK_SECONDS)
            settled, stored = asyncio.run(self._look(within))
            judged = self._judged(chain, settled, stored, past, poison)
            unchanged = unchanged + 1 if judged["violations"] == before else 0
            before = judged["violations"]
            if not before or unchanged == LOOKS or time.monotonic() > deadline:
                return judged
            time.sleep(1)

    async def _look(self, within: float) -> Any:
        from services import engines
        from shared.database import Database
        from tests.faults.settle import databases_of, settle
        from tests.faults.stored import Stored

        settings = self.engine.settings
        dbs = {name: Database(settings.database_url(name)) for name in engines.SERVICES}
        reader, closing = self.engine.reader()
        try:
            settled = await settle(databases_of(dbs, reader), within=within)
            return settled, await Stored.load(dbs, reader)
        finally:
            for db in [*dbs.values(), *([closing] if closing else [])]:
                await db.close()

    def _judged(
        self, chain: Any, settled: Any, stored: Any, past: Path, poison: list[str]
    ) -> dict[str, Any]:
        from tests.faults import checker, crash_marks, history

        report = checker.check(history.read(past), stored, poison=poison)
        client = chain.client
        lost, doubled = crash_marks.lost_and_doubled(client.acknowledged, stored)
        return {
            "acknowledged": report.acknowledged + len(client.acknowledged),
            "lost": report.lost + lost,
            "doubled": report.doubled + doubled,
            "violations": [
                *(f"{v.promise} {v.about}: {v.what}" for v in settled.violations),
                *(f"{v.promise} {v.about}: {v.what}" for v in report.violations),
                *crash_marks.broken(client.acknowledged, client.uncertain, stored),
            ],
        }


if __name__ == "__main__":
    main()
