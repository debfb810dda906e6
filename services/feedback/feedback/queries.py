"""Reads of feedback: what was said, and what became of it. Straight from SQL to the answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Row, Select, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.evidence.store import evidence
from services.feedback.evidence.votes import votes
from services.feedback.feedback.domain import FeedbackUnknown
from services.feedback.feedback.store import feedback
from services.feedback.items import store as items
from services.feedback.items.queries import ItemOfThemeView, item_view
from services.feedback.outcomes import queries as outcomes
from services.feedback.outcomes.queries import VerdictView
from services.feedback.themes.store import themes
from shared.http.fields import View
from shared.http.pages import Page, page_of


class FeedbackView(View):
    """What somebody said, and what became of it: the theme it belongs to, what the roadmap decided
    about that, and whether what was delivered worked."""

    id: str
    text: str
    kind: Literal["operator", "customer", "stakeholder"]
    author: str
    segment: str | None
    customer: str | None
    product: str | None
    service: str | None
    revenue_at_risk: float | None
    happened_at: datetime
    votes: int
    version: int
    theme_id: str | None
    theme_title: str | None
    theme_state: str | None
    candidate_id: str | None
    candidate_state: str | None
    item: ItemOfThemeView | None
    outcome: VerdictView | None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a list of feedback is narrowed to; None: not by this."""

    theme_id: str | None = None
    kind: str | None = None
    product: str | None = None
    author: str | None = None
    voter: str | None = None
    q: str | None = None


def _said() -> Select[Any]:
    placed = and_(evidence.c.kind == "feedback", evidence.c.source_id == feedback.c.id)
    return (
        select(
            feedback,
            themes.c.id.label("theme_id"),
            themes.c.title.label("theme_title"),
            themes.c.state.label("theme_state"),
        )
        .outerjoin(evidence, placed)
        .outerjoin(themes, themes.c.id == evidence.c.theme_id)
    )


async def one(conn: AsyncConnection, feedback_id: str) -> FeedbackView:
    """What was said under this id. Raises FeedbackUnknown."""
    rows = (await conn.execute(_said().where(feedback.c.id == feedback_id))).all()
    if not rows:
        raise FeedbackUnknown(
            f"There is no feedback {feedback_id!r}; find it with GET /v1/feedback."
        )
    return (await _views(conn, rows))[0]


async def list_feedback(
    conn: AsyncConnection, asked: Asked, *, limit: int, cursor: str | None
) -> Page[FeedbackView]:
    """Feedback, newest first."""
    query = _said()
    for column, wanted in (
        (feedback.c.kind, asked.kind),
        (feedback.c.product, asked.product),
        (feedback.c.author, asked.author),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    if asked.theme_id is not None:
        placed = select(evidence.c.source_id).where(
            evidence.c.theme_id == asked.theme_id, evidence.c.kind == "feedback"
        )
        query = query.where(feedback.c.id.in_(placed))
    if asked.voter is not None:
        mine = select(votes.c.feedback_id).where(votes.c.voter == asked.voter)
        query = query.where(feedback.c.id.in_(mine))
    if asked.q is not None:
        query = query.where(feedback.c.text.icontains(asked.q, autoescape=True))
    sort = [feedback.c.happened_at, feedback.c.id]
    found = await page_of(conn, query, sort, limit=limit, cursor=cursor, view=lambda row: row)
    return Page(items=await _views(conn, found.items), next=found.next)


async def _views(conn: AsyncConnection, rows: Sequence[Row[Any]]) -> list[FeedbackView]:
    dealings = await items.dealings(conn, {row.theme_id for row in rows if row.theme_id})
    in_hand = {dealing.item.item_id for dealing in dealings.values() if dealing.item}
    verdicts = await outcomes.verdicts(conn, in_hand)
    views: list[FeedbackView] = []
    for row in rows:
        dealing = dealings.get(row.theme_id, items.Dealing())
        item = dealing.item
        views.append(
            FeedbackView(
                **row._mapping,  # pyright: ignore[reportPrivateUsage]
                candidate_id=dealing.candidate_id,
                candidate_state=dealing.candidate_state,
                item=item_view(item),
                outcome=verdicts.get(item.item_id) if item else None,
            )
        )
    return views
