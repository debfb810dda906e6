"""Lists of 50 over a growing table: candidates and incidents, through HTTP, with a key.

For each engine three systems stand side by side with three sizes, and a server that holds the same
bytes and no database; they take turns, so that growth is measured and not the weather.
"""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from bench.contestants import POSTGRESQL, SQLITE, groundswell
from bench.figures import Figure, Outcome, Table, number, ratio
from bench.load import Load, authorization, wrk
from bench.place import Place, place
from bench.rounds import SETTLE_SECONDS, Effort, interleave
from bench.rows import grow, seed
from bench.server import Server, module
from shared.settings import Settings
from tests.engines.postgres import free_port

LISTS = {"incidents": "/v1/incidents?limit=50", "candidates": "/v1/candidates?limit=50"}
GROWTH, OF_BYTES = 0.8, 0.35
CONNECTIONS = 16
BYTES = "the same bytes, no database"


def measure(*, quick: bool) -> Outcome:
    sizes = (1_000, 10_000, 100_000) if quick else (1_000, 100_000, 1_000_000)
    effort = Effort(rounds=1, seconds=2) if quick else Effort(rounds=3, seconds=2)
    columns = ("list of 50", "engine", *(f"{size:,} rows, req/s" for size in sizes))
    shown = Table("Lists", (*columns, f"{BYTES}, req/s", "p99 ms at most rows"))
    figures: list[Figure] = []
    for engine in (SQLITE, POSTGRESQL):
        with place() as here:
            servers = _filled(here, engine, sizes)
            for name, path in LISTS.items():
                body = _served(here, servers[0], path)
                found = interleave([*servers, body], _reading(path), effort)
                here.stop([body])
                rates = [found[server.name].rate for server in (*servers, body)]
                last = found[servers[-1].name]
                shown.rows.append((name, engine, *map(number, (*rates, last.p99))))
                what = f"list of 50 {name}, {engine}, {sizes[-1]:,} rows: rate"
                growth = ratio(rates[-2], rates[0])
                beside = f"its rate at {sizes[0]:,} rows"
                figures.append(Figure(what, growth, "×", beside, floor=GROWTH))
                share = ratio(rates[-2], rates[-1])
                figures.append(Figure(what, share, "×", BYTES, floor=OF_BYTES))
                figures.append(Figure(what, rates[-2], "requests/s", ""))
    shown.notes = [
        f"{CONNECTIONS} connections, the first page, newest or highest first. Rows are copies of real"
        " ones, made by SQL; the bytes are served by a FastAPI endpoint that holds them."
    ]
    return Outcome([shown], figures)


def _filled(place: Place, engine: str, sizes: Sequence[int]) -> list[Server]:
    """Systems with so many incidents and candidates each: copies of one, which people and senders fed."""
    database = place.database() if engine == POSTGRESQL else None
    first = place.own(groundswell(place, database=database)).start()
    seed(first)
    first.settle(SETTLE_SECONDS)
    place.stop([first])
    servers: list[Server] = []
    for size in sizes:
        copied = place.database(like=database) if database else None
        server = groundswell(place, database=copied)
        folder = Path(server.env["GROUNDSWELL_DATA"])
        shutil.copytree(first.env["GROUNDSWELL_DATA"], folder)
        asyncio.run(grow(Settings.model_validate({"data": folder, "database": copied}), size))
        server.key, server.name = first.key, f"{engine}, {size:,}"
        place.own(server).launch()
        servers.append(server)
    for server in servers:
        server.wait_until_ready()
    return servers


def _served(place: Place, source: Server, path: str) -> Server:
    """What `source` answers, from memory."""
    folder, port = place.fresh("bytes"), free_port()
    source.resume()  # it may have had no turn for a while
    held = folder / "body.json"
    answer = httpx.get(
        source.url + path, headers=authorization(source.key), timeout=60, trust_env=False
    )
    held.write_bytes(answer.raise_for_status().content)
    options = ["--port", str(port), "--no-access-log", "--log-level", "warning"]
    command = module("uvicorn", "bench.plain_fastapi:app", *options)
    env = {"BENCH_BYTES": str(held)}
    server = Server(BYTES, command, port, folder / "log", env, "/ready", "/bytes")
    return place.own(server).start()


def _reading(path: str) -> Callable[[Server, int, float], Load]:
    def get(server: Server, _: int, seconds: float) -> Load:
        asked = server.path if server.name == BYTES else path
        return wrk(server.url + asked, None, CONNECTIONS, seconds, server.key)

    return get
