"""Brings themes up to date with their ledgers: state, title, counts, and what the others are told.

What is stored follows from the ledger, the policies and the horizon alone. It does not depend on
the order in which evidence arrived, nor on how it was cut into batches; only how often something
is published does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.detection import store as detection
from services.feedback.detection.detect import (
    RECURRENCE,
    Detected,
    Material,
    Policies,
    Start,
    detect,
    explain,
    start_of,
)
from services.feedback.detection.reason import Reason
from services.feedback.detection.store import Escalation
from services.feedback.evidence import ledger as ledgers
from services.feedback.evidence.ledger import Ledger, numbers
from services.feedback.themes import fingerprint, store
from services.feedback.themes.domain import Theme
from shared.context import Context
from shared.contracts.feedback import (
    EvidenceRecorded,
    ReasonData,
    ThemeEscalated,
    ThemeEvent,
    ThemeEvidenceChanged,
    ThemeQuieted,
)
from shared.envelope import Event
from shared.outbox import publish

MOST_IDS = 5_000
"""Incident ids in one event, so that no event outgrows the bus."""


@dataclass(frozen=True, slots=True)
class Touch:
    """Why a theme is looked at: in whose story, which incidents became its evidence, and whether
    its evidence changed at all (a review by time or by policy alone leaves it as it is)."""

    ctx: Context
    incident_ids: tuple[str, ...] = ()
    changed: bool = True


def theme_event(
    theme: Theme, contract: type[ThemeEvent], at: datetime, ctx: Context, **said: Any
) -> tuple[Theme, Event]:
    """The theme one version on, and the event that says so."""
    theme = replace(theme, version=theme.version + 1)
    data = contract(
        theme_id=theme.id,
        at=at,
        product=theme.product,
        service=theme.service,
        title=theme.title,
        **said,
    )
    return theme, ctx.event(data, subject=theme.id, version=theme.version, at=at)


async def reassess(conn: AsyncConnection, touched: Mapping[str, Touch], as_of: datetime) -> None:
    """Assess these themes as of then, in the caller's transaction; merged ones are passed over.

    Publishes, per theme: evidence.recorded for newly placed incidents; theme.escalated for a rise
    that holds and was not told yet; theme.quieted when the last one fell; else, for a theme that
    ever escalated, theme.evidence_changed when its evidence did, or when time alone made other
    numbers of it since they were told last.
    """
    loaded = await store.load_many(conn, touched)
    live = {id_: theme for id_, theme in loaded.items() if theme.state != "merged"}
    about = {id_: t.evidence_count + len(touched[id_].incident_ids) for id_, t in live.items()}
    books = await detection.policy_book(conn)
    stored = await detection.escalations_of(conn, live)
    events: list[Event] = []
    changed: list[Theme] = []
    rises: dict[str, list[Escalation]] = {}
    for theme_id, ledger in (await ledgers.load(conn, about)).items():
        was, touch = live[theme_id], touched[theme_id]
        seen = _look(was, ledger, books.holds_for(was.product), as_of, stored.get(theme_id, []))
        theme, said = _tell(_updated(was, seen), seen, touch)
        events += said
        if theme != was:
            changed.append(theme)
        if seen.escalations != stored.get(theme_id, []):
            rises[theme_id] = seen.escalations
    await store.save(conn, changed)
    await detection.replace_escalations(conn, rises)
    await publish(conn, events)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at one theme found."""

    ledger: Ledger
    material: Material
    policies: Policies
    as_of: datetime
    detected: Detected
    escalations: list[Escalation]
    start: Start


def _look(
    theme: Theme, ledger: Ledger, policies: Policies, as_of: datetime, stored: list[Escalation]
) -> Seen:
    material = ledger.material()
    start = start_of(material, policies, detection.recurrences(stored))
    detected = detect(material, policies, as_of, theme.dismissed_at, start)
    escalations = [
        Escalation(
            theme_id=theme.id,
            detector=detector,
            rose_at=rise.rose_at,
            fell_at=rise.fell_at,
            reasons=[reason.to_json() for reason in rise.reasons],
            fell_because=rise.fell_because,
        )
        for detector, rise in detected.rises
    ]
    if start.since is not None:
        escalations = _decided_before(start, stored) + escalations
    return Seen(ledger, material, policies, as_of, detected, escalations, start)


def _decided_before(start: Start, stored: list[Escalation]) -> list[Escalation]:
    """The rises of recurrence that were over where it begins to decide: they stay as they were."""
    return [
        one
        for one in stored
        if one.detector == RECURRENCE and one.fell_at and start.since and one.fell_at <= start.since
    ]


