"""What a run came to, said without ids, versions and times of arrival.

Two runs of the same story must come to the same, whatever happened in between and whichever engine
carried it. A theme goes by what it is about, an incident by its alert, a candidate by its theme.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Row

from tests.faults.stored import Stored

Natural = dict[str, Any]

PASSING = frozenset({"merged", "withdrawn"})
"""States of candidates that only some orders bring about: raised, and then found to be none."""


@dataclass(frozen=True)
class Names:
    """The natural names of what has an id."""

    stored: Stored

    @cached_property
    def themes(self) -> Mapping[str, str]:
        """Live themes and those merged into them, by id."""
        live = {row.id: _theme_name(row) for row in self.stored["themes"]}
        into = {row.id: row.merged_into for row in self.stored["themes"] if row.merged_into}
        return {id_: live[into.get(id_, id_)] for id_ in live}

    @cached_property
    def incidents(self) -> Mapping[str, str]:
        return {
            row.id: f"{row.source}/{row.fingerprint or row.external_ref or row.title}"
            for row in self.stored["incidents"]
        }

    def theme(self, id_: str | None) -> str | None:
        return None if id_ is None else self.themes.get(id_, f"unknown theme {id_}")


def natural(stored: Stored) -> Natural:
    """Incidents, themes with their ledgers and rises, candidates, items and outcomes."""
    names = Names(stored)
    return {
        "incidents": _sorted(_incident(row, names, stored) for row in stored["incidents"]),
        "themes": _themes(names, stored),
        "candidates": _sorted(
            _candidate(row, names) for row in stored["candidates"] if row.state not in PASSING
        ),
        "items": _sorted(_item(row, names, stored) for row in stored["items"]),
        "outcomes": _sorted(_outcome(row, names) for row in stored["outcomes"]),
    }


def _theme_name(row: Row[Any]) -> str:
    parts = (row.product, row.service, row.alert_name or "", row.template)
    return "/".join(parts).casefold()


def _picked(row: Row[Any], *columns: str) -> Natural:
    return {name: getattr(row, name) for name in columns}


def _sorted(rows: Any) -> list[Natural]:
    return sorted(rows, key=lambda row: repr(sorted(row.items())))


def _incident(row: Row[Any], names: Names, stored: Stored) -> Natural:
    themes = {one.incident_id: one.theme_id for one in stored["incident_themes"]}
    silenced = row.silenced_by is not None
    hidden = silenced or row.parent_id is not None
    return {
        **_picked(row, "source", "fingerprint", "external_ref", "title", "service", "product"),
        **_picked(row, "severity", "state", "opened_at", "resolved_at"),
        "silenced": silenced,
        "parent": names.incidents.get(row.parent_id),
        "correlated_by": row.correlated_by,
        "theme": None if hidden else names.theme(themes.get(row.id)),
    }


def _themes(names: Names, stored: Stored) -> Natural:
    """Live themes with any evidence, by name."""
    evidence = stored.by("evidence", "theme_id")
    rises = stored.by("escalations", "theme_id")
    return {
        names.themes[row.id]: {
            **_picked(row, "title", "state", "told", "rose_at", "evidence_count"),
            **_picked(row, "first_at", "last_at", "dismissed_at"),
            "evidence": _sorted(_evidence(one, names) for one in evidence[row.id]),
            "rises": _sorted(
                _picked(one, "detector", "rose_at", "fell_at", "reasons", "fell_because")
                for one in rises.get(row.id, [])
            ),
        }
        for row in stored["themes"]
        if row.state != "merged" and row.id in evidence
    }


def _evidence(row: Row[Any], names: Names) -> Natural:
    source = names.incidents.get(row.source_id) if row.kind == "incident" else row.title
    return {
        **_picked(row, "kind", "at", "ended_at", "severity", "severity_then", "customers"),
        **_picked(row, "tier", "linked", "votes", "product", "service"),
        "source": source,
    }


def _numbers(evidence: Mapping[str, Any] | None) -> Natural | None:
    """The numbers without those that are told along with others, and never for their own sake: as of
    when they are, and of a theme long silent how long ago its incidents were."""
    if evidence is None:
        return None
    aside = {"as_of"} if evidence["opened_14d"] else {"as_of", "earlier_days"}
    return {name: value for name, value in evidence.items() if name not in aside}


def _candidate(row: Row[Any], names: Names) -> Natural:
    return {
        **_picked(row, "title", "product", "service", "state", "block"),
        **_picked(row, "needs_estimate", "decided_at", "decision", "until", "until_total"),
        "score": round(row.score, 2),  # a move of half a hundredth is not told
        "evidence": _numbers(row.evidence),
        "reasons": _sorted(row.reasons),
        "raised_at": row.raised_at,
        "quiet": row.quiet_since is not None,
        "returned": row.previous_id is not None,
        "theme": names.theme(row.theme_id),
    }


def _item(row: Row[Any], names: Names, stored: Stored) -> Natural:
    themes = stored.by("item_themes", "item_id").get(row.item_id, [])
    return {
        **_picked(row, "title", "product", "state", "horizon", "quarter", "verdict"),
        **_picked(row, "expected_reduction", "committed_at", "delivered_at", "cancelled_at"),
        "themes": sorted(str(names.theme(one.theme_id)) for one in themes),
    }


def _outcome(row: Row[Any], names: Names) -> Natural:
    return {
        **_picked(row, "title", "product", "delivered_at", "verdict", "reason", "final", "as_of"),
        "numbers": dict(row.numbers),
        "themes": sorted(str(names.theme(one)) for one in row.theme_ids),
    }


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Where two naturals differ, in words: for the message of a failed comparison."""
    if isinstance(one, dict) and isinstance(other, dict):
        found: list[str] = []
        for key in sorted(one.keys() | other.keys(), key=str):
            if key not in one or key not in other:
                whose = "first" if key in one else "second"
                found.append(f"{path}/{key}: only in the {whose}")
            else:
                found += differences(one[key], other[key], f"{path}/{key}")
        return found
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = zip(one, other, strict=True)
        return [d for i, (a, b) in enumerate(pairs) for d in differences(a, b, f"{path}[{i}]")]
    return [] if one == other else [f"{path}: {one!r} against {other!r}"]
