"""Reads the cells of a row as the mapping says; what can't be used becomes a remark, never a guess."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import TypeVar

from services.replay.mapping import (
    IN_TITLE,
    SEVERITIES,
    STAGES,
    ColumnMapping,
    Stage,
    zone_of,
)
from services.replay.source import Line, Row
from shared.clock import EARLIEST, SKEW
from shared.contracts.incidents import Severity

NAME = 200
LINE = 512
"""Characters of a name and of a line, as the API bounds them."""

UNKNOWN = "unknown"
MOST_REOPENINGS = 100
"""A higher count is taken for something else than a count."""

SHOWN = 10
"""Remarks that a person is shown; a wrong mapping makes many."""

Meaning = TypeVar("Meaning")

_WORD = re.compile(r"[^\W_]+")


@dataclass
class Remarks:
    """What in the file could not be used, counted, for a person to judge."""

    rows: int = 0
    passed_over: int = 0
    """Rows that say nothing usable at all."""
    counts: Counter[str] = field(default_factory=Counter[str])
    first_line: dict[str, int] = field(default_factory=dict[str, int])

    def note(self, line: Line, remark: str) -> None:
        self.counts[remark] += 1
        self.first_line.setdefault(remark, line.number)

    def sentences(self) -> Iterator[str]:
        """The remarks, most frequent first, at most SHOWN of them."""
        for remark, count in self.counts.most_common(SHOWN):
            yield f"{remark} (in {count} rows, first in line {self.first_line[remark]})"
        if len(self.counts) > SHOWN:
            yield f"and {len(self.counts) - SHOWN} remarks more; the mapping may be wrong"


class Cells:
    """Reads cells. `now` bounds what moments are believed, as the API does."""

    def __init__(self, mapping: ColumnMapping, now: datetime) -> None:
        self.mapping = mapping
        self.latest = now + SKEW
        self.remarks = Remarks()
        self._missing = frozenset(word.casefold() for word in mapping.missing)
        self._stages: dict[str, Stage] = folded(STAGES) | folded(mapping.states)
        self._severities: dict[str, Severity] = folded(SEVERITIES) | folded(mapping.severities)

    def text(self, row: Row, column: str | None, most: int) -> str | None:
        """The cell on one line, cut to what the API takes; None when it is missing."""
        cell = " ".join(row.get(column or "", "").replace("\x00", "").split())
        return None if cell.casefold() in self._missing else cell[:most]

    def title(self, row: Row) -> str:
        """The title of the incident as this row has it."""
        parts = IN_TITLE.sub(
            lambda name: self.text(row, name.group(1), LINE) or UNKNOWN, self.mapping.title
        )
        return parts.strip()[:LINE] or UNKNOWN

    def severity(self, line: Line) -> Severity | None:
        cell = self.text(line.row, self.mapping.severity, NAME)
        if cell is None:
            return None
        plain = cell.casefold()
        first = _WORD.match(plain)
        found = self._severities.get(plain) or self._severities.get(first.group() if first else "")
        if found is None:
            self.remarks.note(line, f"severity {cell!r} is unknown; map it: severity.high={cell}")
        return found

    def stage(self, line: Line) -> Stage | None:
        cell = self.text(line.row, self.mapping.state, NAME)
        if cell is None:
            return None
        found = self._stages.get(cell.casefold())
        if found is None:
            self.remarks.note(line, f"state {cell!r} is unknown; map it: state.resolved={cell}")
        return found

    def reopenings(self, line: Line) -> int | None:
        """How often it was reopened so far, or None when the row doesn't say."""
        count = self.number(line.row, self.mapping.reopen_count)
        if count is not None and not 0 <= count <= MOST_REOPENINGS:
            self.remarks.note(line, f"{self.mapping.reopen_count!r} holds no count to believe")
            return None
        return count

    def number(self, row: Row, column: str | None) -> int | None:
        cell = self.text(row, column, 18)
        try:
            return None if cell is None else int(cell)
        except ValueError:
            return None

    def moment(self, line: Line, column: str | None) -> datetime | None:
        """The moment in that column, in UTC; None when there is none that can be believed."""
        cell = self.text(line.row, column, NAME)
        if cell is None:
            return None
        found = _moment(cell, self.mapping.time_formats, self.mapping.timezone)
        if found is None:
            self.remarks.note(
                line, f"{column!r} holds no moment; give its form: time_format=%d.%m.%Y"
            )
        elif not EARLIEST <= found <= self.latest:
            self.remarks.note(line, f"{column!r} lies before 2000 or in the future")
            return None
        return found


def folded(words: Mapping[str, Meaning]) -> dict[str, Meaning]:
    """The words without regard to letter case."""
    return {word.casefold(): meaning for word, meaning in words.items()}


@lru_cache(maxsize=100_000)
def _moment(text: str, formats: tuple[str, ...], timezone: str) -> datetime | None:
    for form in (None, *formats):
        try:
            moment = _parsed(text, form)
            zoned = moment if moment.tzinfo else moment.replace(tzinfo=zone_of(timezone))
            return zoned.astimezone(UTC)
        except (ValueError, OverflowError):
            continue
    return None


def _parsed(text: str, form: str | None) -> datetime:
    return datetime.strptime(text, form) if form else datetime.fromisoformat(text)  # noqa: DTZ007
