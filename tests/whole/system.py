"""A running Groundswell as a client sees it, and what is on its disk."""

import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

PROBLEM = "application/problem+json"
TYPE_PREFIX = "urn:groundswell:problem:"
ALERTMANAGER_API = "/api/v2/"
PAGERS = "/v2/"
OTHERS = (ALERTMANAGER_API, PAGERS)
"""Addresses of other systems' clients, which are answered in their own words."""

UNCOUNTED = frozenset({"alembic_version", "sqlite_sequence"})
PASSING = frozenset({"outbox", "inbox", "log"})
"""What our own timers say from time to time passes through these, whatever a client does."""

PATIENCE = 30.0
TIMERS_SECONDS = 6.0
"""Within this every timer of every service has come round once."""


@dataclass(frozen=True)
class System:
    """Where it listens, the key that opens everything, and its data folder."""

    url: str
    admin_key: str
    data: Path

    def client(self, key: str | None = "admin", timeout: float = 60) -> httpx.Client:
        """A client with the admin key, with another, or with none."""
        shown = self.admin_key if key == "admin" else key
        headers = {"Authorization": f"Bearer {shown}"} if shown else {}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=timeout)


def rows(system: System) -> dict[str, int]:
    """How many rows each table holds that keeps what was written, in every service."""
    return {name: n for name, n in _all_rows(system).items() if name.split(".")[1] not in PASSING}


def _all_rows(system: System) -> dict[str, int]:
    counted: dict[str, int] = {}
    for file in sorted(system.data.glob("*.sqlite3")):
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as conn:
            tables = conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for (table,) in tables:
                if table not in UNCOUNTED:
                    (number,) = conn.execute(f'SELECT count(*) FROM "{table}"').fetchone()
                    counted[f"{file.stem}.{table}"] = number
    return counted


def summary(system: System) -> Mapping[str, Any]:
    """What the system counts of itself."""
    with system.client() as client:
        answer = client.get("/v1/summary")
    assert answer.status_code == 200, answer.text
    return answer.json()


def quiet(system: System, still: float = 0.4) -> dict[str, int]:
    """Wait until nothing is left to deliver and no row came or went for `still` seconds; the rows
    that there are then."""
    deadline = time.monotonic() + PATIENCE
    before = _all_rows(system)
    while time.monotonic() < deadline:
        time.sleep(still)
        after = _all_rows(system)
        if after == before and not any(n for name, n in after.items() if name.endswith(".outbox")):
            return rows(system)
        before = after
    raise AssertionError(f"it never came to rest: {before}")


def eventually(said: Callable[[], Any], what: str) -> Any:
    """Poll until it says something true; fail with `what` when that takes too long."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := said():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come about")


def check_refusal(answer: httpx.Response) -> dict[str, Any]:
    """Assert that this 4xx or 503 is said as it must be; its problem document, or one made of what
    the clients of another system's address are answered: a JSON string, or an object with a message.
    """
    shown = (
        f"{answer.request.method} {answer.request.url} → {answer.status_code} {answer.text[:500]}"
    )
    if answer.request.url.path.startswith(ALERTMANAGER_API) and answer.status_code != 405:
        detail = answer.json()
        assert isinstance(detail, str), shown
        assert detail, shown
        return {"detail": detail, "type": None, "status": answer.status_code}
    if answer.request.url.path.startswith(PAGERS) and answer.headers["content-type"] != PROBLEM:
        said = answer.json()
        detail = " ".join([said["message"], *map(str, said.get("errors", ()))])
        assert len(detail) > 10, shown
        return {"detail": detail, "type": None, "status": answer.status_code}
    assert answer.headers["content-type"] == PROBLEM, shown
    problem = answer.json()
    assert problem["type"].startswith(TYPE_PREFIX), shown
    assert problem["type"] != TYPE_PREFIX, shown
    assert problem["status"] == answer.status_code, shown
    assert problem["title"], shown
    assert problem["title"] != "Error", f"{shown}: its status has no title"
    assert len(problem["detail"]) > 10, shown
    return problem
