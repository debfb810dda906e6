"""Tells a road as a list of stations, in the order in which things happened. Pure.

A station's `at` is event time, `recorded_at` when we heard of it, where the service says that.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.gateway.trace.road import Road

ORDER = ("signal", "incident", "theme", "candidate", "item", "outcome")
"""The stations of the road; what happened at one moment is told in this order."""

PART_OF = {
    "signals": "signal",
    "timeline": "incident",
    "evidence": "theme",
    "escalations": "theme",
    "scores": "candidate",
    "history": "item",
}
"""Which station a part belongs to, where it isn't named like it."""

LAST = datetime.max.replace(tzinfo=UTC)

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Station:
    """One thing that happened on the road. `at` is None where a station could not be asked."""

    station: str
    at: datetime | None
    recorded_at: datetime | None
    id: str | None
    text: str


def stations(road: Road) -> list[Station]:
    """Every station by event time; at the end, those that could not be asked."""
    told = [*_signals(road), *_incident(road), *_theme(road), *_candidate(road), *_item(road)]
    told += _outcome(road)
    told.sort(key=lambda one: (one.at or LAST, ORDER.index(one.station)))
    for part, why in sorted(road.unavailable.items()):
        station = PART_OF.get(part, part)
        if station in ORDER:
            told.append(Station(station, None, None, None, f"{part}: {why}"))
    return told


def _signals(road: Road) -> Iterator[Station]:
    for row in road.parts.get("signals") or []:
        ended = row["status"] == "resolved" and row["ends_at"]
        at = row["ends_at"] if ended else row["starts_at"]
        text = f"{row['source']} says {'it is over' if ended else 'it began'}: {row['title']}"
        yield _station("signal", at, row["id"], text, row["received_at"])


def _incident(road: Road) -> Iterator[Station]:
    for row in road.parts.get("timeline") or []:
        said = row["data"]
        text = _words(row["kind"])
        if row["kind"] == "opened":
            where = f"{said['service']} of {said['product']}, {said['severity']}"
            text = f"opened: {said['title']} ({where})"
        elif row["kind"] == "correlated":
            text = f"part of {said['parent_id']}: {said['why']}"
        elif row["kind"] == "uncorrelated":
            text = f"no part of {said['was_parent_id']} any more"
        yield _station("incident", row["at"], road.get("incident", "id"), text, row["recorded_at"])


def _theme(road: Road) -> Iterator[Station]:
    theme_id, title = road.get("theme", "id"), road.get("theme", "template")
    for row in road.parts.get("evidence") or []:
        if row["source_id"] == road.get("incident", "id"):
            yield _station("theme", row["at"], theme_id, f"is evidence of the theme: {title}")
    for row in road.parts.get("escalations") or []:
        why = " ".join(reason["text"] for reason in row["reasons"])
        yield _station("theme", row["rose_at"], theme_id, f"{row['detector']} rose. {why}")
        if row["fell_at"]:
            text = f"{row['detector']} fell. {row['fell_because'] or ''}".strip()
            yield _station("theme", row["fell_at"], theme_id, text)


def _candidate(road: Road) -> Iterator[Station]:
    for row in road.get("candidate", "decisions") or []:
        said = row["data"]
        text = _words(row["kind"])
        if "score" in said:
            why = " ".join(reason["text"] for reason in said.get("reasons", []))
            text = f"{text} with a score of {said['score']:.2f}. {why}".strip()
        elif "by" in said:
            text = f"{text} by {said['by']}" + (f": {said['reason']}" if "reason" in said else "")
        candidate_id = road.get("candidate", "id")
        yield _station("candidate", row["at"], candidate_id, text, row["recorded_at"])


def _item(road: Road) -> Iterator[Station]:
    for row in road.parts.get("history") or []:
        said = row["data"]
        text = _words(row["kind"])
        if row["kind"] == "planned":
            text += f" for {said['horizon']}" + (f", {said['quarter']}" if said["quarter"] else "")
        elif row["kind"] == "committed":
            text += f" to {said['expected_reduction']:.0%} fewer incidents"
        elif row["kind"] == "delivered" and said.get("release"):
            text += f" with release {said['release']}"
        yield _station("item", row["at"], road.get("item", "id"), text, row["recorded_at"])


def _outcome(road: Road) -> Iterator[Station]:
    outcome: Row | None = road.parts.get("outcome")
    if outcome and outcome["as_of"]:
        so_far = "" if outcome["final"] else " so far"
        text = f"{_words(outcome['verdict'])}{so_far}: {outcome['text']}"
        yield _station("outcome", outcome["as_of"], outcome["id"], text)


def _station(
    station: str, at: str, id: str | None, text: str, recorded_at: str | None = None
) -> Station:
    recorded = datetime.fromisoformat(recorded_at) if recorded_at else None
    return Station(station, datetime.fromisoformat(at), recorded, id, text)


def _words(kind: str) -> str:
    return kind.replace("_", " ")
