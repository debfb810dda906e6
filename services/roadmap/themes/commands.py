"""Takes down what feedback published of a theme, in the caller's transaction."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap.themes import store
from services.roadmap.themes.store import Theme, ThemeState
from shared.contracts.feedback import (
    ReasonData,
    RiseData,
    ThemeEscalated,
    ThemeEvent,
    ThemeEvidenceChanged,
    ThemeMerged,
    ThemeTold,
)

Rises = tuple[RiseData, ...]


async def note(conn: AsyncConnection, data: ThemeEvent, version: int) -> Theme | None:
    """The theme after this event, or None when something as new was seen before: then drop it."""
    theme = noted(await store.load(conn, data.theme_id), data, version)
    if theme is not None:
        await store.save(conn, [theme])
    return theme


def noted(known: Theme | None, data: ThemeEvent, version: int) -> Theme | None:
    """The theme after this event, of which so much was known, or None when that is as new.

    What an event does not say stays as it was said last.
    """
    if known is not None and version <= known.version:
        return None
    before = known.rises if known else ()
    rises = _rises(before, data) if isinstance(data, ThemeTold) else before
    return Theme(
        theme_id=data.theme_id,
        version=version,
        at=data.at,
        product=data.product,
        service=data.service,
        title=data.title,
        state=_state(rises, data),
        reasons=_reasons(rises),
        evidence=data.evidence if isinstance(data, ThemeTold) else known and known.evidence,
        into_theme_id=data.into_theme_id if isinstance(data, ThemeMerged) else None,
        rises=rises,
    )


def _state(rises: Rises, data: ThemeEvent) -> ThemeState:
    if isinstance(data, ThemeMerged):
        return "merged"
    return "escalated" if any(rise.fell_at is None for rise in rises) else "quiet"


def _rises(before: Rises, data: ThemeTold) -> Rises:
    """All that the ledger says by now; where an event does not state it, what follows from its kind."""
    if data.rises is not None:
        return tuple(data.rises)
    match data:
        case ThemeEscalated():
            return (*_fallen(before, data.at), *_risen(data))
        case ThemeEvidenceChanged():
            seen = {"last_at": data.at}
            return tuple(rise if rise.fell_at else rise.model_copy(update=seen) for rise in before)
        case _:
            return _fallen(before, data.at)


def _fallen(rises: Rises, at: datetime) -> Rises:
    return tuple(
        rise if rise.fell_at else rise.model_copy(update={"fell_at": at}) for rise in rises
    )


def _risen(data: ThemeEscalated) -> Rises:
    by_detector: dict[str, list[ReasonData]] = {}
    for reason in data.reasons:
        by_detector.setdefault(reason.detector, []).append(reason)
    return tuple(
        RiseData(detector=detector, rose_at=data.at, last_at=data.at, reasons=reasons)
        for detector, reasons in by_detector.items()
    )


def _reasons(rises: Rises) -> tuple[ReasonData, ...]:
    """Those of what holds, else of what fell last."""
    fell_at = max((rise.fell_at for rise in rises if rise.fell_at), default=None)
    holding = [rise for rise in rises if rise.fell_at is None]
    shown = holding or [rise for rise in rises if rise.fell_at == fell_at]
    return tuple(reason for rise in shown for reason in rise.reasons)
