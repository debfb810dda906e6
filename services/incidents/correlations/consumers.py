"""What our own events mean for correlations: whatever moves an incident into a group, or out of it."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.correlations import store
from services.incidents.correlations.settling import Spot, settle
from shared.clock import Clock, utc_now
from shared.consumer import Subscription, types_of
from shared.context import Context
from shared.contracts import incidents as said
from shared.envelope import Event

GROUP = "incidents.correlations"

MOVING = (
    said.IncidentOpened,
    said.IncidentRedated,
    said.IncidentSilenced,
    said.IncidentUnsilenced,
    said.IncidentServiceAssigned,
    said.IncidentSeverityChanged,
)
CATALOG = (said.ServiceRegistered, said.ServiceChanged)


def subscription(clock: Clock = utc_now) -> Subscription:
    """What to consume. Correlations themselves are not among it."""

    async def on_incidents(conn: AsyncConnection, events: Sequence[Event]) -> None:
        await take(conn, events, clock)

    return Subscription(GROUP, (said.TOPIC,), types_of(*MOVING, *CATALOG), on_incidents)


async def take(conn: AsyncConnection, events: Sequence[Event], clock: Clock) -> None:
    """Decide anew around what these are about, in the caller's transaction. Idempotent: it goes by
    what is stored, and the events say only where to look."""
    now = clock()
    ids = {event.subject for event in events if isinstance(event.data, MOVING)}
    members = await store.members_of(conn, ids)
    spots: set[Spot] = set()
    for event in events:
        member = members.get(event.subject)
        if member is None or not isinstance(event.data, MOVING):
            continue
        alert = None if member.fingerprint is None else (member.source, member.fingerprint)
        spots |= {Spot(member.opened_at, alert)}
        if isinstance(event.data, said.IncidentRedated):
            spots |= {Spot(event.data.was_opened_at, alert), Spot(event.data.at, alert)}
    if spots:
        ctx = Context.following(events[-1], service="incidents", now=now)
        await settle(conn, spots, ctx)
    # failpoint: correlations.heard
    edits = [event.time for event in events if isinstance(event.data, CATALOG)]
    spans = (
        [one.rule().span for one in await store.load_rules(conn) if one.rule().dependencies]
        if edits
        else []
    )
    if spans:
        await store.make_due(conn, min(edits) - max(spans))
