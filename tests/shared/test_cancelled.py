"""Cancelled at any moment, once or again while it gives up: nothing half is left, and all goes on."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import Database
from tests.shared.things import things

MOMENTS = (*range(12), *range(12, 60, 6))
"""How often the event loop turns before the cancellation."""


async def pair(conn: AsyncConnection) -> None:
    await conn.execute(insert(things).values(count=1))
    await conn.execute(insert(things).values(count=1))


async def step_by_step(db: Database) -> None:
    async with db.begin() as conn:
        await pair(conn)


async def handed_over(db: Database) -> None:
    await db.write(pair)


async def reading(db: Database) -> None:
    async with db.read() as conn:
        await conn.execute(select(things))
        await conn.execute(select(things))


async def looking(db: Database) -> None:
    async with db.look() as conn:
        await conn.execute(select(things))


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("doing", [step_by_step, handed_over, reading, looking])
async def test_a_cancellation_leaves_nothing_half(
    db: Database, doing: Callable[[Database], Coroutine[Any, Any, None]], *, again: bool
) -> None:
    before = 0
    for moment in MOMENTS:
        task = asyncio.create_task(doing(db))
        for _ in range(moment):
            await asyncio.sleep(0)
        task.cancel()
        if again:
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait([task], timeout=10)
        assert task.done()
        assert task.cancelled() or task.exception() is None
        async with asyncio.timeout(10):
            await db.ping()
            await db.write(nothing)
            async with db.read() as conn:
                count = (await conn.execute(select(func.count()).select_from(things))).scalar_one()
        assert count - before in (0, 2)
        before = count


async def nothing(conn: AsyncConnection) -> None:
    await conn.execute(select(things))
