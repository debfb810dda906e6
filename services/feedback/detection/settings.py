"""The detectors there are, and what the settings of each may be. Pure."""

from collections.abc import Mapping
from math import isfinite

from services.feedback.detection.demand import DETECTOR as DEMAND
from services.feedback.detection.demand import DemandPolicy
from services.feedback.detection.detect import RECURRENCE
from services.feedback.detection.policy import InvalidPolicy
from services.feedback.detection.recurrence import RecurrencePolicy
from shared.refusals import Invalid, NotFound

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