def _updated(theme: Theme, seen: Seen) -> Theme:
    """The theme as its ledger makes it."""
    rows, older = seen.ledger.rows, seen.ledger.older
    if not theme.title_given and not older.total:
        theme = _named(theme, seen.ledger)
    return replace(
        theme,
        evidence_count=seen.ledger.total,
        first_at=older.first_at or (rows[0].at if rows else theme.first_at),
        last_at=rows[-1].at if rows else theme.last_at,
        state=seen.detected.state,
        rose_at=seen.detected.rose_at,
        review_at=seen.detected.review_at,
    )


def _named(theme: Theme, ledger: Ledger) -> Theme:
    """Called as the first of its own incidents called it; those that a merge brought don't count.

    Letter case is no part of a theme's key, so which spelling stays must not depend on arrival.
    """
    own = _identity(theme.product, theme.service, theme.alert_name, theme.template)
    for row in ledger.rows:
        if row.kind != "incident":
            continue
        template = _template(row.title)
        if _identity(row.product, row.service, row.alert_name, template) == own:
            return replace(
                theme,
                product=row.product,
                service=row.service,
                alert_name=row.alert_name,
                template=template,
                title=row.title,
            )
    return theme


def _identity(*parts: str | None) -> tuple[str, ...]:
    return tuple((part or "").strip().casefold() for part in parts)


_template = lru_cache(maxsize=20_000)(fingerprint.template)


# told       | now                                  | published
# quiet      | escalated                            | theme.escalated
# escalated  | escalated, by a rise not yet told    | theme.escalated
# escalated  | quiet                                | theme.quieted
# any        | the same, evidence changed, ever told | theme.evidence_changed
# any        | the same, numbers moved, ever told     | theme.evidence_changed
def _tell(theme: Theme, seen: Seen, touch: Touch) -> tuple[Theme, list[Event]]:
    """What has to be said about the theme, and the theme once it is said."""
    events: list[Event] = []

    def say(contract: type[ThemeEvent], at: datetime, **said: Any) -> None:
        nonlocal theme
        theme, event = theme_event(theme, contract, at, touch.ctx, **said)
        events.append(event)

    def say_numbers(contract: type[ThemeEvent], at: datetime, **said: Any) -> None:
        nonlocal theme
        theme = replace(theme, told_as_of=seen.as_of)
        say(contract, at, **said, evidence=numbers(seen.ledger.summary(seen.as_of)))

    for start in range(0, len(touch.incident_ids), MOST_IDS):
        some = list(touch.incident_ids[start : start + MOST_IDS])
        say(EvidenceRecorded, seen.as_of, incident_ids=some)
    detected = seen.detected
    if new := _untold(theme, detected):
        theme = replace(theme, told="escalated", announced={**theme.announced, **new})
        say_numbers(ThemeEscalated, min(new.values()), reasons=_data(detected.reasons()))
    elif theme.told == "escalated" and detected.state == "quiet":
        theme = replace(theme, told="quiet")
        asked = explain(seen.material, seen.policies, seen.as_of, theme.dismissed_at, seen.start)
        why = tuple(reason for found in asked.values() for reason in found.reasons)
        say_numbers(ThemeQuieted, detected.fell_at or seen.as_of, reasons=_data(why))
    elif theme.announced and (touch.changed or _moved_on(theme, seen)):
        say_numbers(ThemeEvidenceChanged, seen.as_of)
    elif theme.told_as_of is not None:
        theme = replace(theme, told_as_of=max(theme.told_as_of, seen.as_of))
    return theme, events


def _moved_on(theme: Theme, seen: Seen) -> bool:
    """Whether time made other numbers of this ledger since they were told; every change of the
    ledger itself was told.

    How long ago the earlier incidents were is no news of a theme that was silent for a fortnight: it
    only serves to say how surprising the newest ones are.
    """
    if theme.told_as_of is None or theme.told_as_of >= seen.as_of:
        return False
    told, now = seen.ledger.summary(theme.told_as_of), seen.ledger.summary(seen.as_of)
    told = replace(told, as_of=now.as_of)
    if told.opened_14d == now.opened_14d == 0:
        told = replace(told, earlier_days=now.earlier_days)
    return told != now


def _untold(theme: Theme, detected: Detected) -> dict[str, datetime]:
    """The rises that hold and that nobody was told of. After a fall that was told, all of them."""
    standing = {detector: rise.rose_at for detector, rise in detected.standing.items()}
    if theme.told == "quiet":
        return standing
    told = theme.announced
    return {d: at for d, at in standing.items() if d not in told or at > told[d]}


def _data(reasons: tuple[Reason, ...]) -> list[ReasonData]:
    return [ReasonData.model_validate(reason.to_json()) for reason in reasons]
