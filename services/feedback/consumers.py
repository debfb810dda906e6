"""What this service hears: the incidents' events and the roadmap's, turned into its own commands."""

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback import metrics
from services.feedback.evidence import store as evidence
from services.feedback.items import commands as items
from services.feedback.outcomes import commands as outcomes
from services.feedback.themes import commands as themes
from services.feedback.themes import store as theme_store
from services.feedback.themes.placement import place
from services.feedback.themes.reassess import Touch, reassess
from shared.clock import Clock
from shared.consumer import Subscription, types_of
from shared.context import Context
from shared.contracts import Contract, incidents, roadmap
from shared.envelope import Event

logger = structlog.get_logger(__name__)

INCIDENTS_GROUP = "feedback.incidents"
ROADMAP_GROUP = "feedback.roadmap"

INCIDENT_TYPES = types_of(
    incidents.IncidentOpened,
    incidents.IncidentRedated,
    incidents.IncidentSilenced,
    incidents.IncidentUnsilenced,
    incidents.IncidentCorrelated,
    incidents.IncidentUncorrelated,
    incidents.IncidentSeverityChanged,
    incidents.IncidentImpactAssessed,
    incidents.IncidentServiceAssigned,
    incidents.IncidentLinked,
    incidents.IncidentResolved,
    incidents.IncidentReopened,
)

ROADMAP_TYPES = types_of(
    roadmap.CandidateRaised,
    roadmap.CandidateRescored,
    roadmap.CandidateAccepted,
    roadmap.CandidateDeclined,
    roadmap.CandidateSnoozed,
    roadmap.CandidateMerged,
    roadmap.CandidateWithdrawn,
    roadmap.CandidateReturned,
    roadmap.ItemPlanned,
    roadmap.ItemChanged,
    roadmap.ItemCommitted,
    roadmap.ItemStarted,
    roadmap.ItemDelivered,
    roadmap.ItemCancelled,
    roadmap.ItemVerified,
    roadmap.ItemRegressed,
)


OPENINGS = (incidents.IncidentOpened, incidents.IncidentRedated)
"""What of an incident says that time goes on, silenced or not; the rest may only follow closely."""

TIMELESS = (
    incidents.IncidentSilenced,
    incidents.IncidentUnsilenced,
    incidents.IncidentCorrelated,
    incidents.IncidentUncorrelated,
    incidents.IncidentServiceAssigned,
)
"""What says nothing of time. Whether the first four are told at all depends on the order in which signals
came; the last is told when the catalog learns a name, by the wall clock of another service."""

SERVICE = "service:"
"""How the actor of an event begins that no person caused."""

DECISIONS = (
    roadmap.CandidateAccepted,
    roadmap.CandidateDeclined,
    roadmap.CandidateSnoozed,
    roadmap.CandidateMerged,
    roadmap.ItemPlanned,
    roadmap.ItemCommitted,
    roadmap.ItemStarted,
    roadmap.ItemDelivered,
    roadmap.ItemCancelled,
)
"""What of the roadmap moves the horizon: what people did. What it concluded is as old as its reasons."""


def subscriptions(clock: Clock) -> tuple[Subscription, Subscription]:
    """What to consume; the clock bounds how far an event time may pull the horizon along."""

    async def on_incidents(conn: AsyncConnection, events: Sequence[Event]) -> None:
        await take_incidents(conn, events, clock)

    async def on_roadmap(conn: AsyncConnection, events: Sequence[Event]) -> None:
        await take_roadmap(conn, events, clock)

    return (
        Subscription(INCIDENTS_GROUP, (incidents.TOPIC,), INCIDENT_TYPES, on_incidents),
        Subscription(ROADMAP_GROUP, (roadmap.TOPIC,), ROADMAP_TYPES, on_roadmap),
    )


async def take_incidents(conn: AsyncConnection, events: Sequence[Event], clock: Clock) -> None:
    """Incidents become evidence; themes and outcomes are assessed once for the whole batch."""
    now = clock()
    opened = [event.time for event in events if isinstance(event.data, OPENINGS)]
    others = [event.time for event in events if not isinstance(event.data, TIMELESS)]
    as_of = await evidence.advance_horizon(conn, opened, now, others)
    placed = await place(conn, events, now, as_of)
    if placed.unknown:
        logger.info("events of incidents never heard of; passed over", events=placed.unknown)
        metrics.events_passed_over.labels("incident_unknown").inc(placed.unknown)
    if placed.span is not None:
        await outcomes.mark_touched(conn, placed.theme_ids, *placed.span)


async def take_roadmap(conn: AsyncConnection, events: Sequence[Event], clock: Clock) -> None:
    """What the roadmap decided: shown beside themes and feedback, and acted on.

    A decline freezes the theme's baseline; a delivery starts the measurement of its outcome. The
    themes it names are told in numbers from now on, whether they rose or not.
    """
    done = [event.time for event in events if _decided_by_a_person(event.data)]
    as_of = await evidence.advance_horizon(conn, done, clock())
    for event in events:
        ctx = _context(event, clock)
        if isinstance(event.data, roadmap.CandidateEvent):
            await _on_candidate(conn, event, event.data, as_of, ctx)
        elif isinstance(event.data, roadmap.ItemEvent):
            await _on_item(conn, event, event.data, as_of, ctx)


async def _on_candidate(
    conn: AsyncConnection, event: Event, data: roadmap.CandidateEvent, as_of: datetime, ctx: Context
) -> None:
    live = await theme_store.live_ids(conn, [data.theme_id])
    theme_id = live.get(data.theme_id, data.theme_id)
    news = await items.note_candidate(conn, data, theme_id, event.version)
    await theme_store.make_known(conn, [theme_id])
    if news and isinstance(data, roadmap.CandidateDeclined):
        dismissed = await themes.dismiss(conn, theme_id, data.at)
        if dismissed:
            await reassess(conn, {theme_id: Touch(ctx, changed=False)}, as_of)
        else:
            metrics.events_passed_over.labels("theme_unknown").inc()
            logger.info("a candidate of an unknown theme was declined", theme_id=data.theme_id)


async def _on_item(
    conn: AsyncConnection, event: Event, data: roadmap.ItemEvent, as_of: datetime, ctx: Context
) -> None:
    live = await theme_store.live_ids(conn, data.theme_ids)
    theme_ids = sorted({live.get(theme_id, theme_id) for theme_id in data.theme_ids})
    noted = await items.note_item(conn, data, theme_ids, event.version)
    await theme_store.make_known(conn, theme_ids)
    if noted is None or noted.delivered_at is None:
        return
    await outcomes.mark_delivered(conn, noted.delivered_at)
    if isinstance(data, roadmap.ItemDelivered):
        await outcomes.start(conn, data, as_of, ctx)


def _context(event: Event, clock: Clock) -> Context:
    return Context.following(event, service="feedback", now=clock())


def _decided_by_a_person(said: Contract) -> bool:
    """What a service concludes from our own tellings must not move the time that they were told by."""
    return isinstance(said, DECISIONS) and not getattr(said, "by", "").startswith(SERVICE)
