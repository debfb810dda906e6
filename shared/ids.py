"""Identifiers: a prefix that names the noun, and a UUIDv7, so that ids sort by when they were made."""

from datetime import UTC, datetime

import uuid_utils


def new_id(noun: str) -> str:
    """A new id such as `inc_01926f…`. `noun` is the three-letter prefix of the glossary."""
    return f"{noun}_{uuid_utils.uuid7().hex}"


def made_at(identifier: str) -> datetime:
    """When an id of ours was made, to the millisecond. Raises ValueError for a foreign id."""
    _, _, hexadecimal = identifier.partition("_")
    return datetime.fromtimestamp(int(hexadecimal[:12], 16) / 1000, tz=UTC)
