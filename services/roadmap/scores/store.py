"""The table `score_policies`: every version of the policy that candidates are scored by."""

from datetime import datetime

from sqlalchemy import Column, Integer, Table, Text, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap.metadata import metadata
from services.roadmap.scores.policy import ScorePolicy
from shared.database import Json, UtcDateTime
from shared.prepared import Prepared
from shared.refusals import Conflict

score_policies = Table(
    "score_policies",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("data", Json, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("actor", Text, nullable=False),
)


_CURRENT = Prepared(
    select(score_policies.c.data).order_by(score_policies.c.version.desc()).limit(1)
)


async def current(conn: AsyncConnection) -> ScorePolicy:
    """The newest policy; version 1, all defaults, until somebody writes one."""
    rows = await _CURRENT.rows(conn, {})
    return ScorePolicy.model_validate(rows[0].data) if rows and rows[0].data else ScorePolicy()


async def save(
    conn: AsyncConnection, policy: ScorePolicy, *, actor: str, recorded_at: datetime
) -> None:
    """Add a version. Raises Conflict when somebody else added the same one meanwhile."""
    values = {
        "version": policy.version,
        "data": policy.model_dump(mode="json"),
        "recorded_at": recorded_at,
        "actor": actor,
    }
    try:
        await conn.execute(insert(score_policies).values(values))
    except IntegrityError as clash:
        raise Conflict("The score policy was changed meanwhile; read it again.") from clash
