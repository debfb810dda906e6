"""Ingest: Groundswell on both engines beside itself without a database, FastAPI, and Alertmanager."""

from collections.abc import Iterator
from dataclasses import dataclass

from bench.bodies import Shape, starting_now
from bench.contestants import (
    ALERTMANAGER,
    FASTAPI,
    NO_DATABASE,
    POSTGRESQL,
    SQLITE,
    STARTS,
    started,
)
from bench.figures import Figure, Outcome, Table, number, ratio
from bench.place import place
from bench.rounds import Effort, Result, compete

COLUMNS = (
    "alerts a request, repeats, connections",
    "server",
    "requests/s",
    "alerts/s",
    "× Alertmanager",
    "p50 ms",
    "p99 ms",
    "MB",
    "drained after s",
)
OF_ALERTMANAGER = {POSTGRESQL: {1: 0.6, 10: 1.2, 100: 1.2}, SQLITE: {1: 0.45, 10: 0.9, 100: 0.9}}
OF_ITS_P99 = 0.5
OF_FASTAPI = 1.5
OF_NO_DATABASE = 0.8
SYNCS = 10
BUSY = 0.9


@dataclass(frozen=True, order=True)
class Cell:
    """One thing to measure all contestants by."""

    repeats: int
    connections: int
    alerts: int

    def __str__(self) -> str:
        return f"{self.alerts}, {self.repeats} %, {self.connections}"


Results = dict[Cell, dict[str, Result]]


def cells(*, quick: bool) -> list[Cell]:
    """What is asked about has its cell in either case."""
    asked = [Cell(90, 16, alerts) for alerts in (1, 10, 100)]
    asked += [Cell(90, 64, 1), Cell(90, 1, 1), Cell(0, 16, 1)]
    more = [Cell(0, 16, 10), Cell(0, 16, 100)]
    more += [Cell(90, connections, alerts) for connections in (1, 64) for alerts in (10, 100)]
    return asked if quick else asked + more


def measure(*, quick: bool) -> Outcome:
    """Every cell with servers that are fresh, so that none pays for what another left behind.

    A short look uses the same servers for all.
    """
    effort = Effort(rounds=1, seconds=2) if quick else Effort(rounds=3, seconds=2)
    every = cells(quick=quick)
    results: Results = {}
    sync = 0.0
    for some in [every] if quick else [[cell] for cell in every]:
        with place() as here:
            sync = here.fsync_ms()
            servers = started(here, list(STARTS.values()))
            starts = starting_now()
            for cell in some:
                shape = Shape(cell.alerts, cell.repeats, starts)
                results[cell] = compete(
                    servers, here.folder, shape, connections=cell.connections, effort=effort
                )
    return Outcome([table(results, sync)], list(figures(results, sync)))


def table(results: Results, sync: float) -> Table:
    made = Table("Ingest", COLUMNS)
    for cell, found in results.items():
        base = found[ALERTMANAGER].rate
        for name, one in found.items():
            numbers = (one.rate, one.rate * cell.alerts, ratio(one.rate, base), one.p50, one.p99)
            shown = [number(value) for value in (*numbers, one.memory)]
            made.rows.append((str(cell), name, *shown, f"{one.drained:.1f}"))
    made.notes = [
        f"An fsync of the same disk takes {number(sync)} ms (median).",
        "Groundswell runs with everything on: key, limits, metrics, relay and consumers in the same"
        " process. Without a database its writer answers at once, the rest is the same.",
        "PostgreSQL's own processes may run on either core; everything else of a server runs on the"
        " first, the generator on the second.",
        "Drained after: seconds after the load until the server had nothing left to do.",
    ]
    fast = sorted({n for found in results.values() for n, one in found.items() if one.busy > BUSY})
    if fast:
        made.notes.append(f"The generator itself was the limit, in places, of: {'; '.join(fast)}.")
    return made


def figures(results: Results, sync: float) -> Iterator[Figure]:
    """The rates, and what is asked of them."""
    for cell, found in results.items():
        for name, one in found.items():
            about = (
                f"alerts/request {cell.alerts}, repeats {cell.repeats} %, {cell.connections} conn"
            )
            what = f"ingest: {name}: {about}"
            yield Figure(f"{what}: rate", one.rate * cell.alerts, "alerts/s", "")
            yield Figure(f"{what}: p99", one.p99, "ms", "")
    for engine, floors in OF_ALERTMANAGER.items():
        for alerts, floor in floors.items():
            yield from _beside_alertmanager(results, engine, alerts, floor)
        yield from _beside_no_database(results, engine)
        alone = results[Cell(90, 1, 1)][engine].p99
        what = f"ingest: {engine}: p99 at one connection"
        yield Figure(what, ratio(alone, sync), "×", "an fsync of the same disk", ceiling=SYNCS)


def _beside_alertmanager(
    results: Results, engine: str, alerts: int, floor: float
) -> Iterator[Figure]:
    found = results[Cell(90, 16, alerts)]
    ours, its = found[engine], found[ALERTMANAGER]
    what = f"ingest: {engine}: {alerts} a request, 16 connections, 90 % repeats"
    yield Figure(f"{what}: rate", ratio(ours.rate, its.rate), "×", ALERTMANAGER, floor=floor)
    ceiling = OF_ITS_P99 if engine == POSTGRESQL else None
    yield Figure(f"{what}: p99", ratio(ours.p99, its.p99), "×", ALERTMANAGER, ceiling=ceiling)


def _beside_no_database(results: Results, engine: str) -> Iterator[Figure]:
    found = results[Cell(90, 64, 1)]
    what = f"ingest: {engine}: 1 a request, 64 connections, 90 % repeats: rate"
    for other, floor in ((FASTAPI, OF_FASTAPI), (NO_DATABASE, OF_NO_DATABASE)):
        against = f"{other}, the same body"
        yield Figure(what, ratio(found[engine].rate, found[other].rate), "×", against, floor=floor)
