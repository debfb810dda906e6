"""The service's one subscription: what feedback says of themes and outcomes.

Events of a theme or an outcome that are no newer than what was seen are dropped. Evidence that a
later event of the same batch replaces is skipped: each theme is scored once a batch, not once a row.
"""

from collections.abc import Sequence

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap import metrics
from services.roadmap.candidates import consumers as candidates
from services.roadmap.items import commands as items
from services.roadmap.themes import store as themes
from services.roadmap.themes.commands import note
from shared.clock import utc_now
from shared.consumer import Subscription, types_of
from shared.context import Context
from shared.contracts import feedback
from shared.contracts.feedback import (
    OutcomeAssessed,
    ThemeEscalated,
    ThemeEvent,
    ThemeEvidenceChanged,
    ThemeMerged,
    ThemeQuieted,
)
from shared.envelope import Event

logger = structlog.get_logger(__name__)

SERVICE = "roadmap"


async def handle(conn: AsyncConnection, events: Sequence[Event]) -> None:
    """Apply events, in order, in the caller's transaction. Idempotent by the aggregates' versions."""
    for event in _without_replaced(events):
        ctx = Context.following(event, service=SERVICE, now=utc_now())
        if isinstance(event.data, OutcomeAssessed):
            await on_outcome_assessed(conn, event.data, event.version, ctx)
        elif isinstance(event.data, ThemeEvent):
            await on_theme(conn, event.data, event.version, ctx)


SUBSCRIPTION = Subscription(
    group="roadmap",
    topics=(feedback.TOPIC,),
    types=types_of(
        ThemeEscalated, ThemeEvidenceChanged, ThemeQuieted, ThemeMerged, OutcomeAssessed
    ),
    handle=handle,
)


async def on_theme(conn: AsyncConnection, data: ThemeEvent, version: int, ctx: Context) -> None:
    """Take down what was said of the theme, and do what follows from it."""
    theme = await note(conn, data, version)
    if theme is None:
        metrics.stale_events.inc()
        return
    match data:
        case ThemeMerged(by=by):
            await candidates.on_merged(conn, theme, by, ctx)
        case ThemeEscalated(reasons=reasons):
            risen = ", ".join(dict.fromkeys(reason.detector for reason in reasons))
            await candidates.follow(conn, theme.theme_id, theme.at, ctx, f"Risen: {risen}")
        case ThemeQuieted():
            said = "The theme went quiet"
            await candidates.follow(conn, theme.theme_id, theme.at, ctx, said)
        case _:
            await candidates.follow(conn, theme.theme_id, theme.at, ctx)


async def on_outcome_assessed(
    conn: AsyncConnection, data: OutcomeAssessed, version: int, ctx: Context
) -> None:
    """Show the outcome on its item; where it regressed, its themes ask for a decision again."""
    assessed = await items.assess(conn, data, version, ctx)
    if assessed is None:
        logger.info("outcome of no item of ours, or an old one", item_id=data.item_id)
        metrics.stale_events.inc()
        return
    item, moved = assessed
    if moved:
        for theme_id in await themes.standing_for_all(conn, item.theme_ids):
            await candidates.follow(conn, theme_id, data.at, ctx)


def _without_replaced(events: Sequence[Event]) -> list[Event]:
    """The events without the changes of evidence that a later event of the same theme replaces."""
    last: dict[str, int] = {}
    for place, event in enumerate(events):
        if isinstance(event.data, ThemeEscalated | ThemeEvidenceChanged | ThemeQuieted):
            last[event.subject] = place
    return [
        event
        for place, event in enumerate(events)
        if not isinstance(event.data, ThemeEvidenceChanged) or last[event.subject] == place
    ]
