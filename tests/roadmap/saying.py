"""What feedback says, for tests; and what the roadmap has said since."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from services.roadmap.candidates.domain import Candidate
from services.roadmap.candidates.domain import evolve as evolve_candidate
from services.roadmap.candidates.store import candidate_log, candidates, stored_of
from services.roadmap.items import store as item_store
from services.roadmap.items.domain import Item
from services.roadmap.items.domain import evolve as evolve_item
from services.roadmap.items.store import item_log, items
from shared.contracts import EVENTS
from shared.contracts.contract import Contract
from shared.contracts.feedback import (
    EvidenceNumbersData,
    OutcomeAssessed,
    ReasonData,
    ThemeEscalated,
    ThemeEvidenceChanged,
    ThemeMerged,
    ThemeQuieted,
)
from shared.database import Database
from shared.envelope import Event, Record, decode
from shared.ids import new_id
from shared.outbox import outbox

NOW = datetime.now(UTC).replace(microsecond=0)
_versions = itertools.count(1)


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def evidence(total: int = 6, **numbers: Any) -> EvidenceNumbersData:
    said = {"as_of": NOW, "total": total, "opened_28d": total, "opened_14d": total} | numbers
    return EvidenceNumbersData(**said)


def reason(detector: str = "recurrence") -> ReasonData:
    text = "6 incidents in 14 days where 2 were expected"
    return ReasonData(detector=detector, name="above_baseline", text=text, numbers={"n": 6.0})


def event(data: Contract, subject: str, at: datetime, version: int | None = None) -> Event:
    """An event as the bus delivers it: each one newer than the one before, unless told."""
    return Event(
        id=new_id("evt"),
        source="/groundswell/feedback",
        subject=subject,
        time=at,
        version=next(_versions) if version is None else version,
        correlation_id="req_story",
        causation_id=None,
        traceparent=None,
        data=data,
    )


def _theme(theme_id: str, at: datetime, product: str) -> dict[str, Any]:
    title = f"Timeouts of {theme_id}"
    return {
        "theme_id": theme_id,
        "at": at,
        "product": product,
        "service": "payments",
        "title": title,
    }


def escalated(
    theme_id: str = "thm_a",
    *,
    at: datetime | None = None,
    total: int = 6,
    detector: str = "recurrence",
    product: str = "Checkout",
    version: int | None = None,
    **numbers: Any,
) -> Event:
    at = at or ago(days=3)
    data = ThemeEscalated(
        **_theme(theme_id, at, product),
        reasons=[reason(detector)],
        evidence=evidence(total, **numbers),
    )
    return event(data, theme_id, at, version)


def changed(
    theme_id: str = "thm_a",
    *,
    at: datetime | None = None,
    total: int = 9,
    version: int | None = None,
    **numbers: Any,
) -> Event:
    at = at or ago(days=2)
    data = ThemeEvidenceChanged(
        **_theme(theme_id, at, "Checkout"), evidence=evidence(total, **numbers)
    )
    return event(data, theme_id, at, version)


def quieted(theme_id: str = "thm_a", *, at: datetime | None = None, total: int = 6) -> Event:
    at = at or ago(days=1)
    data = ThemeQuieted(
        **_theme(theme_id, at, "Checkout"), reasons=[reason()], evidence=evidence(total)
    )
    return event(data, theme_id, at)


def merged(theme_id: str = "thm_a", into: str = "thm_b", *, at: datetime | None = None) -> Event:
    at = at or ago(days=1)
    data = ThemeMerged(
        **_theme(theme_id, at, "Checkout"), into_theme_id=into, by="ada", reason="the same"
    )
    return event(data, theme_id, at)


def assessed(
    item: dict[str, Any],
    verdict: Any,
    *,
    final: bool = False,
    version: int | None = None,
    outcome_id: str = "out_1",
    **numbers: float,
) -> Event:
    data = OutcomeAssessed(
        outcome_id=outcome_id,
        item_id=item["id"],
        theme_ids=item["theme_ids"],
        at=ago(hours=1),
        verdict=verdict,
        final=final,
        text="From 12 in 28 days to 4 in 28 days.",
        numbers=dict(numbers),
    )
    return event(data, outcome_id, data.at, version)


async def published(db: Database) -> list[Event]:
    """Everything in the outbox, in order, as a consumer would read it."""
    async with db.read() as conn:
        rows = (await conn.execute(select(outbox).order_by(outbox.c.seq))).all()
    return [decode(Record(row.topic, row.key, row.headers, row.value)) for row in rows]


async def types(db: Database) -> list[str]:
    """The types of everything published, without prefix and version."""
    return [e.type.removeprefix("groundswell.").removesuffix(".v1") for e in await published(db)]


async def folded_candidates(db: Database) -> list[tuple[Candidate, Candidate]]:
    """Every candidate as it is stored, beside what its log folds to."""
    async with db.read() as conn:
        stored = [stored_of(row)[0] for row in await conn.execute(select(candidates))]
        log = (await conn.execute(select(candidate_log).order_by(candidate_log.c.version))).all()
    pairs: list[tuple[Candidate, Candidate]] = []
    for candidate in stored:
        folded: Candidate | None = None
        for row in log:
            if row.candidate_id == candidate.candidate_id:
                folded = evolve_candidate(folded, _event("candidate", row))
                assert folded.version == row.version
        assert folded is not None
        pairs.append((candidate, folded))
    return pairs


async def folded_items(db: Database) -> list[tuple[Item, Item]]:
    """Every item as it is stored, beside what its log folds to."""
    pairs: list[tuple[Item, Item]] = []
    async with db.read() as conn:
        for item_id in (await conn.execute(select(items.c.item_id))).scalars().all():
            query = select(item_log).where(item_log.c.item_id == item_id)
            folded: Item | None = None
            for row in await conn.execute(query.order_by(item_log.c.version)):
                folded = evolve_item(folded, _event("item", row))
                assert folded.version == row.version
            assert folded is not None
            pairs.append(((await item_store.load(conn, item_id))[0], folded))
    return pairs


def _event(noun: str, row: Any) -> Any:
    return EVENTS[f"groundswell.{noun}.{row.kind}.v1"].model_validate(row.data)
