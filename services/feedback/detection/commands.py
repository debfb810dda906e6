"""Changes of policies, in the caller's transaction."""

from collections.abc import Mapping
from math import isfinite

from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.detection import store
from services.feedback.detection.demand import DETECTOR as DEMAND
from services.feedback.detection.demand import DemandPolicy
from services.feedback.detection.detect import RECURRENCE
from services.feedback.detection.policy import InvalidPolicy
from services.feedback.detection.recurrence import RecurrencePolicy
from services.feedback.detection.store import EVERY_PRODUCT, StoredPolicy
from shared.clock import EARLIEST
from shared.context import Context
from shared.refusals import Invalid, NotFound, VersionMismatch

LARGEST_NUMBER = 1e12


class DetectorUnknown(NotFound):
    """No such detector."""


class PolicyInvalid(Invalid):
    """The settings contradict themselves or a bound."""


POLICIES: dict[str, type[RecurrencePolicy] | type[DemandPolicy]] = {
    RECURRENCE: RecurrencePolicy,
    DEMAND: DemandPolicy,
}
"""The detectors there are, and what their settings are checked against."""


def settings_of(detector: str, given: Mapping[str, object]) -> dict[str, object]:
    """The whole, valid settings that `given` means. Raises DetectorUnknown or PolicyInvalid."""
    if detector not in POLICIES:
        raise DetectorUnknown(
            f"There is no detector {detector!r}; there are {', '.join(sorted(POLICIES))}."
        )
    for name, value in given.items():
        _check_plain(name, value)
    try:
        return POLICIES[detector].from_json(given).to_json()
    except InvalidPolicy as wrong:
        raise PolicyInvalid(" ".join(wrong.problems)) from wrong


def _check_plain(name: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PolicyInvalid(f"Set {name!r} to a number; it is of another type.")
    if abs(value) > LARGEST_NUMBER or not isfinite(value):
        raise PolicyInvalid(f"Set {name!r} to a number of at most {LARGEST_NUMBER:g}.")


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
    current = await current_policy(conn, detector, product)
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


async def current_policy(conn: AsyncConnection, detector: str, product: str | None) -> StoredPolicy:
    """What is set for exactly this product. Nothing yet: the defaults, as version 1 of the common
    policy, or as version 0 of a product's own. Raises DetectorUnknown."""
    settings = settings_of(detector, {})
    stored = await store.load(conn, detector, product or EVERY_PRODUCT)
    if stored is not None:
        return stored
    version = 0 if product else 1
    return StoredPolicy(
        detector=detector,
        product=product or EVERY_PRODUCT,
        settings={**settings, "version": version},
        version=version,
        by="service:feedback",
        changed_at=EARLIEST,
    )
