"""What follows from signals rests while they are taken in, and only then; nothing is withheld."""

import asyncio
from collections.abc import Sequence
from itertools import count
from time import monotonic

import pytest

from services import courtesy
from services.courtesy import Courteous, Taken
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


def storm() -> Taken:
    """Requests that come in without end."""
    return count().__next__


def nobody() -> int:
    return 7


async def batches(taken: Taken, *, seconds: float, worked: float, limit: int = 1) -> int:
    """How many batches that take so long fit in."""
    consumer = Courteous(Plenty(), taken)  # pyright: ignore[reportArgumentType]
    until, fitted = monotonic() + seconds, 0
    while monotonic() < until:
        await consumer.poll(limit, 0)
        await asyncio.sleep(worked)
        fitted += 1
    return fitted


@pytest.fixture
def no_time_to_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courtesy, "SPARE", 0.0)


@pytest.mark.usefixtures("no_time_to_spare")
async def test_in_a_storm_that_leaves_no_time_it_takes_a_tenth() -> None:
    idle = await batches(nobody, seconds=1.0, worked=0.02)
    busy = await batches(storm(), seconds=1.0, worked=0.02)
    assert 2 <= busy <= idle * 0.25


async def test_where_there_is_time_to_spare_it_rests_just_long_enough_to_gather() -> None:
    assert await batches(nobody, seconds=0.5, worked=0.001) > 50
    busy = await batches(storm(), seconds=1.0, worked=0.03)
    assert 4 <= busy <= 1.0 / courtesy.LEAST_REST + 1


async def sent(taken: Taken, *, seconds: float) -> list[float]:
    """When one who sends again and again was heard by the bus, after it began."""
    taking = Taking()
    bus = WatchedBus(taking, taken)  # pyright: ignore[reportArgumentType]
    began = monotonic()
    while monotonic() < began + seconds:
        await bus.send([ONE.record])
        await asyncio.sleep(0.001)
    return [at - began for at in taking.sent]


async def test_who_sends_rests_while_requests_come_in_but_never_before_it_is_sent() -> None:
    quiet = await sent(nobody, seconds=0.5)
    assert len(quiet) > 0.5 / (2 * courtesy.LOOK_SECONDS)
    busy = await sent(storm(), seconds=0.5)
    assert busy[0] < courtesy.RELAY_REST / 2
    assert 2 <= len(busy) <= 0.5 / courtesy.RELAY_REST + 1


@pytest.mark.usefixtures("no_time_to_spare")
async def test_when_no_more_requests_come_in_the_rest_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(courtesy, "LONGEST_REST", 30.0)
    came = count()
    now = [0]

    def until_it_stops() -> int:
        now[0] = next(came) if monotonic() < stops else now[0]
        return now[0]

    stops = monotonic() + 2.2
    consumer = Courteous(Plenty(), until_it_stops)  # pyright: ignore[reportArgumentType]
    await consumer.poll(1, 0)
    await asyncio.sleep(2)
    async with asyncio.timeout(3):
        assert await consumer.poll(1, 0) == [ONE]


@pytest.mark.usefixtures("no_time_to_spare")
async def test_it_never_rests_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courtesy, "LONGEST_REST", 1.0)
    consumer = Courteous(Plenty(), storm())  # pyright: ignore[reportArgumentType]
    await consumer.poll(1, 0)
    await asyncio.sleep(0.6)
    async with asyncio.timeout(courtesy.LONGEST_REST + 2):
        assert await consumer.poll(1, 0) == [ONE]
