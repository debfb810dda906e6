"""Takes down what feedback published of a theme, in the caller's transaction."""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap.themes import store
from services.roadmap.themes.store import Theme, ThemeState
from shared.contracts.feedback import (
    EvidenceNumbersData,
    ReasonData,
    ThemeEscalated,
    ThemeEvent,
    ThemeEvidenceChanged,
    ThemeMerged,
    ThemeQuieted,
)


async def note(conn: AsyncConnection, data: ThemeEvent, version: int) -> Theme | None:
    """The theme after this event, or None when something as new was seen before: then drop it.

    What an event does not say (the reasons, in most) stays as it was said last.
    """
    known = await store.load(conn, data.theme_id)
    if known is not None and version <= known.version:
        return None
    theme = Theme(
        theme_id=data.theme_id,
        version=version,
        at=data.at,
        product=data.product,
        service=data.service,
        title=data.title,
        state=_state(known, data),
        reasons=_reasons(known, data),
        evidence=_evidence(known, data),
        into_theme_id=data.into_theme_id if isinstance(data, ThemeMerged) else None,
    )
    await store.save(conn, theme)
    return theme


def _state(known: Theme | None, data: ThemeEvent) -> ThemeState:
    match data:
        case ThemeEscalated():
            return "escalated"
        case ThemeQuieted():
            return "quiet"
        case ThemeMerged():
            return "merged"
        case _:
            return known.state if known else "quiet"


def _reasons(known: Theme | None, data: ThemeEvent) -> tuple[ReasonData, ...]:
    if isinstance(data, ThemeEscalated):
        return tuple(data.reasons)
    return known.reasons if known else ()


def _evidence(known: Theme | None, data: ThemeEvent) -> EvidenceNumbersData | None:
    if isinstance(data, ThemeEscalated | ThemeEvidenceChanged | ThemeQuieted):
        return data.evidence
    return known.evidence if known else None
