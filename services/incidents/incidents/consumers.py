"""What other services' events mean for incidents: which theme is theirs, which item deals with it."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.incidents import themes
from shared.consumer import Subscription, types_of
from shared.contracts import feedback, roadmap
from shared.contracts.feedback import EvidenceRecorded, ThemeMerged
from shared.contracts.roadmap import ItemEvent
from shared.envelope import Event

ITEM_EVENTS = tuple(event for event in roadmap.EVENTS if issubclass(event, ItemEvent))


async def handle(conn: AsyncConnection, events: Sequence[Event]) -> None:
    """Copy what is said, in the caller's transaction. Stale and repeated events change nothing."""
    for event in events:
        match event.data:
            case EvidenceRecorded(incident_ids=incident_ids, theme_id=theme_id):
                await themes.place(conn, incident_ids, theme_id, event.id)
            case ThemeMerged(theme_id=theme_id, into_theme_id=into):
                await themes.merge(conn, theme_id, into)
            case ItemEvent() as item:
                await themes.follow(conn, item, event.version)
            case _:
                continue  # the subscription lets no other type through


SUBSCRIPTION = Subscription(
    group="incidents.themes",
    topics=(feedback.TOPIC, roadmap.TOPIC),
    types=types_of(EvidenceRecorded, ThemeMerged, *ITEM_EVENTS),
    handle=handle,
)
