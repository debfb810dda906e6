"""Reads of themes, their ledgers and their history, straight from SQL to the answer."""

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Row, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.detection import store as detection
from services.feedback.detection.detect import explain, start_of
from services.feedback.detection.store import escalations
from services.feedback.evidence import ledger as ledgers
from services.feedback.evidence.ledger import numbers
from services.feedback.evidence.store import current_horizon, evidence
from services.feedback.items import store as items
from services.feedback.items.queries import ItemOfThemeView, item_view
from services.feedback.themes.domain import Theme, ThemeUnknown
from services.feedback.themes.store import theme, theme_decisions, themes
from shared.contracts.feedback import EvidenceNumbersData, ReasonData
from shared.http.fields import View
from shared.http.pages import Page, page_of

SOURCES = {"incident": "/v1/incidents/", "feedback": "/v1/feedback/"}
"""Where each kind of evidence is read, by its source id."""


class ThemeView(View):
    """A theme, in short."""

    id: str
    product: str
    service: str
    title: str
    template: str
    alert_name: str | None
    state: Literal["quiet", "escalated", "merged"]
    rose_at: datetime | None
    evidence_count: int
    first_at: datetime
    last_at: datetime
    dismissed_at: datetime | None
    merged_into: str | None
    version: int


class ThemeDecisionView(View):
    """A merge or a split that this theme was part of. merge: `theme_id` went into `other_theme_id`;
    split: `theme_id` came out of `other_theme_id`."""

    kind: Literal["merge", "split"]
    theme_id: str
    other_theme_id: str
    evidence_ids: list[str]
    by: str
    reason: str
    at: datetime


class ThemeDetailView(ThemeView):
    """A theme with its numbers and reasons as of the horizon. While it is quiet, `reasons` say what
    stands in the way. `measures`: by detector, every value beside its threshold."""

    as_of: datetime
    evidence: EvidenceNumbersData
    reasons: list[ReasonData]
    measures: dict[str, dict[str, float]]
    candidate_id: str | None
    candidate_state: str | None
    item: ItemOfThemeView | None
    decisions: list[ThemeDecisionView]


class EvidenceView(View):
    """A row of a ledger. `source` is where what it came from is read; `ended_at` null: it goes on.

    `severity_then` is what was known when it opened, `severity` what is known now."""

    id: str
    kind: str
    source_id: str
    source: str | None
    at: datetime
    ended_at: datetime | None
    severity_then: str | None
    severity: str | None
    customers: int | None
    tier: int | None
    responder_hours: float | None
    revenue_at_risk: float | None
    linked: bool
    votes: int
    product: str
    service: str
    title: str


class EscalationView(View):
    """A time that a detector raised the theme. `fell_at` null: it still holds."""

    detector: str
    rose_at: datetime
    fell_at: datetime | None
    reasons: list[ReasonData]
    fell_because: str | None


class ThemesSummary(View):
    """How much there is."""

    as_of: datetime | None
    themes: int
    escalated: int
    quiet: int
    merged: int
    evidence: int
    evidence_by_kind: dict[str, int]


def view(row: Row[Any] | Theme) -> ThemeView:
    return ThemeView.model_validate(row)


async def _row(conn: AsyncConnection, theme_id: str) -> Row[Any]:
    row = (await conn.execute(select(themes).where(themes.c.id == theme_id))).one_or_none()
    if row is None:
        raise ThemeUnknown(f"There is no theme {theme_id!r}; find one with GET /v1/themes.")
    return row


async def detail(conn: AsyncConnection, theme_id: str) -> ThemeDetailView:
    """The theme with its numbers, reasons and what the roadmap does about it. Raises ThemeUnknown."""
    row = await _row(conn, theme_id)
    known = theme(row)
    as_of = await current_horizon(conn) or known.last_at
    ledger = (await ledgers.load(conn, {theme_id: known.evidence_count}))[theme_id]
    policies = (await detection.policy_book(conn)).holds_for(known.product)
    rises = (await detection.escalations_of(conn, [theme_id])).get(theme_id, [])
    material = ledger.material()
    start = start_of(material, policies, detection.recurrences(rises))
    asked = explain(material, policies, as_of, known.dismissed_at, start)
    reasons = [reason for found in asked.values() for reason in found.reasons]
    dealing = (await items.dealings(conn, [theme_id]))[theme_id]
    return ThemeDetailView(
        **view(row).model_dump(),
        as_of=as_of,
        evidence=numbers(ledger.summary(as_of)),
        reasons=[ReasonData.model_validate(reason.to_json()) for reason in reasons],
        measures={detector: dict(found.numbers) for detector, found in asked.items()},
        candidate_id=dealing.candidate_id,
        candidate_state=dealing.candidate_state,
        item=item_view(dealing.item),
        decisions=await _decisions(conn, theme_id),
    )


