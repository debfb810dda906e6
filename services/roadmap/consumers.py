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
from services.roadmap.themes.commands import note, noted
from services.roadmap.themes.store import Theme
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
    for some in _side_by_side(_without_replaced(events)):
        if len(some) < WORTH_IT:
            for event in some:
                await _take(conn, event)
        else:
            await _take_themes(conn, some)


WORTH_IT = 3
"""Events from which on it pays to look up at once which themes are new."""

TOLD = (ThemeEscalated, ThemeEvidenceChanged, ThemeQuieted)


def _side_by_side(events: Sequence[Event]) -> list[list[Event]]:
    """The events, in order, cut so that what is in one piece, if it is more than one, tells of themes
    that differ, and does nothing to any other theme than its own."""
    found: list[list[Event]] = []
    subjects: set[str] = set()
    for event in events:
        alone = not isinstance(event.data, TOLD)
        if alone or event.subject in subjects or not subjects:
            found.append([])
            subjects = set()
        found[-1].append(event)
        if not alone:
            subjects.add(event.subject)
    return found


async def _take_themes(conn: AsyncConnection, events: Sequence[Event]) -> None:
    """What `_take` does with each of these, in order; those of new themes together, as far as they
    follow one another."""
    theme_ids = [event.data.theme_id for event in events if isinstance(event.data, ThemeEvent)]
    undecided = await candidates.undecided(conn, theme_ids)
    known = {theme.theme_id: theme for theme in await themes.load_many(conn, theme_ids)}
    new: list[tuple[Theme, Context, str]] = []
    for event in events:
        data = event.data
        assert isinstance(data, ThemeEvent)
        if data.theme_id not in undecided:
            await _follow_new(conn, new)
            await _take(conn, event)
            continue
        theme = noted(known.get(data.theme_id), data, event.version)
        if theme is None:
            metrics.stale_events.inc()
        else:
            new.append((theme, _context(event), _said(data)))
    await _follow_new(conn, new)


async def _follow_new(conn: AsyncConnection, new: list[tuple[Theme, Context, str]]) -> None:
    await themes.save(conn, [theme for theme, _, _ in new])
    await candidates.follow_undecided(conn, new)
    new.clear()


async def _take(conn: AsyncConnection, event: Event) -> None:
    if isinstance(event.data, OutcomeAssessed):
        await on_outcome_assessed(conn, event.data, event.version, _context(event))
    elif isinstance(event.data, ThemeEvent):
        await on_theme(conn, event.data, event.version, _context(event))


def _context(event: Event) -> Context:
    return Context.following(event, service=SERVICE, now=utc_now())


def _said(data: ThemeEvent) -> str:
    """What was heard of the theme, for the history of its candidate."""
    match data:
        case ThemeEscalated(reasons=reasons):
            return f"Risen: {', '.join(dict.fromkeys(reason.detector for reason in reasons))}"
        case ThemeQuieted():
            return "The theme went quiet"
        case _:
            return ""


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
    if isinstance(data, ThemeMerged):
        await candidates.on_merged(conn, theme, data.by, ctx)
    else:
        await candidates.follow(conn, theme.theme_id, theme.at, ctx, _said(data))


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
        if isinstance(event.data, TOLD):
            last[event.subject] = place
    return [
        event
        for place, event in enumerate(events)
        if not isinstance(event.data, ThemeEvidenceChanged) or last[event.subject] == place
    ]
