"""Which engines the settings choose, and what lies in them: shared by `run`, `serve` and `migrate`.

A service's database is a SQLite file or a PostgreSQL schema; the bus is a file or Kafka.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from services.courtesy import RELAY_REST, Courteous, Taken, rest
from services.listening import StartRefused
from shared import metrics, outbox
from shared.bus import Bus, Consumer, EmbeddedBus
from shared.contracts import EVENTS
from shared.database import UNAVAILABLE, Database
from shared.envelope import Record
from shared.migrations import at_expected_revision, upgrade
from shared.settings import Settings

logger = structlog.get_logger(__name__)

SERVICES = ("incidents", "feedback", "roadmap", "gateway")
MIGRATIONS: Mapping[str, Path] = {
    name: Path(__file__).parent / name / "migrations" for name in SERVICES
}
TOPICS = tuple(sorted({contract.TOPIC for contract in EVENTS.values()}))
"""Each named after the service that publishes there."""
LAG_SECONDS = 2.0
"""How long a scrape waits for a broker; what it can't say in time keeps its last value."""


async def migrate(settings: Settings, services: Sequence[str] = SERVICES) -> None:
    """Bring these services' databases to their newest revision, and make their topics if missing.

    Idempotent, and safe from several processes at once. Raises StartRefused.
    """
    for name in services:
        try:
            await upgrade(settings.database_url(name), MIGRATIONS[name])
        except UNAVAILABLE as away:
            raise StartRefused(_away(name)) from away
    servers = settings.kafka_servers()
    # No other service's: a user of Kafka's who may only make its own must get through here.
    topics = [topic for topic in TOPICS if topic.partition(".")[0] in set(services)]
    if servers is not None and topics:
        from shared.bus.kafka import KafkaBus

        try:
            await KafkaBus(servers).ensure_topics(topics)
        except (OSError, TimeoutError, RuntimeError) as error:  # KafkaError is a RuntimeError
            raise StartRefused(
                f"The topics could not be made at {servers} ({error}); start Kafka, or correct"
                " GROUNDSWELL_BUS, and try again."
            ) from error


async def opened(settings: Settings, name: str) -> Database:
    """A service's database, which must be as new as this code. Raises StartRefused.

    A newer one is fine: in a rolling upgrade the old code runs on beside the new schema.
    """
    db = Database(settings.database_url(name))
    try:
        expected = await at_expected_revision(db, MIGRATIONS[name])
    except UNAVAILABLE as away:
        await db.close()
        raise StartRefused(_away(name)) from away
    if not expected:
        await db.close()
        raise StartRefused(
            f"The database of {name} is empty, or older than this version; bring it up with"
            f" `groundswell migrate {name}`, then start again."
        )
    return db


def _away(name: str) -> str:
    return (
        f"The database of {name} can't be reached or used; start PostgreSQL, or correct"
        " GROUNDSWELL_DATABASE, and try again."
    )


def bus_of(settings: Settings, taken: Taken | None = None) -> "WatchedBus":
    """The bus that the settings choose; not started. Who uses it steps back for requests `taken` in."""
    servers = settings.kafka_servers()
    if servers is None:
        return WatchedBus(EmbeddedBus(settings.bus_url()), taken)
    from shared.bus.kafka import KafkaBus  # its client takes a while to import

    return WatchedBus(KafkaBus(servers), taken)


class WatchedBus:
    """Any bus, remembering who has joined, so that a scrape can ask each member how far behind it is.

    While requests are `taken` in, its consumers rest between batches, and who sends rests before it
    goes on.
    """

    def __init__(self, bus: Bus, taken: Taken | None = None) -> None:
        self.bus = bus
        self._taken = taken
        self._members: list[tuple[str, Consumer]] = []

    async def start(self) -> None:
        await self.bus.start()

    async def stop(self) -> None:
        await self.bus.stop()

    async def send(self, records: Sequence[Record]) -> None:
        await self.bus.send(records)
        # The records are on the bus and wait for nothing; what is published now goes together.
        if self._taken is not None:
            await rest(self._taken, RELAY_REST, RELAY_REST)

    async def join(self, group: str, topics: Sequence[str]) -> Consumer:
        member = await self.bus.join(group, topics)
        # A job that failed and was started again has joined anew: one member a group in a process.
        self._members = [entry for entry in self._members if entry[0] != group]
        self._members.append((group, member))
        return member if self._taken is None else Courteous(member, self._taken)

    async def measure(self) -> None:
        """Set the gauges of the lag of every member here, as of now. Raises TimeoutError."""
        async with asyncio.timeout(LAG_SECONDS):
            members = list(self._members)
            lags = await asyncio.gather(*(member.lag() for _, member in members))
        metrics.consumer_lag.clear()  # what has moved to another process is told there
        for (group, _), behind in zip(members, lags, strict=True):
            for partition, lag in behind.items():
                labels = (group, partition.topic, str(partition.number))
                metrics.consumer_lag.labels(*labels).set(lag)


async def measure(dbs: Mapping[str, Database], bus: WatchedBus) -> None:
    """Set the gauges of what waits, as of now; what the services know they measure themselves.

    Outboxes before lags: what a relay moves meanwhile is then counted twice rather than not at all.
    """
    for name, db in dbs.items():
        async with db.read() as conn:
            await outbox.measure(name, conn)
    try:
        await bus.measure()
    except TimeoutError:
        logger.warning("the broker did not say in time how far behind we are")
