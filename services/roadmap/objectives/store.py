"""The table `objectives`. Load and save an objective."""

from dataclasses import asdict

from sqlalchemy import Column, Index, Integer, Table, Text, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap.metadata import metadata
from services.roadmap.objectives.domain import Objective
from shared.database import UtcDateTime
from shared.refusals import Conflict, NotFound

objectives = Table(
    "objectives",
    metadata,
    Column("objective_id", Text, primary_key=True),
    Column("title", Text, nullable=False),
    Column("product", Text),
    Column("target", Text),
    Column("state", Text, nullable=False),
    Column("set_at", UtcDateTime, nullable=False),
    Column("correlation_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
)
Index("objectives_by_age", objectives.c.set_at, objectives.c.objective_id)


class ObjectiveUnknown(NotFound):
    """No objective has this id."""


async def load(conn: AsyncConnection, objective_id: str) -> Objective:
    """Raises ObjectiveUnknown."""
    query = select(objectives).where(objectives.c.objective_id == objective_id)
    row = (await conn.execute(query)).one_or_none()
    if row is None:
        raise ObjectiveUnknown(
            f"There is no objective {objective_id!r}; list them with GET /v1/objectives."
        )
    return Objective(
        objective_id=row.objective_id,
        title=row.title,
        product=row.product,
        target=row.target,
        state=row.state,
        set_at=row.set_at,
        correlation_id=row.correlation_id,
        version=row.version,
    )


async def save(conn: AsyncConnection, objective: Objective, *, was: int | None) -> None:
    """Write the objective. `was` is the version it was loaded with, None for a new one.

    Raises Conflict when somebody else changed it meanwhile.
    """
    values = asdict(objective)
    if was is None:
        await conn.execute(insert(objectives).values(values))
        return
    query = update(objectives).where(
        objectives.c.objective_id == objective.objective_id, objectives.c.version == was
    )
    if (await conn.execute(query.values(values))).rowcount != 1:
        raise Conflict(
            f"Objective {objective.objective_id} was changed meanwhile; read it again and retry."
        )
