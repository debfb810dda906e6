"""What a post would do, found out by the very code that does it, up to where it would save.

For whoever writes a sender or a mapping. Nothing is stored, counted or published.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.incidents.incident import OPEN_STATES
from services.incidents.incidents.store import Change, incidents
from services.incidents.settings import IncidentsSettings
from services.incidents.signals.book import IsSilenced, never
from services.incidents.signals.continuing import Post
from services.incidents.signals.recording import Batch, First, land, load
from services.incidents.signals.signal import Acknowledgement, Said, Signal
from services.incidents.signals.store import Alert, Occurrence, occurrence_of
from shared.context import Context

Happens = Literal[
    "opens", "joins", "reopens", "resolves", "repeats", "over", "acknowledges", "none"
]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What would become of one signal or acknowledgement, as a word and as a sentence.

    `over`: an incident is recorded that has ended already. `incident_id` and `signal_id` name what
    is stored; they are None for what the post itself would make.
    """

    happens: Happens
    says: str
    incident_id: str | None = None
    signal_id: str | None = None


async def preview(
    conn: AsyncConnection,
    said: Sequence[Said],
    ctx: Context,
    settings: IncidentsSettings,
    is_silenced: IsSilenced = never,
) -> list[Outcome]:
    """An outcome for each of these, in their order, were they posted at `ctx.now`. Only reads."""
    signals = [one for one in said if isinstance(one, Signal)]
    batch = await load(conn, [Post(signals, ctx)], settings.reopen_window, is_silenced)
    read = iter(batch.posts[0].signals)
    said = [next(read) if isinstance(one, Signal) else one for one in said]
    places = _places(said)
    landed = _landed(batch, places)
    outcomes: list[Outcome] = []
    for i, one in enumerate(said):
        if isinstance(one, Acknowledgement):
            outcomes.append(await _acknowledged(conn, one, batch))
            continue
        key = occurrence_of(one)
        if (stored := batch.known.get(key)) is not None:
            says = f"repeat of {stored.id}"
            outcomes.append(Outcome("repeats", says, stored.incident_id, stored.id))
        elif places[key] != i:
            outcomes.append(Outcome("repeats", f"repeat of signals[{places[key]}]"))
        else:
            outcomes.append(landed[key])
    return outcomes


def _places(said: Sequence[Said]) -> dict[Occurrence, int]:
    """Where each occurrence is told first."""
    places: dict[Occurrence, int] = {}
    for i, one in enumerate(said):
        if isinstance(one, Signal):
            places.setdefault(occurrence_of(one), i)
    return places


def _landed(batch: Batch, places: Mapping[Occurrence, int]) -> dict[Occurrence, Outcome]:
    """Let every new signal land, and say what that did."""
    stored = set(batch.book.changes)
    openers: dict[str, int] = {}
    outcomes: dict[Occurrence, Outcome] = {}
    for key, first in batch.new.items():
        before = dict(batch.book.changes)
        land(batch.book, first)
        for incident_id in batch.book.changes.keys() - before.keys():
            openers[incident_id] = places[key]
        outcomes[key] = _outcome(batch, first, before, stored, openers)
    return outcomes


def _outcome(
    batch: Batch,
    first: First,
    before: Mapping[str, Change],
    stored: set[str],
    openers: Mapping[str, int],
) -> Outcome:
    signal = first.signal
    held = batch.book.episode(Alert(signal.source, signal.fingerprint), signal.starts_at)
    assert held is not None, "every signal that landed has an episode"
    incident_id = held.incident_id
    is_open = batch.book.changes[incident_id].incident.is_open
    if incident_id not in before:
        by = batch.book.changes[incident_id].incident.silenced_by
        outcome = _opened(signal, is_open)
        return replace(outcome, says=f"{outcome.says}; silenced by {by}") if by else outcome
    known = incident_id if incident_id in stored else None
    name = known or f"the incident that signals[{openers[incident_id]}] opens"
    match before[incident_id].incident.is_open, is_open:
        case True, True if signal.status == "resolved":
            return Outcome("joins", f"ends a part of {_incident(name)}, which still fires", known)
        case True, True:
            return Outcome("joins", f"joins {_incident(name)}", known)
        case True, False:
            return Outcome("resolves", f"resolves {name}", known)
        case False, True:
            return Outcome("reopens", f"reopens {name}", known)
        case _:
            return Outcome("joins", f"joins {_incident(name)}, which is over", known)


def _incident(name: str) -> str:
    return name if name.startswith("the ") else f"incident {name}"


def _opened(signal: Signal, is_open: bool) -> Outcome:
    if is_open:
        return Outcome("opens", "opens an incident")
    if signal.status == "resolved":
        says = "nothing is open to resolve; an incident that has begun and ended is recorded"
        return Outcome("over", says)
    return Outcome("over", "records an incident whose end was told before")


async def _acknowledged(conn: AsyncConnection, said: Acknowledgement, batch: Batch) -> Outcome:
    """As of after the signals of its post, since those are recorded first."""
    query = select(incidents.c.id).where(
        incidents.c.source == said.source,
        incidents.c.fingerprint == said.fingerprint,
        incidents.c.state.in_(OPEN_STATES),
    )
    stored = set((await conn.execute(query)).scalars())
    changes = batch.book.changes
    for incident_id in stored:
        if incident_id not in changes or changes[incident_id].incident.is_open:
            return Outcome("acknowledges", f"acknowledges {incident_id}", incident_id)
    for change in changes.values():
        own = (change.incident.source, change.incident.fingerprint)
        if own == (said.source, said.fingerprint) and change.incident.is_open:
            return Outcome("acknowledges", "acknowledges the incident that its post opens")
    return Outcome("none", "nothing is open to acknowledge")
