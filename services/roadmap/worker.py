"""The roadmap service's background work: relay, consumer, the snooze timer, the gauges."""

from services.roadmap import metrics
from services.roadmap.app import NAME
from services.roadmap.candidates.commands import wake_due
from services.roadmap.consumers import SUBSCRIPTION
from shared.bus import Bus
from shared.clock import Clock, utc_now
from shared.consumer import consume_forever
from shared.context import Context
from shared.database import Database
from shared.ids import new_id
from shared.outbox import measure as measure_outbox
from shared.outbox import relay_forever
from shared.pruning import prune_forever
from shared.supervisor import Beat, Job, every
from shared.upkeep import Upkeep

WAKE_SECONDS = 5.0
MEASURE_SECONDS = 10.0


def jobs(
    db: Database, bus: Bus, clock: Clock = utc_now, upkeep: Upkeep | None = None
) -> dict[str, Job]:
    """The jobs that one process runs for this service, by name."""
    kept = upkeep or Upkeep()

    async def relay(beat: Beat) -> None:
        await relay_forever(NAME, db, bus, beat)

    async def consume(beat: Beat) -> None:
        await consume_forever(db, bus, SUBSCRIPTION, beat, kept.dead_letters_in_a_row)

    async def prune(beat: Beat) -> None:
        await prune_forever(db, kept, beat)

    return {
        f"{NAME}.relay": relay,
        f"{NAME}.consumer": consume,
        f"{NAME}.pruning": prune,
        f"{NAME}.wake": every(WAKE_SECONDS, lambda: wake(db, clock)),
        f"{NAME}.gauges": every(MEASURE_SECONDS, lambda: measure(db, clock)),
    }


async def wake(db: Database, clock: Clock = utc_now) -> None:
    """Wake every snoozed candidate whose time has come, in transactions of bounded size."""
    woken = 1
    while woken:
        async with db.begin() as conn:
            timer = Context(NAME, f"service:{NAME}", clock(), new_id("tmr"))
            woken = await wake_due(conn, timer)


async def measure(db: Database, clock: Clock = utc_now) -> None:
    """Set every gauge of this service."""
    async with db.read() as conn:
        await metrics.measure(conn, clock())
        await measure_outbox(NAME, conn)
