"""Bugs between the outbox and the bus."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

from sqlalchemy import delete, select

from services.incidents.incidents import commands
from shared import outbox
from shared.bus.bus import Bus
from shared.database import Database
from shared.envelope import Event, Record, encode
from shared.outbox import outbox as table
from tests.faults.plants.plant import Plant, instead
from tests.simulation.bus import SimulatedBus


async def _rows(db: Database, *, backwards: bool = False, after: int = 0) -> Sequence[Any]:
    order = table.c.seq.desc() if backwards else table.c.seq
    async with db.read() as conn:
        return (await conn.execute(select(table).where(table.c.seq > after).order_by(order))).all()


async def _forget(db: Database, rows: Sequence[Any]) -> None:
    async with db.begin() as conn:
        await conn.execute(delete(table).where(table.c.seq.in_([row.seq for row in rows])))


def _records(rows: Sequence[Any]) -> list[Record]:
    return [Record(row.topic, row.key, row.headers, row.value) for row in rows]


def remember_a_position() -> AbstractContextManager[Any]:
    """The cursor relay: what commits late, below its position, is never seen."""
    positions: dict[str, int] = {}

    async def relay_once(db: Database, bus: Bus) -> int:
        rows = await _rows(db, after=positions.get(db.url, 0))
        if rows:
            await bus.send(_records(rows))
            positions[db.url] = rows[-1].seq
        return len(rows)

    return instead(outbox, relay_once=relay_once)


def delete_before_sending() -> AbstractContextManager[Any]:
    async def relay_once(db: Database, bus: Bus) -> int:
        rows = await _rows(db)
        if rows:
            await _forget(db, rows)
            await bus.send(_records(rows))
        return len(rows)

    return instead(outbox, relay_once=relay_once)


def send_the_newest_first() -> AbstractContextManager[Any]:
    async def relay_once(db: Database, bus: Bus) -> int:
        rows = await _rows(db, backwards=True)
        if rows:
            await bus.send(_records(rows))
            await _forget(db, rows)
        return len(rows)

    return instead(outbox, relay_once=relay_once)


def swallow_a_failed_send() -> AbstractContextManager[Any]:
    async def relay_once(db: Database, bus: Bus) -> int:
        rows = await _rows(db)
        with suppress(ConnectionError):  # the bug: what was not sent is forgotten all the same
            await bus.send(_records(rows))
        if rows:
            await _forget(db, rows)
        return len(rows)

    return instead(outbox, relay_once=relay_once)


_bus: list[SimulatedBus] = []


async def _know_the_bus(world: Any) -> None:
    _bus[:] = [world.bus]


def publish_before_the_commit() -> AbstractContextManager[Any]:
    """Two writes in a row and no outbox: what is rolled back was told all the same."""

    async def publish(_conn: Any, events: Sequence[Event]) -> None:
        await _bus[0].send([encode(event) for event in events])

    return instead(commands, publish=publish)


PLANTS = (
    Plant("relay by a cursor", frozenset({"S1", "S4", "S6"}), remember_a_position),
    Plant("relay deletes before it sends", frozenset({"S1", "S4"}), delete_before_sending),
    Plant("relay sends the newest first", frozenset({"S4"}), send_the_newest_first),
    Plant("relay swallows a failed send", frozenset({"S1", "S4"}), swallow_a_failed_send),
    Plant("publish before the commit", frozenset({"S4"}), publish_before_the_commit, _know_the_bus),
)
