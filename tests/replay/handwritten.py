"""Small logs written by hand, and how the tests read them."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from services.replay.cells import Cells
from services.replay.incidents import Entry, ReplayedIncident, incidents_of
from services.replay.mapping import SERVICENOW, ColumnMapping
from services.replay.source import Line

NOW = datetime(2026, 1, 1, tzinfo=UTC)

COLUMNS: tuple[str, ...] = (
    "number",
    "incident_state",
    "reopen_count",
    "sys_mod_count",
    "opened_at",
    "sys_updated_at",
    "location",
    "category",
    "subcategory",
    "u_symptom",
    "priority",
    "assignment_group",
    "assigned_to",
    "problem_id",
    "rfc",
    "contact_type",
    "resolved_at",
    "closed_at",
)

ROW = {
    "number": "INC1",
    "incident_state": "New",
    "reopen_count": "0",
    "sys_mod_count": "0",
    "opened_at": "1/3/2016 08:00",
    "sys_updated_at": "1/3/2016 08:00",
    "category": "Mail",
    "subcategory": "Relay",
    "priority": "3 - Moderate",
    "resolved_at": "9/3/2016 12:00",
    "closed_at": "14/3/2016 12:00",
}


def row(at: str, state: str, **more: str) -> dict[str, str]:
    """A row written on that hour of March 2016: "2 09:30" is the second at half past nine."""
    day, _, hour = at.partition(" ")
    return {
        **dict.fromkeys(COLUMNS, "?"),
        **ROW,
        "incident_state": state,
        "sys_updated_at": f"{day}/3/2016 {hour}",
        **more,
    }


def lines(rows: Iterable[Mapping[str, str]]) -> list[Line]:
    return [Line(number, dict(one)) for number, one in enumerate(rows, start=2)]


def read(
    rows: Iterable[Mapping[str, str]], mapping: ColumnMapping = SERVICENOW
) -> list[ReplayedIncident]:
    return incidents_of(lines(rows), Cells(mapping, NOW))


def one(rows: Iterable[Mapping[str, str]], mapping: ColumnMapping = SERVICENOW) -> ReplayedIncident:
    (incident,) = read(rows, mapping)
    return incident


def told(incident: ReplayedIncident, *kinds: str) -> list[str]:
    """The history as "kind day hour", of these kinds or all."""
    return [shown(entry) for entry in incident.history if not kinds or entry.kind in kinds]


def shown(entry: Entry) -> str:
    return f"{entry.kind} {entry.at.day} {entry.at:%H:%M}"


def write_csv(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue())
    return path
