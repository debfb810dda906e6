"""Changes of policies, in the caller's transaction."""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.detection import store
from services.feedback.detection.settings import settings_of
from services.feedback.detection.store import EVERY_PRODUCT, StoredPolicy
from shared.context import Context
from shared.refusals import VersionMismatch


async def set_policy(
    conn: AsyncConnection,
    detector: str,
    product: str | None,
    given: Mapping[str, object],
    ctx: Context,
    *,
    expected: int | None,
) -> StoredPolicy:
    """Set what holds for a product, or with None for every product without a policy of its own.

    What `given` leaves out takes its default; equal settings change nothing. Themes are assessed
    again by the worker. Raises DetectorUnknown, PolicyInvalid, VersionMismatch.
    """
    asked = {name: value for name, value in given.items() if name != "version"}
    settings = settings_of(detector, asked)
    current = await store.current(conn, detector, product)
    if expected is not None and expected != current.version:
        raise VersionMismatch(
            f"This policy is at version {current.version}, not {expected}; read it again."
        )
    if {**settings, "version": current.version} == current.settings and current.version > 0:
        return current
    version = current.version + 1
    changed = StoredPolicy(
        detector=detector,
        product=product or EVERY_PRODUCT,
        settings={**settings, "version": version},
        version=version,
        by=ctx.actor,
        changed_at=ctx.now,
    )
    await store.save(conn, changed)
    return changed
