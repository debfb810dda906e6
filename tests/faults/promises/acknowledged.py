"""S1, S2 and S5: what clients were told of their signals, against what is stored of them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from tests.faults.history import Entry, Fate, Sent
from tests.faults.stored import Stored
from tests.faults.violation import Violation

NOT_FOUND = 404


@dataclass(frozen=True)
class Trail:
    """What is stored of one alert, from its signals down to its evidence."""

    signals: Mapping[str, list[Row[Any]]]
    """By status."""
    incidents: list[Row[Any]]
    evidence: list[Row[Any]]


def trails(stored: Stored) -> dict[str, Trail]:
    """Per fingerprint, all that came of it."""
    evidence = stored.by("evidence", "source_id")
    signals: defaultdict[str, defaultdict[str, list[Row[Any]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in stored["signals"]:
        signals[row.fingerprint][row.status].append(row)
    incidents = stored.by("incidents", "fingerprint")
    found: dict[str, Trail] = {}
    for fingerprint in signals.keys() | {one for one in incidents if one is not None}:
        opened = incidents.get(fingerprint, [])
        rows = [row for one in opened for row in evidence.get(one.id, [])]
        found[fingerprint] = Trail(signals.get(fingerprint, {}), opened, rows)
    return found


NOTHING = Trail({}, [], [])


def is_lost(fate: Fate, trail: Trail) -> bool:
    """Acknowledged, and then missing: as a signal, as an incident, or as evidence of a theme."""
    there = (
        trail.signals.get(fate.sent.status) and trail.incidents and trail.evidence
    ) and not _is_unplaced(trail.evidence[0])
    return fate.acknowledged and not there


def is_doubled(fate: Fate, trail: Trail) -> bool:
    """Stored or counted more than once."""
    several = (trail.signals.get(fate.sent.status, ()), trail.incidents, trail.evidence)
    return any(len(rows) > 1 for rows in several)


def stored_once(fates: Mapping[Sent, Fate], stored: Stored) -> Iterator[Violation]:
    """S1 and S2, for every signal of the history."""
    found = trails(stored)
    for sent, fate in fates.items():
        trail = found.get(sent.id, NOTHING)
        rows = trail.signals.get(sent.status, [])
        about = f"{sent.id} {sent.status}"
        if fate.refused and rows:
            yield Violation("S2", about, f"was refused {fate.failed} times, and is stored")
        if fate.acknowledged and not rows:
            yield Violation("S1", about, f"was acknowledged {fate.ok} times, and is not stored")
        if is_doubled(fate, trail):
            counts = f"{len(rows)} signals, {len(trail.incidents)} incidents"
            yield Violation("S1", about, f"has {counts}, {len(trail.evidence)} rows of evidence")
        for row in rows[:1]:
            yield from _followed(fate, row, trail, about)


def _is_unplaced(row: Row[Any]) -> bool:
    """Of no theme, though neither a silence nor a parent keeps it from one."""
    return row.theme_id is None and not row.silenced and row.parent_id is None


def _followed(fate: Fate, row: Row[Any], trail: Trail, about: str) -> Iterator[Violation]:
    """What is stored of a signal leads to the evidence of a theme."""
    incidents = [one.id for one in trail.incidents]
    if row.incident_id not in incidents:
        yield Violation("S1", about, f"is of incident {row.incident_id}, which is not stored")
    elif not trail.evidence:
        yield Violation("S1", about, f"is of incident {row.incident_id}, which is no evidence")
    elif _is_unplaced(trail.evidence[0]):
        yield Violation("S1", about, f"is evidence {trail.evidence[0].id}, which is of no theme")
    foreign = fate.answered - {row.id}
    if foreign:
        yield Violation("S1", about, f"is stored as {row.id}, but was answered {sorted(foreign)}")
    least, most = max(0, fate.ok - 1), fate.ok + fate.unknown - 1
    if not least <= row.repeats <= most:
        what = f"counts {row.repeats} repeats; its sender saw {least} to {most}"
        yield Violation("S1", about, what)


def pains_are_themes(fates: Mapping[Sent, Fate], stored: Stored) -> Iterator[Violation]:
    """S1: the signals of one pain are evidence of one theme, and of no other pain's."""
    found = trails(stored)
    themes: defaultdict[str, set[str]] = defaultdict(set)
    pains: defaultdict[str, set[str]] = defaultdict(set)
    for sent, fate in fates.items():
        for row in found.get(sent.id, NOTHING).evidence:
            if fate.pain is not None and row.theme_id is not None:
                themes[fate.pain].add(row.theme_id)
                pains[row.theme_id].add(fate.pain)
    for pain, of in themes.items():
        if len(of) > 1:
            yield Violation("S1", pain, f"is one pain, and is spread over themes {sorted(of)}")
    for theme_id, of in pains.items():
        if len(of) > 1:
            yield Violation("S1", theme_id, f"mixes the pains {sorted(of)}")


def readable(entries: Sequence[Entry]) -> Iterator[Violation]:
    """S5: clients read a signal only after it was acknowledged to them, so a 404 is always wrong."""
    for entry in entries:
        if entry.op == "read" and entry.detail.get("status") == NOT_FOUND:
            yield Violation("S5", entry.id, "was acknowledged, and then reading it answered 404")
