"""The metrics of what this service knows, named and explained once. Labels are bounded: never an id."""

from prometheus_client import Counter, Gauge
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.detection.store import escalations
from services.feedback.evidence.store import evidence
from services.feedback.outcomes.store import outcomes
from services.feedback.themes.store import themes

themes_known = Gauge("feedback_themes", "Themes, by state.", ["state"])
evidence_rows = Gauge("feedback_evidence_rows", "Rows of the ledger, by kind.", ["kind"])
evidence_silenced = Gauge(
    "feedback_evidence_silenced", "Rows of the ledger that a silence keeps from being evidence."
)
evidence_correlated = Gauge(
    "feedback_evidence_correlated",
    "Rows of the ledger that are no evidence because their incident is part of another.",
)
outcomes_known = Gauge("feedback_outcomes", "Outcomes of delivered items, by verdict.", ["verdict"])
detections = Gauge(
    "feedback_detections",
    "Rises of themes, by detector and by whether they hold.",
    ["detector", "holds"],
)
events_passed_over = Counter(
    "feedback_events_passed_over_total",
    "Events that had no effect because of what they are about.",
    ["reason"],
)


async def measure(conn: AsyncConnection) -> None:
    """Set the gauges from this database."""
    for gauge, column in (
        (themes_known, themes.c.state),
        (evidence_rows, evidence.c.kind),
        (outcomes_known, outcomes.c.verdict),
    ):
        gauge.clear()
        for value, count in await conn.execute(select(column, func.count()).group_by(column)):
            gauge.labels(value).set(count)
    silenced = select(func.count()).select_from(evidence).where(evidence.c.silenced)
    evidence_silenced.set((await conn.execute(silenced)).scalar_one())
    correlated = select(func.count(evidence.c.parent_id))
    evidence_correlated.set((await conn.execute(correlated)).scalar_one())
    detections.clear()
    holds = escalations.c.fell_at.is_(None)
    query = select(escalations.c.detector, holds.label("holds"), func.count())
    for detector, standing, count in await conn.execute(
        query.group_by(escalations.c.detector, holds)
    ):
        detections.labels(detector, "yes" if standing else "no").set(count)
