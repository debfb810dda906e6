"""What the demo must remember between two runs: when its stream began, and which candidate it chose.

Kept in the data folder, written whole before it is acted upon, so that a run that was killed is gone
on with: the same bodies are sent again and change nothing.
"""

from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from services.gateway.access.first_start import write_private

FILE = "demo.json"


class Progress(msgspec.Struct, frozen=True):
    """`anchor` is when the stream's first minute was."""

    anchor: datetime
    candidate_id: str | None = None


def begun(data: Path, now: datetime, lasts: timedelta) -> Progress:
    """The progress of an earlier run, or that of a stream which ends in the hour before `now`."""
    path = data / FILE
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=Progress)
    anchor = (now - lasts).replace(minute=0, second=0, microsecond=0)
    return noted(data, Progress(anchor))


def noted(data: Path, progress: Progress) -> Progress:
    """Keep it, durably, and return it."""
    write_private(data / FILE, msgspec.json.encode(progress).decode())
    return progress
