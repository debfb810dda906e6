"""How answers look in a terminal: plain tables on stdout. NO_COLOR is respected."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

Column = tuple[str, Callable[[Mapping[str, Any]], Any]]
"""A heading, and how to read its cell from a row."""


def console() -> Console:
    """Stdout; as wide as its lines need where it is no terminal, so that pipes cut nothing off."""
    probe = Console()
    return probe if probe.is_terminal else Console(width=200)


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], title: str = "") -> Table:
    """A table of rows; every text is shown as it is, never as markup."""
    shown = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for heading, _ in columns:
        shown.add_column(heading, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(cell(read(row))) for _, read in columns))
    return shown


def cell(value: Any) -> str:
    """A value as a person reads it."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, list | tuple):
        return ", ".join(cell(one) for one in value)
    return str(value)


def minute(text: str | None) -> str:
    """An RFC 3339 moment to the minute."""
    if not text:
        return "–"
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M")


def field(name: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda row: row.get(name)


def moment(name: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda row: minute(row.get(name))
