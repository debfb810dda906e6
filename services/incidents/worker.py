"""The background work of the incidents service: relay, consumer, timers, gauges."""

from services.incidents import metrics
from services.incidents.app import NAME
from services.incidents.correlations import settling
from services.incidents.correlations.consumers import subscription as correlations
from services.incidents.incidents.adoption import adopt, waiting
from services.incidents.incidents.consumers import SUBSCRIPTION
from services.incidents.settings import IncidentsSettings
from services.incidents.signals import silencing
from services.incidents.signals.expiry import BATCH, expire
from shared.bus.bus import Bus
from shared.clock import Clock, utc_now
from shared.consumer import consume_forever
from shared.context import Context
from shared.database import Database
from shared.ids import new_id
from shared.outbox import measure as outbox_measure
from shared.outbox import relay_forever
from shared.pruning import prune_forever
from shared.supervisor import Beat, Job, every
from shared.upkeep import Upkeep

EXPIRY_SECONDS = 5
SILENCES_SECONDS = 5
ADOPTION_SECONDS = 5
CORRELATIONS_SECONDS = 5
GAUGES_SECONDS = 10


def jobs(
    db: Database,
    bus: Bus,
    clock: Clock = utc_now,
    settings: IncidentsSettings | None = None,
    upkeep: Upkeep | None = None,
) -> dict[str, Job]:
    """What has to run somewhere for each database; each job may be stopped and started at will."""
    chosen = settings or IncidentsSettings()
    kept = upkeep or Upkeep()

    async def expire_all(beat: Beat) -> None:
        # While nothing ran here, nobody could say that an alert still fires: first they get to.
        listening_since = clock()

        async def expire_some() -> None:
            if clock() >= listening_since + chosen.expiry_grace:
                while await expire(db, chosen, clock()) == BATCH:
                    continue

        await every(EXPIRY_SECONDS, expire_some)(beat)

    async def review_silenced() -> None:
        while await silencing.review(db, chosen, clock()) == silencing.BATCH:
            continue

    async def settle_due() -> None:
        while await settling.settle_due(db, clock()) == settling.BATCH:
            continue

    async def adopt_some() -> None:
        request = new_id("req")
        async with db.read() as conn:
            some = await waiting(conn)
        if some:
            async with db.begin() as conn:
                await adopt(conn, Context(NAME, f"service:{NAME}", clock(), request, request))

    async def measure() -> None:
        async with db.read() as conn:
            await metrics.measure(conn)
            await outbox_measure(NAME, conn)

    return {
        f"{NAME}.relay": lambda beat: relay_forever(NAME, db, bus, beat),
        f"{NAME}.consumer": lambda beat: consume_forever(
            db, bus, SUBSCRIPTION, beat, kept.dead_letters_in_a_row
        ),
        f"{NAME}.correlating": lambda beat: consume_forever(
            db, bus, correlations(clock), beat, kept.dead_letters_in_a_row
        ),
        f"{NAME}.correlations": every(CORRELATIONS_SECONDS, settle_due),
        f"{NAME}.pruning": lambda beat: prune_forever(db, kept, beat),
        f"{NAME}.expiry": expire_all,
        f"{NAME}.silences": every(SILENCES_SECONDS, review_silenced),
        f"{NAME}.adoption": every(ADOPTION_SECONDS, adopt_some),
        f"{NAME}.gauges": every(GAUGES_SECONDS, measure),
    }
