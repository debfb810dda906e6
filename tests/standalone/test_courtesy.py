"""What follows from signals rests while they are taken in, and only then; nothing is withheld."""

import asyncio
from collections.abc import Sequence
from time import monotonic

import pytest

from services import courtesy
from services.courtesy import Courteous
from services.engines import WatchedBus
from shared.bus.bus import Delivered, Partition
from shared.envelope import Record

ONE = Delivered(Partition("t", 0), 0, Record("t", "k", {}, b"{}"))


class Taking:
    """A bus that remembers when it was sent what."""

    def __init__(self) -> None:
        self.sent: list[float] = []

    async def send(self, records: Sequence[Record]) -> None:
        assert records
        self.sent.append(monotonic())


class Plenty:
    """A consumer that has a record at every poll."""

    async def poll(self, limit: int, wait_seconds: float) -> list[Delivered]:
        return [ONE] if limit else []


async def batches(busy: list[bool], *, seconds: float, worked: float, limit: int = 1) -> int:
    """How many batches that take so long fit in."""
    consumer = Courteous(Plenty(), lambda: busy[0])  # pyright: ignore[reportArgumentType]
    until, count = monotonic() + seconds, 0
    while monotonic() < until:
        await consumer.poll(limit, 0)
        await asyncio.sleep(worked)
        count += 1
    return count


async def test_while_requests_are_in_hand_it_takes_about_a_quarter() -> None:
    idle = await batches([False], seconds=0.8, worked=0.02)
    busy = await batches([True], seconds=0.8, worked=0.02)
    assert busy < idle * 0.5


async def test_however_short_a_batch_was_the_next_gathers_while_requests_are_in_hand() -> None:
    assert await batches([False], seconds=0.5, worked=0.001) > 50
    busy = await batches([True], seconds=0.5, worked=0.001)
    assert 2 <= busy <= 0.5 / courtesy.LEAST_REST + 1


async def sent(busy: bool, *, seconds: float) -> list[float]:
    """When one who sends again and again was heard by the bus, after it began."""
    taking = Taking()
    bus = WatchedBus(taking, lambda: busy)  # pyright: ignore[reportArgumentType]
    began = monotonic()
    while monotonic() < began + seconds:
        await bus.send([ONE.record])
        await asyncio.sleep(0.001)
    return [at - began for at in taking.sent]


async def test_who_sends_rests_while_requests_are_in_hand_but_never_before_it_is_sent() -> None:
    assert len(await sent(False, seconds=0.5)) > 50
    busy = await sent(True, seconds=0.5)
    assert busy[0] < courtesy.RELAY_REST / 2
    assert 2 <= len(busy) <= 0.5 / courtesy.RELAY_REST + 1


async def test_a_moment_without_requests_ends_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courtesy, "LONGEST_REST", 30.0)
    busy = [True]
    consumer = Courteous(Plenty(), lambda: busy[0])  # pyright: ignore[reportArgumentType]
    await consumer.poll(1, 0)
    await asyncio.sleep(2)
    asyncio.get_running_loop().call_later(0.1, busy.clear)
    asyncio.get_running_loop().call_later(0.1, busy.append, False)
    async with asyncio.timeout(3):
        assert await consumer.poll(1, 0) == [ONE]


async def test_it_never_rests_for_long() -> None:
    consumer = Courteous(Plenty(), lambda: True)  # pyright: ignore[reportArgumentType]
    await consumer.poll(1, 0)
    await asyncio.sleep(0.6)
    async with asyncio.timeout(courtesy.LONGEST_REST + 2):
        assert await consumer.poll(1, 0) == [ONE]
