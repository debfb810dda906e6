"""Who is measured: each is started on the server's core, over a fresh store, and listens on loopback."""

import shutil
from collections.abc import Callable

from bench.load import BenchFailed
from bench.place import Place
from bench.server import Server, module
from services.gateway.access.domain import generate, text_of
from tests.engines.postgres import free_port

SQLITE, POSTGRESQL = "Groundswell, SQLite", "Groundswell, PostgreSQL"
NO_DATABASE = "Groundswell, no database"
FASTAPI, FASTAPI_ROWS = "FastAPI, no database", "FastAPI, a transaction a request"
ALERTMANAGER = "Alertmanager, in memory"

QUIET_ALERTMANAGER = """\
route:
  receiver: nobody
  group_by: [alertname]
receivers:
  - name: nobody
"""

Starts = Callable[[Place], Server]
"""Launches a contestant, without waiting for it."""


def groundswell(place: Place, *, database: str | None = None, stub: bool = False) -> Server:
    """The whole of it in one process, with everything on: key, limits, metrics, relay, consumers.

    `stub`: the same, but its writer answers at once and writes nothing.
    """
    folder, port = place.fresh("groundswell"), free_port()
    key = text_of(generate())
    env = {
        "GROUNDSWELL_DATA": str(folder / "data"),
        "GROUNDSWELL_PORT": str(port),
        "GROUNDSWELL_ADMIN_KEY": key,
        "GROUNDSWELL_LOG_LEVEL": "WARNING",
        **({"GROUNDSWELL_DATABASE": database} if database else {}),
    }
    name = NO_DATABASE if stub else POSTGRESQL if database else SQLITE
    command = module("bench.without_database") if stub else module("bench.whole")
    return Server(name, command, port, folder / "log", env, "/readyz", key=key)


def on_sqlite(place: Place) -> Server:
    return groundswell(place)


def on_postgresql(place: Place) -> Server:
    return groundswell(place, database=place.database())


def without_database(place: Place) -> Server:
    return groundswell(place, stub=True)


def plain_fastapi(place: Place) -> Server:
    return _fastapi(place, FASTAPI, {})


def fastapi_with_rows(place: Place) -> Server:
    """The same endpoint, as it is usually written: a transaction of SQLAlchemy's for each request."""
    url = f"sqlite+aiosqlite:///{place.fresh('rows')}/rows.sqlite3"
    return _fastapi(place, FASTAPI_ROWS, {"BENCH_DATABASE": url})


def _fastapi(place: Place, name: str, env: dict[str, str]) -> Server:
    port = free_port()
    options = ["--port", str(port), "--no-access-log", "--log-level", "warning"]
    command = module("uvicorn", "bench.plain_fastapi:app", *options)
    return Server(name, command, port, place.fresh("fastapi") / "log", env, "/ready")


def alertmanager(place: Place) -> Server:
    """Debian's, with one thread for Go code, no peers and nobody to tell."""
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if program is None:
        raise BenchFailed("No Alertmanager here: `apt-get install prometheus-alertmanager`.")
    folder, port = place.fresh("alertmanager"), free_port()
    configuration = folder / "alertmanager.yml"
    configuration.write_text(QUIET_ALERTMANAGER)
    command = [
        program,
        f"--config.file={configuration}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
    return Server(ALERTMANAGER, command, port, folder / "log", {"GOMAXPROCS": "1"}, "/-/ready")


STARTS: dict[str, Starts] = {
    SQLITE: on_sqlite,
    POSTGRESQL: on_postgresql,
    NO_DATABASE: without_database,
    FASTAPI: plain_fastapi,
    FASTAPI_ROWS: fastapi_with_rows,
    ALERTMANAGER: alertmanager,
}


def started(place: Place, starts: list[Starts]) -> list[Server]:
    """All of them, ready."""
    servers = [place.own(start(place)) for start in starts]
    for server in servers:
        server.launch()
    for server in servers:
        server.wait_until_ready()
    return servers
