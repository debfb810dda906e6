"""The road from a signal to theme evidence and to a candidate, timed while half the top rate comes in.

Every probe is the fifth occurrence of an alert of its own, of which four came days ago: with it the
theme rises and a candidate is raised. Time runs from before the probe is sent until the row is there
to be read in the database of the service that makes it.
"""

import asyncio
import json
import math
import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import quantiles

import httpx
from sqlalchemy import func, select

from bench.bodies import Shape, first_posts, script, starting_now
from bench.contestants import POSTGRESQL, SQLITE, groundswell
from bench.figures import Figure, Outcome, Table, number
from bench.load import GENERATOR_CORE, BenchFailed, Load, authorization, wrk
from bench.place import Place, place
from bench.rounds import prime
from bench.server import Server
from services.feedback.evidence.store import evidence
from services.roadmap.candidates.store import candidates
from shared.database import Database
from shared.settings import Settings

CEILINGS = {"theme evidence": 250, "candidate": 1_000}
DAYS_AGO = (11, 8, 5, 2)
CONNECTIONS = 64
LOOK_SECONDS = 0.004
PATIENCE = 30.0
"""Beyond it a probe counts as lost: its time is without end."""
LEAD_SECONDS = 3


@dataclass
class _Probe:
    number: int
    sent: float = 0.0
    incident_id: str = ""
    theme_id: str = ""
    seen: dict[str, float] = field(default_factory=dict[str, float])
    """Station → milliseconds since it was sent."""


def measure(*, quick: bool) -> Outcome:
    probes, every = (20, 0.2) if quick else (300, 0.1)
    shown = Table(
        "From a signal on, at half the top rate",
        (
            "server",
            "signals/s meanwhile",
            *(f"{s}, {p} ms" for s in CEILINGS for p in ("p50", "p99")),
        ),
    )
    figures: list[Figure] = []
    for engine in (SQLITE, POSTGRESQL):
        with place() as here:
            load, done = _walked(here, engine, probes, every)
        times: list[float] = []
        for station, ceiling in CEILINGS.items():
            taken = [probe.seen.get(station, math.inf) for probe in done]
            p50, p99 = _percentile(taken, 50), _percentile(taken, 99)
            times += [p50, p99]
            what = f"signal to {station}, {engine}, at half the top rate"
            figures.append(Figure(f"{what}: p50", p50, "ms", ""))
            figures.append(Figure(f"{what}: p99", p99, "ms", "", ceiling=ceiling))
        shown.rows.append((engine, number(load.rate), *map(number, times)))
    shown.notes = [
        f"{probes} probes, one each {every * 1000:.0f} ms; one that does not arrive within"
        f" {PATIENCE:.0f} s counts as that. Meanwhile 90 % repeats, one alert a request, paced to half"
        " of what the same server took just before."
    ]
    return Outcome([shown], figures)


def _percentile(values: list[float], percent: int) -> float:
    bounded = [min(value, PATIENCE * 1000) for value in values]
    return quantiles(bounded, n=100, method="inclusive")[percent - 1]


def _walked(here: Place, engine: str, probes: int, every: float) -> tuple[Load, list[_Probe]]:
    database = here.database() if engine == POSTGRESQL else None
    server = here.own(groundswell(here, database=database)).start()
    settings = Settings.model_validate(
        {"data": server.env["GROUNDSWELL_DATA"], "database": database}
    )
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {int(GENERATOR_CORE)})  # the prober must not take the server's time
    try:
        return asyncio.run(_walk(here, server, settings, probes, every))
    finally:
        os.sched_setaffinity(0, everywhere)


async def _walk(
    here: Place, server: Server, settings: Settings, probes: int, every: float
) -> tuple[Load, list[_Probe]]:
    feedback = Database(settings.database_url("feedback"))
    roadmap = Database(settings.database_url("roadmap"))
    shape = Shape(1, 90, starting_now())
    walking = [_Probe(number) for number in range(probes)]
    try:
        async with httpx.AsyncClient(
            base_url=server.url, headers=authorization(server.key), timeout=60, trust_env=False
        ) as client:
            await _tell_the_past(client, feedback, probes)
            prime(server, first_posts(shape, server.form))
            await asyncio.to_thread(server.settle, PATIENCE)
            url, seconds = server.url + server.path, probes * every + LEAD_SECONDS
            top = await asyncio.to_thread(
                wrk, url, script(here.folder, shape, "top-"), CONNECTIONS, LEAD_SECONDS, server.key
            )
            await asyncio.to_thread(server.settle, PATIENCE)
            pause = round(max(1.0, 2000 * CONNECTIONS / top.rate - top.p50 / 4))
            paced = script(here.folder, shape, "half-", pause=pause)
            loading = asyncio.create_task(
                asyncio.to_thread(wrk, url, paced, CONNECTIONS, seconds, server.key)
            )
            await asyncio.sleep(1)
            watching = asyncio.create_task(_watch(feedback, roadmap, walking))
            for probe in walking:
                await _send(client, probe)
                await asyncio.sleep(max(0.0, every - (time.perf_counter() - probe.sent)))
            await watching
            return await loading, walking
    finally:
        await feedback.close()
        await roadmap.close()


