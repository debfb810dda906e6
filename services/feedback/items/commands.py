"""Takes the roadmap's events into the projection, in the caller's transaction."""

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.items import store
from services.feedback.items.store import Candidate, Item
from shared.contracts.roadmap import (
    CandidateAccepted,
    CandidateDeclined,
    CandidateEvent,
    CandidateMerged,
    CandidateRaised,
    CandidateRescored,
    CandidateReturned,
    CandidateSnoozed,
    CandidateWithdrawn,
    ItemDelivered,
    ItemEvent,
)

STATES: dict[type[CandidateEvent], str] = {
    CandidateRaised: "open",
    CandidateReturned: "open",
    CandidateAccepted: "accepted",
    CandidateDeclined: "declined",
    CandidateSnoozed: "snoozed",
    CandidateMerged: "merged",
    CandidateWithdrawn: store.WITHDRAWN,
}
"""The state that each event leaves a candidate in; CandidateRescored leaves it as it is."""


async def note_candidate(
    conn: AsyncConnection, event: CandidateEvent, theme_id: str, version: int
) -> bool:
    """Take in what happened to a candidate of the live theme `theme_id`. False when it is stale."""
    known = await store.load_candidate(conn, event.candidate_id)
    if known is not None and version <= known.version:
        return False
    current = known or Candidate(event.candidate_id, theme_id, "open", (), event.at, None, 0)
    changed = replace(current, theme_id=theme_id, version=version)
    if not isinstance(event, CandidateRescored):
        changed = replace(changed, state=STATES[type(event)])
    if isinstance(event, CandidateRaised | CandidateReturned):
        detectors = tuple(sorted({reason.detector for reason in event.reasons}))
        changed = replace(changed, detectors=detectors, raised_at=event.at)
    if isinstance(event, CandidateAccepted):
        changed = replace(changed, item_id=event.item_id)
    await store.save_candidate(conn, changed)
    return True


async def note_item(
    conn: AsyncConnection, event: ItemEvent, theme_ids: list[str], version: int
) -> Item | None:
    """Take in what happened to an item; `theme_ids` are its live themes. None when it is stale."""
    known = await store.load_item(conn, event.item_id)
    if known is not None and version <= known.version:
        return None
    delivered_at = known.delivered_at if known else None
    if isinstance(event, ItemDelivered):
        delivered_at = event.at
    item = Item(
        item_id=event.item_id,
        title=event.title,
        product=event.product,
        state=event.state,
        horizon=event.horizon,
        quarter=event.quarter,
        delivered_at=delivered_at,
        changed_at=event.at,
        version=version,
    )
    await store.save_item(conn, item, theme_ids)
    return item
