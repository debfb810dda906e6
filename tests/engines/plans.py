"""How SQLite goes about what a request reads: whether it searches an index, reads a table or sorts.

Nobody runs ANALYZE, so that a plan is the same however many rows there are.
"""

from typing import Any

import httpx
from sqlalchemy import Engine, event

from shared.database import Database


async def plans_of(client: httpx.AsyncClient, db: Database, path: str) -> list[str]:
    """The steps of every SELECT that a GET of `path` makes, in order."""
    said: list[tuple[str, Any]] = []

    def listen(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if statement.startswith("SELECT"):
            said.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        (await client.get(path)).raise_for_status()
    finally:
        event.remove(Engine, "before_cursor_execute", listen)
    assert said, f"{path} read nothing"
    async with db.read() as conn:
        return [
            row.detail
            for statement, parameters in said
            for row in await conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]


def reads_too_much(steps: list[str]) -> list[str]:
    """The steps that sort rows, or read a table and not an index in its order."""
    return [
        step
        for step in steps
        if "TEMP B-TREE" in step or (step.startswith("SCAN") and "USING" not in step)
    ]
