"""What the demo's recording holds, counted without Groundswell's own storage."""

from datetime import UTC, datetime

from services.demo.stream import load, moment, redate
from services.incidents.signals.adapters.alertmanager import parse

ANCHOR = datetime(2026, 1, 5, tzinfo=UTC)


def distinct_signals() -> int:
    """How many different signals the recording sends; the rest are redeliveries and repeats."""
    told: set[tuple[str, str, datetime | None]] = set()
    for record in load().records:
        for one in parse(redate(record, ANCHOR), moment(record.at_minutes, ANCHOR)):
            told.add((one.fingerprint, one.status, one.starts_at))
    return len(told)
