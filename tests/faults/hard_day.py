"""One hard day of a small Groundswell: every kind of trouble that a bug could hide in, once each.

The services are the real ones, on a simulated bus. Nothing here is by chance, so that what a planted
bug does to the day is the bug's doing: without one, every promise is kept.
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from sqlalchemy import delete, insert, select

from shared.consumer import consume_batch
from shared.contracts import incidents
from shared.envelope import Record
from shared.outbox import outbox
from tests.faults.checker import Report, check
from tests.faults.client import Format, Sender, Stated
from tests.faults.history import History
from tests.faults.violation import Violation
from tests.simulation.machine import START
from tests.simulation.world import FAILING, Break, Died, World

POISON = "poison-1"
ONLY_ONCE = "sig-hurry-0"
"""The signal of a sender that doesn't try again."""

BEGINS = START - timedelta(days=20)
PATIENCE = 2.0
"""Seconds for an answer; on this bus and these disks it takes a hundredth of one, or for ever."""


def alert(number: int, pain: str = "checkout") -> Stated:
    """One nearly each day makes the pain rise."""
    return Stated(
        id=f"sig-{pain}-{number}",
        starts_at=BEGINS + timedelta(hours=18 * number),
        service=f"{pain}-service",
        alert_name=f"{pain}Slow",
        title=f"{pain} answers slowly",
        pain=pain,
    )


def ended(one: Stated) -> Stated:
    return replace(one, ends_at=one.starts_at + timedelta(hours=1))


@dataclass
class Day:
    """A world under trouble, and what its sender saw."""

    world: World
    history: History = field(default_factory=History)

    async def send(self, *signals: Stated, format: Format = "native", times: int = 3) -> None:
        """Post them in one request until they are acknowledged, and read them back."""
        sender = Sender(
            self.world.client("incidents"), self.history, format, PATIENCE, times, pause=0
        )
        await sender.send(signals)

    def break_next(self, service: str, *breaks: Break | None) -> None:
        """How the next write transactions of this service end."""
        self.world.services[service].db.breaks = list(breaks)

    async def trouble(self, service: str, work: Callable[[], Awaitable[object]]) -> None:
        """Do something that may fail, or kill the process; then that comes up again."""
        try:
            await work()
        except Died:
            await self.world.crash(service)
        except FAILING:
            self.world.bus.rebalance(f"{service}.any")
        self.world.services[service].db.breaks.clear()

    async def relay(self, service: str) -> None:
        await self.trouble(service, lambda: self.world.relay(service))

    async def consume(self, service: str, group: str, limit: int = 500) -> None:
        """One round of one consumer of this group."""
        found = [m for m in self.world.services[service].members if m.sub.group == group]
        await self.trouble(service, lambda: self.world.consume(service, found[0], limit))


async def live_through(world: World) -> Report:
    """Have the day, come to rest, and judge it. Never coming to rest breaks a promise too."""
    day = Day(world)
    restless: Sequence[Violation] = ()
    try:
        for trouble in TROUBLES:
            await trouble(day)
        await world.quiesce()
    except (AssertionError, *FAILING) as never:
        restless = (Violation("S6", "rest", str(never)),)
    report = check(day.history.entries, await world.stored(), poison=[POISON])
    return replace(report, violations=(*restless, *report.violations))


async def senders_have_trouble(day: Day) -> None:
    """Repeats, batches, a commit that fails, an answer that is lost, a body that is refused."""
    service = day.world.services["incidents"]
    await day.send(alert(0))
    await day.send(alert(0))
    await day.send(alert(1), alert(2), alert(0, "search"), format="alertmanager")
    day.break_next("incidents", "commit")
    await day.send(alert(3))
    service.network.loses = "answer"
    await day.send(alert(4))
    await day.send(alert(0, "hurry"), times=1)
    await day.send(alert(99, "refused"), replace(alert(98, "refused"), title=" "), times=1)


async def a_transaction_commits_late(day: Day) -> None:
    """Two write at once; the first to get its number is the last to commit."""
    db = day.world.services["incidents"].db
    await day.world.pump()
    await day.send(alert(5))
    async with db.begin() as conn:
        held = [row._asdict() for row in await conn.execute(select(outbox))]
        await conn.execute(delete(outbox))
    await day.send(alert(6))
    await day.relay("incidents")
    if held:
        async with db.begin() as conn:
            await conn.execute(insert(outbox), held)
    await day.relay("incidents")


async def the_broker_has_trouble(day: Day) -> None:
    """It refuses, then appends and can't say so; the relay dies after a send."""
    await day.send(alert(7), ended(alert(7)))
    day.world.bus.trouble = "refused"
    await day.relay("incidents")
    day.world.bus.trouble = "unheard"
    await day.relay("incidents")
    day.break_next("incidents", "before")
    await day.relay("incidents")
    await day.relay("incidents")


async def a_consumer_dies(day: Day) -> None:
    """Before its commit, after it, and in one by one steps; then its partitions move."""
    group = "feedback.incidents"
    troubles: Sequence[list[Break | None]] = (
        [None, "before"],
        ["before"],
        ["after"],
        ["code"],
        ["code", "code"],
    )
    for number, breaks in enumerate(troubles):
        await day.send(alert(8 + number), alert(8, "search"))
        await day.relay("incidents")
        day.break_next("feedback", *breaks)
        await day.consume("feedback", group)
        await day.world.pump()
    for number in range(3):
        await day.send(alert(13 + number))
        await day.relay("incidents")
        await day.consume("feedback", group, limit=1)
        day.world.bus.rebalance(group)


async def records_come_twice(day: Day) -> None:
    """Somebody sends records of incidents that are over again, some of them, and a member that was
    taken for dead finishes late."""
    await day.send(alert(8, "search"), ended(alert(8, "search")))
    await day.world.pump()
    old = [one.record for one in await day.world.bus.log()]
    over = {r.key for r in old if r.headers.get("ce_type") == incidents.IncidentResolved.TYPE}
    await day.world.bus.send([r for r in old if r.key in over][::2])
    feedback = day.world.services["feedback"]
    member = next(m for m in feedback.members if m.sub.group == "feedback.incidents")
    batch = await member.consumer.poll(500, 0)
    await day.world.join("feedback", member.sub)
    await day.consume("feedback", "feedback.incidents")
    work = consume_batch(feedback.db, member.consumer, member.sub, batch)
    await day.trouble("feedback", lambda: work)


async def somebody_sends_poison(day: Day) -> None:
    headers = {"ce_type": incidents.IncidentOpened.TYPE, "ce_id": POISON}
    await day.world.bus.send([Record(incidents.TOPIC, POISON, headers, b"{not json")])
    await day.send(alert(17), alert(18))
    await day.world.pump()


async def the_roadmap_dies(day: Day) -> None:
    """After what a rise of a theme has done, before its offset."""
    await day.world.pump()
    await day.send(alert(19), ended(alert(19)))
    await day.relay("incidents")
    await day.consume("feedback", "feedback.incidents")
    await day.relay("feedback")
    day.break_next("roadmap", "after")
    await day.consume("roadmap", "roadmap")
    await day.world.pump()


TROUBLES = (
    senders_have_trouble,
    a_transaction_commits_late,
    the_broker_has_trouble,
    a_consumer_dies,
    records_come_twice,
    somebody_sends_poison,
    the_roadmap_dies,
)


def dice() -> random.Random:
    """The dice of every hard day."""
    return random.Random(11)
