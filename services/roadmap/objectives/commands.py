"""Changes of objectives, in the caller's transaction."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap.objectives import store
from services.roadmap.objectives.domain import ChangeObjective, Objective, changed
from shared.context import Context
from shared.contracts.roadmap import ObjectiveChanged, ObjectiveSet
from shared.outbox import publish
from shared.refusals import VersionMismatch


async def set_objective(conn: AsyncConnection, objective: Objective, ctx: Context) -> Objective:
    """Enter a new objective."""
    await store.save(conn, objective, was=None)
    said = ObjectiveSet(
        objective_id=objective.objective_id,
        at=objective.set_at,
        title=objective.title,
        product=objective.product,
        target=objective.target,
    )
    about = ctx.event(
        said, subject=objective.objective_id, version=objective.version, at=objective.set_at
    )
    await publish(conn, [about])
    return objective


async def change_objective(
    conn: AsyncConnection,
    objective_id: str,
    changes: dict[str, Any],
    ctx: Context,
    *,
    expected: int | None = None,
) -> Objective:
    """Change the named fields. Idempotent: what changes nothing publishes nothing.

    Raises ObjectiveUnknown or VersionMismatch.
    """
    before = await store.load(conn, objective_id)
    if expected is not None and before.version != expected:
        raise VersionMismatch(
            f"Objective {objective_id} is at version {before.version}, not {expected}; read it again."
        )
    wanted = ChangeObjective(
        title=changes.get("title", before.title),
        product=changes.get("product", before.product),
        target=changes.get("target", before.target),
        state=changes.get("state", before.state),
    )
    objective = changed(before, wanted)
    if objective is before:
        return objective
    await store.save(conn, objective, was=before.version)
    said = ObjectiveChanged(
        objective_id=objective_id,
        at=ctx.now,
        title=objective.title,
        product=objective.product,
        target=objective.target,
        state=objective.state,
    )
    story = ctx.about(objective.correlation_id)
    about = story.event(said, subject=objective_id, version=objective.version, at=ctx.now)
    await publish(conn, [about])
    return objective
