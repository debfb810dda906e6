"""Tells a story to a world: plainly, or with every step drawn from dice and everything that can go wrong.

Each wrong turn is one that real machines take: answers that get lost, senders that send again, late
and mixed arrival, brokers that fail half-way, processes that die between two durable steps, members
that believe they still have a partition, clocks that are off, records that nobody can read.
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from shared.consumer import consume_batch
from shared.contracts import feedback, incidents, roadmap
from shared.envelope import Record
from tests.faults.checker import check, check_moving
from tests.faults.client import RETRIED, Sender
from tests.faults.history import History
from tests.faults.natural import Natural, natural
from tests.simulation.story import (
    LATE_SERVICE,
    Post,
    Story,
    decide,
    make_silences,
    put_correlations,
    register,
    register_services,
)
from tests.simulation.world import APPS, FAILING, Break, Died, World

MOST_POISON = 5
LOOK_EVERY = 40
"""Steps between two looks at what has to hold at every moment."""

TOPICS = (incidents.TOPIC, feedback.TOPIC, roadmap.TOPIC)
TYPE_OF = {
    incidents.TOPIC: incidents.IncidentOpened.TYPE,
    feedback.TOPIC: feedback.ThemeEscalated.TYPE,
    roadmap.TOPIC: roadmap.ItemPlanned.TYPE,
}


@dataclass
class Told:
    """What came of telling a story: naturally, at halftime and at the end. `events` are the ids of all
    that was published."""

    halftime: Natural
    end: Natural
    steps: list[str]
    events: list[str]


async def tell_plainly(world: World, story: Story) -> Told:
    """Everything in order, each signal through to its last effect before the next one comes."""
    teller = Teller(world, random.Random(0))
    await register_services(world.client("incidents"))
    await make_silences(world.client("incidents"), story)
    await put_correlations(world.client("incidents"), story)
    halftime = await teller.plainly(story.first)
    await decide(world.client("roadmap"))
    await register(world.client("incidents"), LATE_SERVICE, "Insight")
    return await teller.told(halftime, await teller.plainly(story.second))


async def tell_wildly(world: World, story: Story, dice: random.Random) -> Told:
    """In an order, and with faults, that the dice decide. Raises what the checker finds."""
    teller = Teller(world, dice)
    await register_services(world.client("incidents"))
    await make_silences(world.client("incidents"), story)
    await put_correlations(world.client("incidents"), story)
    halftime = await teller.wildly(story.first)
    await decide(world.client("roadmap"))
    await register(world.client("incidents"), LATE_SERVICE, "Insight")
    return await teller.told(halftime, await teller.wildly(story.second))


class Teller:
    """One telling, with the history of its sender."""

    def __init__(self, world: World, dice: random.Random) -> None:
        self.world = world
        self.dice = dice
        self.history = History()
        self.poison: list[str] = []
        self.steps: list[str] = []
        self.waiting: list[Post] = []
        self.taken: list[Post] = []

    async def told(self, halftime: Natural, end: Natural) -> Told:
        events = [one.record.headers.get("ce_id", "") for one in await self.world.reader.log()]
        return Told(halftime, end, self.steps, events)

    async def plainly(self, posts: Sequence[Post]) -> Natural:
        for post in posts:
            await self._post(post)
            await self.world.pump()
        return await self._rest()

    async def wildly(self, posts: Sequence[Post]) -> Natural:
        self.waiting = self._arriving(posts)
        steps, weights = zip(*STEPS, strict=True)
        number = 0
        while self.waiting:
            (step,) = self.dice.choices(steps, weights)
            self.world.machine.pass_time(self.dice.choice((0.01, 0.5, 20)))
            await step(self)
            number += 1
            if number % LOOK_EVERY == 0:
                report = check_moving(self.history.entries, await self.world.stored())
                assert report.good, report
        return await self._rest()

    def _arriving(self, posts: Sequence[Post]) -> list[Post]:
        """The order of arrival: about right, or none at all."""
        late = self.dice.choice((3, 10, len(posts)))
        keyed = [(index + self.dice.uniform(0, late), index) for index in range(len(posts))]
        return [posts[index] for _, index in sorted(keyed)]

    async def _rest(self) -> Natural:
        """Let it all have its effect; every promise has to be kept then."""
        self.steps.append("rest")
        self.world.machine.skews.clear()
        await self.world.quiesce()
        stored = await self.world.stored()
        report = check(self.history.entries, stored, poison=self.poison)
        assert report.good, report
        return natural(stored)

    async def _post(self, post: Post) -> bool:
        """Send it once, and read back what was taken. False when it has to be sent again."""
        sender = Sender(self.world.client("incidents"), self.history, format=post.format)
        status = await sender.post(post.signals)
        for id_ in sender.taken:
            await sender.read_back(id_)
        return status is not None and status not in RETRIED[post.format]

    def note(self, what: str) -> None:
        """Keep the step, and show it where the telling fails."""
        self.steps.append(what)
        print(what)

    def somebody(self) -> str:
        return self.dice.choice(list(APPS))

    async def arrive(self) -> None:
        """The next post; it may fail to arrive, or its answer may be lost."""
        service = self.world.services["incidents"]
        service.network.loses = self.dice.choice((None, None, None, None, "request", "answer"))
        service.db.breaks = [self.dice.choice((None,) * 8 + ("away", "commit"))]
        post = self.waiting[0]
        self.note(f"post {post.signals[0].id} loses={service.network.loses} {service.db.breaks}")
        done = await self._post(post)
        service.network.loses = None
        service.db.breaks.clear()
        if done:
            self.waiting.pop(0)
            self.taken.append(post)
        elif self.dice.random() < 0.3:
            # Its sender is slow to try again.
            self.waiting.insert(self.dice.randint(0, len(self.waiting)), self.waiting.pop(0))

    async def arrive_again(self) -> None:
        """A sender that never heard the answer, or sends each alert again from time to time."""
        if self.taken:
            post = self.dice.choice(self.taken)
            self.note(f"post again {post.signals[0].id}")
            await self._post(post)

    async def relay(self) -> None:
        name = self.somebody()
        self.world.bus.trouble = self.dice.choice((None,) * 5 + ("refused", "partly", "unheard"))
        breaks = self._breaks()
        self.note(f"relay {name} trouble={self.world.bus.trouble} {breaks}")
        await self._breaking(name, lambda: self.world.relay(name), breaks)
        self.world.bus.trouble = None

    async def consume(self) -> None:
        name = self.somebody()
        member = self.dice.choice(self.world.services[name].members)
        limit, breaks = self.dice.choice((1, 3, 500)), self._breaks()
        self.note(f"consume {member.sub.group} up to {limit} {breaks}")
        await self._breaking(name, lambda: self.world.consume(name, member, limit), breaks)

    async def timers(self) -> None:
        name, breaks = self.somebody(), self._breaks()
        self.note(f"timers {name} {breaks}")
        await self._breaking(name, lambda: self.world.timers(name), breaks)

    def _breaks(self) -> list[Break | None]:
        breaks: tuple[Break | None, ...] = ("before", "after", "away", "commit", "code")
        return [self.dice.choice((None,) * 10 + breaks)]

    async def _breaking(
        self, name: str, work: Callable[[], Awaitable[object]], breaks: list[Break | None]
    ) -> None:
        """Do some work during which the database may break or the process die."""
        self.world.services[name].db.breaks = list(breaks)
        try:
            await work()
        except Died:
            await self.world.crash(name)
        except FAILING as failure:
            self.note(f"  {failure!r}")
            await self._rejoin(name)
        self.world.services[name].db.breaks.clear()

    async def _rejoin(self, name: str) -> None:
        """The supervisor starts failed jobs again: their consumers leave, and come as new members."""
        service = self.world.services[name]
        subs = list(dict.fromkeys(member.sub for member in service.members))
        for member in service.members:
            await member.consumer.close()
        service.members.clear()
        for sub in subs:
            await self.world.join(name, sub)

    async def rebalance(self) -> None:
        name = self.somebody()
        member = self.dice.choice(self.world.services[name].members)
        self.note(f"rebalance {member.sub.group}")
        self.world.bus.rebalance(member.sub.group)

    async def join(self) -> None:
        name = self.somebody()
        sub = self.dice.choice(self.world.subscriptions(name))
        self.note(f"join {sub.group}")
        await self.world.join(name, sub)

    async def leave(self) -> None:
        name = self.somebody()
        members = self.world.services[name].members
        member = self.dice.choice(members)
        if sum(one.sub.group == member.sub.group for one in members) > 1:
            self.note(f"leave {member.sub.group}")
            members.remove(member)
            await member.consumer.close()

    async def outlive(self) -> None:
        """A member that was taken for dead finishes the batch that another one has by now."""
        name = self.somebody()
        service = self.world.services[name]
        member = self.dice.choice(service.members)
        batch = await member.consumer.poll(self.dice.choice((2, 500)), 0)
        if not batch:
            return
        self.note(f"outlive {member.sub.group} with {len(batch)} records")
        await self.world.join(name, member.sub)
        await self.world.consume(name, service.members[-1], self.dice.choice((1, 500)))
        await consume_batch(service.db, member.consumer, member.sub, batch)

    async def crash(self) -> None:
        name = self.somebody()
        self.note(f"crash {name}")
        await self.world.crash(name)

    async def skew(self) -> None:
        name = self.somebody()
        self.world.machine.skew(name)
        self.note(f"skew {name} by {self.world.machine.skews[name]}")

    async def send_poison(self) -> None:
        """Somebody else writes on our topics what nobody can read."""
        if len(self.poison) == MOST_POISON:
            return
        topic, key = self.dice.choice(TOPICS), f"poison-{len(self.poison)}"
        type_ = TYPE_OF[topic]
        headers = self.dice.choice(
            ({}, {"ce_type": type_, "ce_id": key}, {"ce_type": type_.removesuffix("1") + "9"})
        )
        self.note(f"poison {topic} {headers}")
        await self.world.bus.send([Record(topic, key, headers, b"{not json")])
        self.poison.append(key)


STEPS: Sequence[tuple[Callable[[Teller], Awaitable[None]], float]] = (
    (Teller.arrive, 20),
    (Teller.arrive_again, 4),
    (Teller.relay, 20),
    (Teller.consume, 40),
    (Teller.timers, 4),
    (Teller.rebalance, 3),
    (Teller.join, 1.5),
    (Teller.leave, 1.5),
    (Teller.outlive, 3),
    (Teller.crash, 2),
    (Teller.skew, 2),
    (Teller.send_poison, 0.7),
)
"""How often each step is taken, relative to the others."""
