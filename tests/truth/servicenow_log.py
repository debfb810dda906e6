"""The ServiceNow log, read so that nothing is known before it could be.

It owns the guard against leaks. What this log would give away, and what is done about it:
- A value can stand on every version of an incident, even if it was found out at the end. So the
  closing code, the resolver and the times of resolution and closing are not read at all.
- Severity and theme are those of the incident's first version, whatever became of them. (That
  version is not rewritten later: 319 of the log's priorities change from one version to another.)
- A link (problem_id or rfc) counts as known when a version shows it appear. One that stands on
  every version has no date: it counts as known only once the last version is written.
- The label looks only at incidents opened after the cut, so nothing known at the cut is part of
  it. A link made later for an incident opened before the cut is therefore no hit.
- The cuts come from the log's length, not from its results: the first is a full window of 28 days
  in, the last where four fifths of the incidents have opened, so that a future is left to look at.
"""

import csv
import io
import zipfile
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.roadmap.scores.numbers import EvidenceNumbers, Severity

Row = dict[str, str]
Theme = tuple[str, str]

CUTS = 5
SEVERITIES: dict[str, Severity] = {"1": "critical", "2": "high", "3": "medium", "4": "low"}
ORDER: tuple[Severity, ...] = ("critical", "high", "medium", "low")
NOTHING = "?"
COLUMNS = (
    "number",
    "incident_state",
    "sys_mod_count",
    "opened_at",
    "sys_updated_at",
    "category",
    "subcategory",
    "priority",
    "problem_id",
    "rfc",
)


@dataclass(frozen=True)
class Incident:
    """An incident with the moment from which each thing about it was known."""

    opened_at: datetime
    theme: Theme
    severity: Severity | None
    resolved_from: datetime | None
    linked_from: datetime | None


def read_rows(path: Path) -> list[Row]:
    """The rows of the CSV, or of the one CSV in the zip."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            tables = [name for name in archive.namelist() if name.endswith(".csv")]
            if len(tables) != 1:
                raise ValueError(f"{path} holds {len(tables)} CSV files: give a zip with one")
            text = archive.read(tables[0]).decode("utf-8-sig")
    else:
        text = path.read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    missing = [column for column in COLUMNS if not rows or column not in rows[0]]
    if missing:
        raise ValueError(f"{path} has no column {', '.join(missing)}: give the UCI event log")
    return rows


def incidents_of(rows: Iterable[Row]) -> list[Incident]:
    """One incident per number, oldest first."""
    versions: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        versions[row["number"]].append(row)
    return sorted(map(incident_of, versions.values()), key=lambda incident: incident.opened_at)


def incident_of(versions: Sequence[Row]) -> Incident:
    """What the versions of one incident say, dated by when they could be known."""
    ordered = sorted(versions, key=lambda row: (updated_at(row), int(row["sys_mod_count"])))
    first = ordered[0]
    return Incident(
        opened_at=moment(first["opened_at"]),
        theme=(first["category"], first["subcategory"]),
        severity=SEVERITIES.get(first["priority"][:1]),
        resolved_from=next(
            (updated_at(row) for row in ordered if row["incident_state"] in ("Resolved", "Closed")),
            None,
        ),
        linked_from=linked_from(ordered),
    )


def linked_from(ordered: Sequence[Row]) -> datetime | None:
    """When the link was known: when it appears, or at the last version if it never appears."""
    showing = [row for row in ordered if {row["problem_id"], row["rfc"]} != {NOTHING}]
    if not showing:
        return None
    return updated_at(ordered[-1] if len(showing) == len(ordered) else showing[0])


def updated_at(row: Row) -> datetime:
    """When this version was written."""
    return moment(row["sys_updated_at"])


def moment(text: str) -> datetime:
    """A time of the log, which names no zone: read as UTC."""
    return datetime.strptime(text, "%d/%m/%Y %H:%M").replace(tzinfo=UTC)


@dataclass(frozen=True)
class Outcome:
    """One theme at one cut."""

    theme: Theme
    numbers: EvidenceNumbers
    later: int
    later_linked: int


def cut_times(incidents: Sequence[Incident]) -> list[datetime]:
    """Five times, evenly from 28 days in to where four fifths of the incidents have opened."""
    first = incidents[0].opened_at + timedelta(days=28)
    last = incidents[int(0.8 * len(incidents))].opened_at
    if last <= first:
        raise ValueError("this log is too short to rank from: give one of two months or more")
    return [first + (last - first) * step / (CUTS - 1) for step in range(CUTS)]


def outcomes_at(cut: datetime, incidents: Sequence[Incident]) -> list[Outcome]:
    """Every theme with an incident in the 28 days before the cut."""
    earlier: defaultdict[Theme, list[Incident]] = defaultdict(list)
    later: defaultdict[Theme, list[Incident]] = defaultdict(list)
    for incident in incidents:
        (earlier if incident.opened_at <= cut else later)[incident.theme].append(incident)
    start = incidents[0].opened_at
    known = {theme: numbers_at(cut, start, known) for theme, known in sorted(earlier.items())}
    return [
        Outcome(
            theme,
            numbers,
            later=len(later[theme]),
            later_linked=sum(incident.linked_from is not None for incident in later[theme]),
        )
        for theme, numbers in known.items()
        if numbers.opened_28d
    ]


def numbers_at(cut: datetime, start: datetime, known: Sequence[Incident]) -> EvidenceNumbers:
    """The theme's evidence as of the cut; the log knows no customers, minutes or feedback."""
    opened = [incident.opened_at for incident in known]
    in_28d = known[bisect_right(opened, cut - timedelta(days=28)) :]
    recent = len(known) - bisect_right(opened, cut - timedelta(days=14))
    severities = {incident.severity for incident in known}
    return EvidenceNumbers(
        as_of=cut,
        total=len(known),
        open=sum(not _known(incident.resolved_from, cut) for incident in known),
        opened_28d=len(in_28d),
        top_severity_28d=sum(incident.severity in ("critical", "high") for incident in in_28d),
        opened_14d=recent,
        earlier_count=len(known) - recent,
        earlier_days=(cut - timedelta(days=14) - start) / timedelta(days=1),
        linked=sum(_known(incident.linked_from, cut) for incident in known),
        impact_minutes_total=0.0,
        impact_minutes_per_week=0.0,
        responder_hours_per_week=0.0,
        customers_max=None,
        customers_90d=None,
        feedback_count=0,
        votes=0,
        severity_max=next((severity for severity in ORDER if severity in severities), None),
    )


def _known(since: datetime | None, cut: datetime) -> bool:
    return since is not None and since <= cut