async def _tell_the_past(client: httpx.AsyncClient, feedback: Database, probes: int) -> None:
    """Four occurrences of each probe's alert, days ago and over. Returns once all are evidence."""
    now = datetime.now(UTC)
    for days in DAYS_AGO:
        began = now - timedelta(days=days)
        alerts = [
            _alert(n, f"host-{days}", began, began + timedelta(hours=1)) for n in range(probes)
        ]
        for first in range(0, probes, 100):
            await _post(client, alerts[first : first + 100])
    deadline = time.monotonic() + 4 * PATIENCE
    query = select(func.count()).select_from(evidence)
    while time.monotonic() < deadline:
        async with feedback.read() as conn:
            if (await conn.execute(query)).scalar_one() >= len(DAYS_AGO) * probes:
                return
        await asyncio.sleep(0.2)
    raise BenchFailed("the past of the probes does not become evidence")


def _alert(
    number: int, instance: str, began: datetime, ended: datetime | None
) -> dict[str, object]:
    return {
        "status": "resolved" if ended else "firing",
        "labels": {
            "alertname": f"Probe{chr(97 + number // 26 % 26)}{chr(97 + number % 26)}",
            "service": f"probe-{number}",
            "instance": instance,
            "severity": "critical",
        },
        "startsAt": began.isoformat(),
        **({"endsAt": ended.isoformat()} if ended else {}),
    }


async def _post(client: httpx.AsyncClient, alerts: list[dict[str, object]]) -> list[str]:
    """As Alertmanager's webhook, which says into which incidents they went."""
    body = json.dumps({"version": "4", "alerts": alerts})
    answer = await client.post("/ingest/alertmanager", content=body)
    if not answer.is_success:
        raise BenchFailed(f"a probe is refused, {answer.status_code}: {answer.text[:500]}")
    return [signal["incident_id"] for signal in answer.json()["signals"]]


async def _send(client: httpx.AsyncClient, probe: _Probe) -> None:
    alert = _alert(probe.number, "host-0", datetime.now(UTC) - timedelta(seconds=1), None)
    probe.sent = time.perf_counter()
    (probe.incident_id,) = await _post(client, [alert])


async def _watch(feedback: Database, roadmap: Database, probes: list[_Probe]) -> None:
    """Look for what has come about until each probe has arrived or is given up."""
    e, c = evidence.c, candidates.c
    while any(_is_on_its_way(probe) for probe in probes):
        await asyncio.sleep(LOOK_SECONDS)
        unplaced = {p.incident_id: p for p in probes if p.incident_id and not p.theme_id}
        if unplaced:
            query = select(e.source_id, e.theme_id).where(
                e.kind == "incident", e.source_id.in_(unplaced)
            )
            async with feedback.read() as conn:
                for source_id, theme_id in await conn.execute(query):
                    if theme_id:
                        unplaced[source_id].theme_id = theme_id
                        _arrived(unplaced[source_id], "theme evidence")
        waiting = {p.theme_id: p for p in probes if p.theme_id and "candidate" not in p.seen}
        if waiting:
            async with roadmap.read() as conn:
                found = await conn.execute(select(c.theme_id).where(c.theme_id.in_(waiting)))
                for (theme_id,) in found:
                    _arrived(waiting[theme_id], "candidate")


def _is_on_its_way(probe: _Probe) -> bool:
    late = probe.sent and time.perf_counter() - probe.sent > PATIENCE
    return not late and len(probe.seen) < len(CEILINGS)


def _arrived(probe: _Probe, station: str) -> None:
    probe.seen[station] = (time.perf_counter() - probe.sent) * 1000
