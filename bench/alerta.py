"""Ingest beside Alerta on PostgreSQL, both durable; a short run, since Alerta needs no longer one."""

import subprocess
import sys
from pathlib import Path

from bench.bodies import HOT, Shape, starting_now
from bench.contestants import POSTGRESQL, SQLITE, on_postgresql, on_sqlite, started
from bench.figures import Figure, Outcome, Table, number, ratio
from bench.load import BenchFailed
from bench.place import Place, place
from bench.rounds import Effort, compete
from bench.server import ROOT, Server
from tests.engines.postgres import free_port

ALERTA = "Alerta, PostgreSQL"
PACKAGES = ("alerta-server==9.1.0", "gunicorn==27.0.1", "psycopg2-binary==2.9.13")
FLOOR = 50
INSTALL_SECONDS = 300


def measure(*, quick: bool) -> Outcome:
    effort = Effort(rounds=1, seconds=3) if quick else Effort(rounds=3, seconds=3)
    with place() as here:
        servers = started(here, [on_sqlite, on_postgresql, alerta])
        shape = Shape(1, 90, starting_now())
        found = compete(servers, here.folder, shape, connections=16, effort=effort)
    shown = Table("Beside Alerta", ("server", "alerts/s", "× Alerta", "p50 ms", "p99 ms", "MB"))
    for name, one in found.items():
        numbers = (one.rate, ratio(one.rate, found[ALERTA].rate), one.p50, one.p99, one.memory)
        shown.rows.append((name, *map(number, numbers)))
    shown.notes = [
        "One alert a request, 90 % repeats, 16 connections. Alerta runs under gunicorn with four"
        f" threads on the same core; of its alerts {HOT // 10} repeat, of ours {HOT}.",
    ]
    what = "ingest: {}: 1 a request, 16 connections, 90 % repeats: rate"
    figures = [Figure(what.format(ALERTA), found[ALERTA].rate, "alerts/s", "")]
    for engine in (SQLITE, POSTGRESQL):
        times = ratio(found[engine].rate, found[ALERTA].rate)
        figures.append(Figure(what.format(engine), times, "×", ALERTA, floor=FLOOR))
    return Outcome([shown], figures)


def alerta(place: Place) -> Server:
    """Its own virtual environment, its default plugins, no authentication, four threads."""
    folder, port = place.fresh("alerta"), free_port()
    configuration = folder / "alertad.conf"
    database = place.database()
    configuration.write_text(f"DATABASE_URL = {database!r}\nSECRET_KEY = 'bench'\n")
    bind = [
        "--workers",
        "1",
        "--threads",
        "4",
        "--bind",
        f"127.0.0.1:{port}",
        "alerta:create_app()",
    ]
    command = [str(_installed() / "bin" / "gunicorn"), *bind]
    env = {"ALERTA_SVR_CONF_FILE": str(configuration), "PYTHONPATH": "", "HOME": str(folder)}
    ready, path = "/_", "/alert"
    log = folder / "log"
    return Server(ALERTA, command, port, log, env, ready, path, form="alerta")


def _installed() -> Path:
    """Where Alerta is installed; it has dependencies of its own, and shares none with us."""
    folder = ROOT / "build" / "bench" / "alerta"
    done = folder / "installed"
    if done.exists() and done.read_text().split() == list(PACKAGES):
        return folder
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    options = ["--disable-pip-version-check", *PACKAGES]
    for command in ([sys.executable, "-m", "venv", str(folder)], [*pip, *options]):
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
        if ran.returncode:
            raise BenchFailed(f"Alerta can't be installed from PyPI: {ran.stderr[-500:]}")
    done.write_text("\n".join(PACKAGES))
    return folder
