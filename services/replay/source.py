"""Reads the CSV, or the one CSV in a zip: its digest, its header, and the columns that are wanted."""

import csv
import hashlib
import io
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from services.replay.mapping import ColumnMapping, UnusableMapping, columns_of

Row = dict[str, str]
"""The wanted cells of one line, by column."""

DELIMITERS = ",;\t|"


class Unreadable(ValueError):
    """The file is no CSV that can be replayed; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row, and where it stands in the file."""

    number: int
    row: Row


def digest_of(path: Path) -> str:
    """SHA-256 of the file as it lies there."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def header_of(path: Path) -> list[str]:
    """The names of the columns. Raises Unreadable."""
    with opened(path) as text:
        return _reader(text, path)[1]


def lines_of(path: Path, mapping: ColumnMapping) -> Iterator[Line]:
    """Every row, with the cells that the mapping names; short rows lack their last cells.

    Raises Unreadable, or UnusableMapping when the file lacks a column that the mapping names.
    """
    wanted = columns_of(mapping)
    with opened(path) as text:
        reader, header = _reader(text, path)
        absent = [column for column in wanted if column not in header]
        if absent:
            raise UnusableMapping(f"{path} has no column {absent[0]!r}; it has {', '.join(header)}")
        places = [(column, header.index(column)) for column in wanted]
        try:
            for cells in reader:
                if cells:
                    row = {c: sys.intern(cells[i]) for c, i in places if i < len(cells)}
                    yield Line(reader.line_num + 1, row)
        except (csv.Error, UnicodeDecodeError) as error:
            raise Unreadable(f"{path}, line {reader.line_num + 1}: {error}") from error


def _reader(text: TextIO, path: Path) -> tuple[Any, list[str]]:
    try:
        first = text.readline()
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path} is not UTF-8: {error}; convert it first") from error
    delimiter = max(DELIMITERS, key=first.count)
    header = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
    if not any(header):
        raise Unreadable(f"{path} begins with no header; its first line must name the columns")
    return csv.reader(text, delimiter=delimiter), header


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """The text of the CSV. Raises Unreadable for a zip that doesn't hold exactly one."""
    try:
        if not zipfile.is_zipfile(path):
            with path.open(encoding="utf-8-sig", newline="") as text:
                yield text
            return
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if n.lower().endswith(".csv")]
            names = [n for n in names if not n.startswith("__MACOSX/")]
            if len(names) != 1:
                raise Unreadable(f"{path} holds {len(names)} CSV files; give a zip with one")
            with archive.open(names[0]) as file:
                yield io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise Unreadable(f"{path} can't be read: {error}") from error
