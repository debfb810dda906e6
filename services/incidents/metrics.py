"""The incidents service's own metrics, each named and explained once. Labels are bounded."""

from prometheus_client import Counter, Gauge
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.catalog.domain import UNASSIGNED
from services.incidents.incidents.incident import OPEN_STATES
from services.incidents.incidents.store import CHILD, incidents
from services.incidents.signals.store import signals

ingest_accepted = Counter(
    "ingest_accepted_total", "Signals that were answered as durable, by sender.", ["source"]
)
ingest_rejected = Counter(
    "ingest_rejected_total", "Requests with signals that were refused whole, by why.", ["reason"]
)
signals_truncated = Counter(
    "signals_truncated_total", "Alerts that senders said they left out of a message."
)
signals_dropped = Counter(
    "signals_dropped_total",
    "Ends of alerts of which no beginning is known, dropped by their format.",
)
signals_skewed = Counter(
    "signals_skewed_total", "Signals with an impossible time, which was replaced.", ["source"]
)
signals_expired = Counter(
    "signals_expired_total", "Firing alerts that ended because they weren't sent again."
)
signals_silenced = Counter(
    "signals_silenced_total", "Signals whose alert began in a silence; stored like any other."
)
signals_stored = Gauge("signals_stored", "Signals stored, without their repeats.")
incidents_open = Gauge("incidents_open", "Incidents open, acknowledged or mitigated.", ["severity"])
incidents_silenced = Gauge(
    "incidents_silenced", "Incidents all of which fell into silences, open or over."
)
incidents_correlated = Gauge(
    "incidents_correlated",
    "Incidents that are part of another, by the rule that says so.",
    ["rule"],
)
incidents_unassigned = Gauge(
    "incidents_unassigned", "Incidents whose service the catalog doesn't know."
)
incidents_opened = Counter("incidents_opened_total", "Incidents opened.", ["severity"])
incidents_resolved = Counter("incidents_resolved_total", "Resolutions of incidents.")
incidents_reopened = Counter("incidents_reopened_total", "Reopenings of incidents.")

SEVERITIES = ("critical", "high", "medium", "low")

_told: dict[Counter, float] = {}


async def measure(conn: AsyncConnection) -> None:
    """Set what is derived from the tables. The counters go on from what the tables say, always."""
    query = select(
        incidents.c.severity,
        func.count().label("opened"),
        func.count().filter(incidents.c.state.in_(OPEN_STATES)).label("still_open"),
        func.count().filter(incidents.c.product == UNASSIGNED).label("unassigned"),
        func.count(incidents.c.silenced_by).label("silenced"),
        func.sum(incidents.c.resolutions).label("resolutions"),
        func.sum(incidents.c.reopenings).label("reopenings"),
    ).group_by(incidents.c.severity)
    rows = {row.severity: row for row in await conn.execute(query)}
    for severity in SEVERITIES:
        row = rows.get(severity)
        incidents_open.labels(severity).set(row.still_open if row else 0)
        _raise(incidents_opened.labels(severity), row.opened if row else 0)
    incidents_unassigned.set(sum(row.unassigned for row in rows.values()))
    incidents_silenced.set(sum(row.silenced for row in rows.values()))
    _raise(incidents_resolved, sum(row.resolutions for row in rows.values()))
    _raise(incidents_reopened, sum(row.reopenings for row in rows.values()))
    incidents_correlated.clear()
    by_rule = select(incidents.c.correlated_by, func.count()).where(CHILD)
    for rule, count in await conn.execute(by_rule.group_by(incidents.c.correlated_by)):
        incidents_correlated.labels(rule).set(count)
    stored = (await conn.execute(select(func.count()).select_from(signals))).scalar_one()
    signals_stored.set(stored)


def _raise(counter: Counter, total: float) -> None:
    counter.inc(max(0.0, total - _told.get(counter, 0.0)))
    _told[counter] = max(total, _told.get(counter, 0.0))