async def _decisions(conn: AsyncConnection, theme_id: str) -> list[ThemeDecisionView]:
    query = (
        select(theme_decisions)
        .where(
            or_(
                theme_decisions.c.theme_id == theme_id,
                theme_decisions.c.other_theme_id == theme_id,
            )
        )
        .order_by(theme_decisions.c.seq.desc())
        .limit(100)
    )
    return [ThemeDecisionView.model_validate(row) for row in await conn.execute(query)]


async def list_themes(
    conn: AsyncConnection,
    *,
    product: str | None,
    service: str | None,
    state: str | None,
    q: str | None,
    limit: int,
    cursor: str | None,
) -> Page[ThemeView]:
    """Themes by their newest evidence, newest first; merged ones only when asked for."""
    query = select(themes).where(
        themes.c.state == state if state is not None else themes.c.state != "merged"
    )
    if product is not None:
        query = query.where(themes.c.product == product)
    if service is not None:
        query = query.where(themes.c.service == service)
    if q is not None:
        query = query.where(themes.c.title.icontains(q, autoescape=True))
    sort = [themes.c.last_at, themes.c.id]
    return await page_of(conn, query, sort, limit=limit, cursor=cursor, view=view)


async def list_evidence(
    conn: AsyncConnection, theme_id: str, *, kind: str | None, limit: int, cursor: str | None
) -> Page[EvidenceView]:
    """The ledger of a theme, newest first. Raises ThemeUnknown."""
    await _row(conn, theme_id)
    query = select(evidence).where(evidence.c.theme_id == theme_id)
    if kind is not None:
        query = query.where(evidence.c.kind == kind)
    sort = [evidence.c.at, evidence.c.source_id]
    return await page_of(conn, query, sort, limit=limit, cursor=cursor, view=_evidence)


def _evidence(row: Row[Any]) -> EvidenceView:
    source = SOURCES[row.kind] + row.source_id if row.kind in SOURCES else None
    return EvidenceView.model_validate({**row._mapping, "source": source})  # pyright: ignore[reportPrivateUsage]


async def list_escalations(
    conn: AsyncConnection, theme_id: str, *, limit: int, cursor: str | None
) -> Page[EscalationView]:
    """When detectors raised the theme, newest first. Raises ThemeUnknown."""
    await _row(conn, theme_id)
    query = select(escalations).where(escalations.c.theme_id == theme_id)
    sort = [escalations.c.rose_at, escalations.c.detector]
    return await page_of(
        conn, query, sort, limit=limit, cursor=cursor, view=EscalationView.model_validate
    )


async def summary(conn: AsyncConnection, product: str | None) -> ThemesSummary:
    """Counts of themes and evidence, of one product or of all."""
    of_themes = select(themes.c.state, func.count().label("rows")).group_by(themes.c.state)
    of_rows = (
        select(evidence.c.kind, func.count().label("rows"))
        .where(~evidence.c.silenced, evidence.c.parent_id.is_(None))
        .group_by(evidence.c.kind)
    )
    if product is not None:
        of_themes = of_themes.where(themes.c.product == product)
        joined = and_(themes.c.id == evidence.c.theme_id, themes.c.product == product)
        of_rows = of_rows.join(themes, joined)
    states = {row.state: row.rows for row in await conn.execute(of_themes)}
    kinds = {row.kind: row.rows for row in await conn.execute(of_rows)}
    escalated, quiet = states.get("escalated", 0), states.get("quiet", 0)
    return ThemesSummary(
        as_of=await current_horizon(conn),
        themes=escalated + quiet,
        escalated=escalated,
        quiet=quiet,
        merged=states.get("merged", 0),
        evidence=sum(kinds.values()),
        evidence_by_kind=kinds,
    )
