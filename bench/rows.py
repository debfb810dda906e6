"""Fills tables far faster than a sender could: real rows, made over HTTP, are copied inside the database.

A copy has an id, an alert, a time and a score of its own; the rest is as the service wrote it.
"""

import json

import httpx
from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.bodies import Shape, hot_alerts, starting_now
from bench.load import BenchFailed, authorization
from bench.server import Server
from services.incidents.incidents.store import incidents
from services.roadmap.candidates.store import candidates
from shared.database import Database
from shared.settings import Settings

REAL = 100
"""Rows of each kind that came over HTTP."""
AT_ONCE = 500
"""Copies of each that one statement makes: the server ends what takes too long."""

NUMBERS = {
    "sqlite": "(WITH RECURSIVE r(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM r WHERE n < {last})"
    " SELECT n FROM r)",
    "postgresql": "(SELECT generate_series({first}, {last}) AS n)",
}
EARLIER = {
    "sqlite": "strftime('%Y-%m-%dT%H:%M:%f', t.{c}, '-' || s.n || ' seconds') || '000Z'",
    "postgresql": "t.{c} - s.n * interval '1 second'",
}


def seed(server: Server) -> None:
    """REAL incidents and as many candidates, as people and senders make them."""
    alerts = hot_alerts(Shape(starts=starting_now()))[:REAL]
    with httpx.Client(
        base_url=server.url, headers=authorization(server.key), timeout=60, trust_env=False
    ) as client:
        _taken(client.post("/api/v2/alerts", content=json.dumps(alerts)))
        for number in range(REAL):
            candidate = {
                "title": f"Payments fail under load, case {number}",
                "product": f"product-{number % 10}",
                "service": f"bench-{number % 20:02}",
                "reason": "Support hears of it every week, and nobody owns it.",
            }
            _taken(client.post("/v1/candidates", json=candidate))


def _taken(answer: httpx.Response) -> None:
    if not answer.is_success:
        raise BenchFailed(f"a row could not be made, {answer.status_code}: {answer.text[:500]}")


async def grow(settings: Settings, size: int) -> None:
    """Copy rows until both tables hold `size`. Nobody else may write meanwhile."""
    for service, table, own in (
        ("incidents", incidents, {"id": "id", "fingerprint": "fingerprint", "opened_at": "moment"}),
        ("roadmap", candidates, {"candidate_id": "id", "raised_at": "moment", "score": "number"}),
    ):
        db = Database(settings.database_url(service))
        try:
            async with db.begin() as conn:
                copies = size // REAL - 1
                for first in range(1, copies + 1, AT_ONCE):
                    last = min(first + AT_ONCE - 1, copies)
                    await conn.execute(text(_copying(conn, table, own, first, last)))
                if conn.dialect.name == "postgresql":  # which does so by itself, some time later
                    await conn.execute(text("ANALYZE"))
        finally:
            await db.close()


def _copying(
    conn: AsyncConnection, table: Table, own: dict[str, str], first: int, last: int
) -> str:
    """A statement that makes these copies of each real row; no caller's text is in it."""
    dialect = conn.dialect.name
    columns = [column.name for column in table.columns]
    copied: list[str] = []
    for name in columns:
        kind = own.get(name)
        if kind == "moment":
            copied.append(EARLIER[dialect].format(c=name))
        elif kind == "number":
            copied.append(f"t.{name} + s.n * 0.000001")
        else:
            copied.append(f"t.{name} || '-' || s.n" if kind else f"t.{name}")
    numbers = NUMBERS[dialect].format(first=first, last=last)
    real = f"t.{next(iter(own))} NOT LIKE '%-%'"  # a copy's id has its number behind a dash
    selected = f"SELECT {', '.join(copied)} FROM {table.name} AS t, {numbers} AS s WHERE {real}"
    return f"INSERT INTO {table.name} ({', '.join(columns)}) {selected}"
