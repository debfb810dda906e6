"""Brings themes up to date with their ledgers: state, title, counts, and what the others are told.

What is stored follows from the ledger, the policies and the horizon alone. It does not depend on
the order in which evidence arrived, nor on how it was cut into batches; only how often something
is published does.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
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
from services.feedback.detection.folds import Folds
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
    RiseData,
    ThemeEscalated,
    ThemeEvent,
    ThemeEvidenceChanged,
    ThemeQuieted,
)
from shared.envelope import Event
from shared.outbox import publish

_folds = Folds()

MOST_RISES = 50
"""Rises in one event: the newest."""

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


async def reassess(
    conn: AsyncConnection,
    touched: Mapping[str, Touch],
    as_of: datetime,
    known: Mapping[str, Theme] | None = None,
) -> None:
    """Assess these themes as of then, in the caller's transaction; merged ones are passed over.
    `known`: themes as the transaction has them stored, which need not be read.

    Publishes, per theme: evidence.recorded for newly placed incidents; theme.escalated for a rise
    that was not told yet; theme.quieted when the last one fell; else, for a theme that others know
    of, theme.evidence_changed when its evidence did, or when time alone made other numbers of it
    since they were told last.
    """
    known = known or {}
    loaded = {**known, **await store.load_many(conn, touched.keys() - known.keys())}
    live = {i: loaded[i] for i in sorted(touched) if i in loaded and loaded[i].state != "merged"}
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
    detected = detect(material, policies, as_of, theme.dismissed_at, start, _folds.get(theme.id))
    _folds.keep(theme.id, detected.fold)
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
        template = fingerprint.template(row.title)
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


# told       | now                                      | published
# any        | a rise that was not told, and holds      | theme.escalated
# any        | a rise that was not told, and fell again | theme.escalated, theme.quieted
# quiet      | escalated                                | theme.escalated
# escalated  | quiet                                    | theme.quieted
# any        | the same, evidence changed, ever told    | theme.evidence_changed
# any        | the same, numbers moved, ever told       | theme.evidence_changed
#
# Each tells all the rises that the ledger knows by now. So how often something is told depends on how
# events were cut into batches; what was told last does not.
def _tell(theme: Theme, seen: Seen, touch: Touch) -> tuple[Theme, list[Event]]:
    """What has to be said about the theme, and the theme once it is said."""
    events: list[Event] = []

    def say(contract: type[ThemeEvent], at: datetime, **said: Any) -> None:
        nonlocal theme
        theme, event = theme_event(theme, contract, at, touch.ctx, **said)
        events.append(event)

    def say_numbers(contract: type[ThemeEvent], at: datetime, **said: Any) -> None:
        nonlocal theme
        theme = replace(theme, told_as_of=seen.as_of, told=seen.detected.state, announced=newest)
        summary = seen.ledger.summary(seen.as_of)
        say(contract, at, **said, evidence=numbers(summary), rises=_rises(seen))

    for start in range(0, len(touch.incident_ids), MOST_IDS):
        some = list(touch.incident_ids[start : start + MOST_IDS])
        say(EvidenceRecorded, seen.as_of, incident_ids=some)
    detected, was = seen.detected, theme
    newest = {detector: rise.rose_at for detector, rise in detected.newest.items()}
    new = _untold(theme, detected)
    if new:
        say_numbers(ThemeEscalated, min(new.values()), reasons=_data(detected.reasons()))
    if detected.state == "quiet" and (new or was.told == "escalated"):
        asked = explain(
            seen.material, seen.policies, seen.as_of, theme.dismissed_at, seen.start, detected.fold
        )
        why = tuple(reason for found in asked.values() for reason in found.reasons)
        say_numbers(ThemeQuieted, detected.fell_at or seen.as_of, reasons=_data(why))
    elif not new and theme.told_as_of is not None:
        if touch.changed or _moved_on(theme, seen):
            say_numbers(ThemeEvidenceChanged, seen.as_of)
        else:
            theme = replace(theme, told_as_of=max(theme.told_as_of, seen.as_of))
    return theme, events


def _rises(seen: Seen) -> list[RiseData]:
    """All the rises, as they are told."""
    known = sorted(seen.escalations, key=lambda one: (one.rose_at, one.detector))[-MOST_RISES:]
    newest = {one.detector: one for one in known}
    times = [row.at for row in seen.ledger.rows]

    def last_before(end: datetime) -> datetime | None:
        count = bisect_right(times, end)
        return times[count - 1] if count else None

    return [
        RiseData(
            detector=one.detector,
            rose_at=one.rose_at,
            fell_at=one.fell_at,
            last_at=last_before(one.fell_at or seen.as_of),
            reasons=_told(one) if newest[one.detector] is one else [],
        )
        for one in known
    ]


def _told(one: Escalation) -> list[ReasonData]:
    return [ReasonData.model_validate(reason) for reason in one.reasons]


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
    """The rises that nobody was told of: those newer than the newest told of their detector, and what
    holds although its fall was told."""
    if theme.told == "quiet" and detected.standing:
        return {detector: rise.rose_at for detector, rise in detected.standing.items()}
    told = theme.announced
    newest = {detector: rise.rose_at for detector, rise in detected.newest.items()}
    return {d: at for d, at in newest.items() if d not in told or at > told[d]}


def _data(reasons: tuple[Reason, ...]) -> list[ReasonData]:
    return [ReasonData.model_validate(reason.to_json()) for reason in reasons]
