"""Rows → incidents with their histories. Pure: no file, no clock, no network.

Only what a row could know when it was written is said. So an incident opens as its first row says,
whatever it became later; what differs on a later row happened then. Two things need care:

- Where the log counts reopenings, the count decides and the state does not: each step of the count is
  one reopening. (In the ServiceNow log the two agree 276 times of 276; the one change of state that
  the count doesn't confirm is a row written twice.) A step of the count while the incident was open
  means that a resolution was not logged: it is said too, at the same moment.
- A link that stands on every row of an incident has no date, and a log that writes final values
  back onto every row makes such links. It counts as known when the last row was written.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec

from services.replay.cells import LINE, NAME, Cells
from services.replay.mapping import LinkKind, Stage
from services.replay.source import Line, Row
from shared.contracts.incidents import Severity

UNRATED: Severity = "medium"

Kind = Literal[
    "acknowledged",
    "resolved",
    "reopened",
    "closed",
    "severity_changed",
    "assigned",
    "linked",
    "commented",
]


class Link(msgspec.Struct, frozen=True, order=True):
    """A record elsewhere."""

    kind: LinkKind
    reference: str


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that happened to an incident, as the import takes it."""

    kind: Kind
    at: datetime
    severity: Severity | None = None
    assignee: str | None = None
    link: Link | None = None
    text: str | None = None


class ReplayedIncident(msgspec.Struct, frozen=True, omit_defaults=True):
    """An incident as the import takes it; `history` is in order of time, none of it before opening."""

    source: str
    external_ref: str
    title: str
    opened_at: datetime
    severity: Severity
    service: str | None = None
    labels: dict[str, str] = {}
    history: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Version:
    """What one row says, or one moment of it; None where it says nothing."""

    at: datetime
    order: int
    title: str
    stage: Stage | None = None
    reopenings: int | None = None
    severity: Severity | None = None
    assignee: str | None = None
    links: frozenset[Link] = frozenset()


def incidents_of(lines: Iterable[Line], cells: Cells) -> list[ReplayedIncident]:
    """The incidents of a file, oldest first. What can't be used goes to `cells.remarks`."""
    mapping, remarks = cells.mapping, cells.remarks
    groups: dict[str, list[Line]] = {}
    for line in lines:
        remarks.rows += 1
        reference = cells.text(line.row, mapping.external_ref, NAME + 1)
        if reference is None or len(reference) > NAME:
            remarks.passed_over += 1
            remarks.note(line, f"{mapping.external_ref!r} names no incident; row passed over")
        else:
            groups.setdefault(reference, []).append(line)
    found = [incident_of(reference, rows, cells) for reference, rows in groups.items()]
    known = [incident for incident in found if incident is not None]
    return sorted(known, key=lambda incident: (incident.opened_at, incident.external_ref))


def incident_of(reference: str, lines: Sequence[Line], cells: Cells) -> ReplayedIncident | None:
    """One incident from its rows, in any order; None when no row has a moment that can be read."""
    told: list[tuple[Version, Line]] = []
    for place, line in enumerate(lines):
        versions = versions_of(line, place, cells)
        if not versions:
            cells.remarks.passed_over += 1
            cells.remarks.note(line, "no moment to place it at; row passed over")
        told += [(version, line) for version in versions]
    if not told:
        return None
    told.sort(key=lambda pair: (pair[0].at, pair[0].order))
    mapping = cells.mapping
    first, line = told[0]
    opened_at = cells.moment(line, mapping.opened_at) or first.at
    return ReplayedIncident(
        source=mapping.source,
        external_ref=reference,
        title=first.title,
        opened_at=opened_at,
        severity=first.severity or UNRATED,
        service=cells.text(line.row, mapping.service, NAME),
        labels=_labels(line.row, cells),
        history=tuple(
            history_of(
                [version for version, _ in told],
                opened_at,
                counted=mapping.reopen_count is not None,
            )
        ),
    )


def known_by(incidents: Iterable[ReplayedIncident], moment: datetime) -> list[ReplayedIncident]:
    """What of these incidents had happened by that moment."""
    return [
        msgspec.structs.replace(
            incident, history=tuple(entry for entry in incident.history if entry.at <= moment)
        )
        for incident in incidents
        if incident.opened_at <= moment
    ]


def _labels(row: Row, cells: Cells) -> dict[str, str]:
    found = {name: cells.text(row, column, LINE) for name, column in cells.mapping.labels.items()}
    return {name: value for name, value in found.items() if value is not None}


