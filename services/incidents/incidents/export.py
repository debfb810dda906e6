"""Incidents as CSV, for people who take a list away. One page at a time, as in JSON."""

import csv
import io
from collections.abc import Iterable

from services.incidents.incidents.views import IncidentView

COLUMNS = (
    "id",
    "title",
    "state",
    "severity",
    "service",
    "product",
    "source",
    "external_ref",
    "assignee",
    "opened_at",
    "acknowledged_at",
    "mitigated_at",
    "resolved_at",
    "closed_at",
    "reopenings",
    "customers_affected",
    "revenue_at_risk",
    "responder_hours",
)


def to_csv(incidents: Iterable[IncidentView]) -> str:
    """A header and a row each. A text that a spreadsheet would run as a formula is quoted."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for incident in incidents:
        row = incident.model_dump(mode="json", include=set(COLUMNS))
        writer.writerow([_cell(row[name]) for name in COLUMNS])
    return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return "" if value is None else value