def versions_of(line: Line, place: int, cells: Cells) -> list[Version]:
    """What a row of a log says; or each moment of a row of an export, of which all but the opening
    may be missing. [] without a moment. `place` orders rows that the log doesn't."""
    mapping, row = cells.mapping, line.row
    severity = cells.severity(line)
    assignee = cells.text(row, mapping.assignee, NAME)
    links = frozenset(
        Link(kind, name)
        for kind, column in mapping.links.items()
        if (name := cells.text(row, column, NAME)) is not None
    )
    title = cells.title(row)

    def version(at: datetime, order: int, stage: Stage | None, count: int | None) -> Version:
        return Version(at, order, title, stage, count, severity, assignee, links)

    if mapping.at is not None:
        at = cells.moment(line, mapping.at)
        if at is None:
            return []
        order = cells.number(row, mapping.order)
        known = place if order is None else order
        return [version(at, known, cells.stage(line), cells.reopenings(line))]
    opened = cells.moment(line, mapping.opened_at)
    if opened is None:
        return []
    moments: list[tuple[Stage, datetime | None]] = [
        ("open", opened),
        ("acknowledged", cells.moment(line, mapping.acknowledged_at)),
        ("resolved", cells.moment(line, mapping.resolved_at)),
        ("closed", cells.moment(line, mapping.closed_at)),
    ]
    return [version(at, n, stage, None) for n, (stage, at) in enumerate(moments) if at is not None]


def history_of(
    versions: Sequence[Version], opened_at: datetime, *, counted: bool
) -> Iterator[Entry]:
    """What happened between these versions, which are in order of time. See the module.

    `counted`: the log counts reopenings.
    """
    teller = _Teller(versions[0], counted)
    links = dated_links(versions)
    at = opened_at
    for number, version in enumerate(versions):
        at = max(at, version.at)  # clocks of a log disagree; nothing happens before the opening
        yield from teller.tell(version, at)
        for link in links.get(number, ()):
            yield Entry("linked", at, link=link)


def dated_links(versions: Sequence[Version]) -> dict[int, list[Link]]:
    """At which version each link became known: when it appeared, or at the last if it always stood."""
    known: dict[int, list[Link]] = {}
    for link in sorted({link for version in versions for link in version.links}):
        showing = [number for number, version in enumerate(versions) if link in version.links]
        always = len(showing) == len(versions)
        known.setdefault(len(versions) - 1 if always else showing[0], []).append(link)
    return known


class _Teller:
    """Remembers what was said of an incident, and says what a version adds."""

    def __init__(self, first: Version, counted: bool) -> None:
        self.counted = counted
        self.title = first.title
        self.severity: Severity = first.severity or UNRATED
        self.assignee: str | None = None
        self.stage: Stage = "open"
        self.reopenings = 0

    @property
    def over(self) -> bool:
        return self.stage in ("resolved", "closed")

    def tell(self, version: Version, at: datetime) -> Iterator[Entry]:
        yield from self._reopened(version, at)
        if version.title != self.title:
            self.title = version.title
            yield Entry("commented", at, text=f"Retitled: {version.title}")
        if version.severity and version.severity != self.severity:
            self.severity = version.severity
            yield Entry("severity_changed", at, severity=version.severity)
        if version.assignee and version.assignee != self.assignee:
            self.assignee = version.assignee
            yield Entry("assigned", at, assignee=version.assignee)
        yield from self._staged(version.stage, at)

    def _reopened(self, version: Version, at: datetime) -> Iterator[Entry]:
        if self.counted:
            times = max((version.reopenings or 0) - self.reopenings, 0)
            self.reopenings += times
        else:
            times = int(self.over and version.stage in ("open", "acknowledged"))
        for _ in range(times):
            if not self.over:
                yield Entry("resolved", at)
            self.stage = "open"
            yield Entry("reopened", at)

    def _staged(self, stage: Stage | None, at: datetime) -> Iterator[Entry]:
        if stage == "acknowledged" and self.stage == "open":
            self.stage = stage
            yield Entry("acknowledged", at)
        elif stage in ("resolved", "closed"):
            if not self.over:
                self.stage = "resolved"
                yield Entry("resolved", at)
            if stage == "closed" and self.stage == "resolved":
                self.stage = stage
                yield Entry("closed", at)
