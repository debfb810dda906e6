"""The conditions of a rise, in the order they are asked, and the sentence that states each."""

from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Literal

from services.feedback.detection.history import History, Window, surprise
from services.feedback.detection.reason import Reason

DETECTOR = "recurrence"

Refusal = Literal[
    "too_few",
    "too_few_days",
    "too_few_customers",
    "cooling_down",
    "dismissed",
    "within_baseline",
    "awaiting_occurrence",
]


@dataclass(frozen=True, slots=True)
class Frozen:
    """What the window held when a person dismissed the theme, and what was usual then."""

    at: datetime
    count: int
    impact_minutes: float
    expected: float


def unmet(
    window: Window, past: History, frozen: Frozen | None, cooling_until: datetime | None
) -> Refusal | None:
    """The first condition that stands in the way of a rise; None when nothing does."""
    policy = past.policy
    if window.count < policy.on:
        return "too_few"
    if window.distinct_days < policy.distinct_days:
        return "too_few_days"
    if not window.customers_suffice:
        return "too_few_customers"
    if cooling_until is not None and window.at < cooling_until:
        return "cooling_down"
    if frozen is not None and not _has_grown(window, past, frozen):
        return "dismissed"
    if _is_costly(window, past):
        return None
    is_surprising = _chance(window, past, frozen) < policy.alpha
    return None if is_surprising else "within_baseline"


def reasons_to_rise(window: Window, past: History, frozen: Frozen | None) -> tuple[Reason, ...]:
    """Every condition that a window met which left none unmet."""
    found = [_count(window, past), _days(window, past)]
    if _chance(window, past, frozen) < past.policy.alpha:
        found.append(_surprise(window, past, frozen, "above_baseline"))
    if _is_costly(window, past):
        found.append(_cost(window, past))
    if past.policy.min_customers > 0:
        found.append(_customers(window, past, "customers"))
    if frozen is not None:
        found.append(_growth(window, past, frozen, "grown_since_dismissal"))
    return tuple(found)


def reason_not_to_rise(
    refusal: Refusal,
    window: Window,
    past: History,
    frozen: Frozen | None,
    cooling_until: datetime | None,
) -> Reason:
    """The unmet condition, as a reason of that name."""
    match refusal:
        case "too_few":
            return _count(window, past, refusal)
        case "too_few_days":
            return _days(window, past, refusal)
        case "too_few_customers":
            return _customers(window, past, refusal)
        case "cooling_down":
            return _cooldown(past, cooling_until)
        case "dismissed" if frozen is not None:
            return _growth(window, past, frozen, refusal)
        case "within_baseline":
            return _surprise(window, past, frozen, refusal)
        case _:
            text = (
                "The conditions came to hold by time alone, as old occurrences left the baseline; "
                "the theme rises with its next occurrence."
            )
            return Reason(DETECTOR, "awaiting_occurrence", text)


def numbers(window: Window, past: History, frozen: Frozen | None) -> dict[str, float]:
    """Every value beside its threshold, whatever the state. Absent: unknown, or switched off."""
    policy = past.policy
    found: dict[str, float] = {
        "count": window.count,
        "count_on": policy.on,
        "count_off": policy.off,
        "window_days": policy.window_days,
        "distinct_days": window.distinct_days,
        "distinct_days_on": policy.distinct_days,
        "impact_minutes": window.impact_minutes,
        "expected": _expected(window, past, frozen),
        "p": _chance(window, past, frozen),
        "alpha": policy.alpha,
        "customers_on": policy.min_customers,
    }
    if policy.impact_floor_minutes is not None:
        found["impact_minutes_on"] = policy.impact_floor_minutes
    most = past.most_customers(window.at)
    if most is not None:
        found["customers"] = most
    if frozen is not None:
        found |= {"count_at_dismissal": frozen.count, "count_on": _count_to_rearm(past, frozen)}
    return found


def _expected(window: Window, past: History, frozen: Frozen | None) -> float:
    return past.expected(window.at) if frozen is None else frozen.expected


def _chance(window: Window, past: History, frozen: Frozen | None) -> float:
    return surprise(window.count, _expected(window, past, frozen), past.policy.dispersion)


def _is_costly(window: Window, past: History) -> bool:
    floor = past.policy.impact_floor_minutes
    return floor is not None and window.impact_minutes >= floor


def _count_to_rearm(past: History, frozen: Frozen) -> int:
    # Guard against 1.2 * 5 being a hair above 6.
    grown = ceil(past.policy.growth_factor * frozen.count - 1e-9)
    return max(past.policy.on, grown)


def _has_grown(window: Window, past: History, frozen: Frozen) -> bool:
    """By count, or by cost: a few occurrences that cost far more are news as well."""
    dearer = window.impact_minutes >= past.policy.growth_factor * frozen.impact_minutes
    return window.count >= _count_to_rearm(past, frozen) or (_is_costly(window, past) and dearer)


def _count(window: Window, past: History, name: str = "count") -> Reason:
    policy = past.policy
    text = (
        f"{_many(window.count, 'occurrence')} in {policy.window_days} days; "
        f"the threshold is {policy.on}."
    )
    return Reason(DETECTOR, name, text, {"count": window.count, "threshold": policy.on})


def _days(window: Window, past: History, name: str = "distinct_days") -> Reason:
    needed = past.policy.distinct_days
    text = f"On {_many(window.distinct_days, 'distinct day')}; the threshold is {needed}."
    return Reason(DETECTOR, name, text, {"days": window.distinct_days, "threshold": needed})


def _surprise(window: Window, past: History, frozen: Frozen | None, name: str) -> Reason:
    policy = past.policy
    expected, chance = _expected(window, past, frozen), _chance(window, past, frozen)
    side = "below" if chance < policy.alpha else "not below"
    since = "" if frozen is None else f", frozen on {frozen.at:%Y-%m-%d},"
    text = (
        f"{_many(window.count, 'occurrence')} where the theme's own baseline{since} expects "
        f"{expected:.2g}: the chance of so many is {chance:.2g}, {side} the threshold "
        f"of {policy.alpha:g}."
    )
    figures = {"count": window.count, "expected": expected, "p": chance, "threshold": policy.alpha}
    return Reason(DETECTOR, name, text, figures)


def _cost(window: Window, past: History) -> Reason:
    floor = past.policy.impact_floor_minutes or 0.0
    text = (
        f"{window.impact_minutes:,.0f} customer-impact minutes in {past.policy.window_days} days; "
        f"the threshold is {floor:,.0f}."
    )
    figures = {"impact_minutes": window.impact_minutes, "threshold": floor}
    return Reason(DETECTOR, "impact", text, figures)


def _customers(window: Window, past: History, name: str) -> Reason:
    needed, most = past.policy.min_customers, past.most_customers(window.at)
    if most is None:
        text = f"Nobody said how many customers were affected; the threshold is {needed}."
        return Reason(DETECTOR, name, text, {"threshold": needed})
    text = f"At most {_many(most, 'customer')} affected at once; the threshold is {needed}."
    return Reason(DETECTOR, name, text, {"customers": most, "threshold": needed})


def _growth(window: Window, past: History, frozen: Frozen, name: str) -> Reason:
    needed = _count_to_rearm(past, frozen)
    text = (
        f"Dismissed on {frozen.at:%Y-%m-%d} at {_many(frozen.count, 'occurrence')} and "
        f"{frozen.impact_minutes:,.0f} customer-impact minutes; now {window.count} and "
        f"{window.impact_minutes:,.0f}. It comes back at {needed} occurrences, or at "
        f"{past.policy.growth_factor:g} times the minutes."
    )
    figures = {
        "count": window.count,
        "threshold": needed,
        "count_at_dismissal": frozen.count,
        "impact_minutes": window.impact_minutes,
        "impact_minutes_at_dismissal": frozen.impact_minutes,
    }
    return Reason(DETECTOR, name, text, figures)


def _cooldown(past: History, until: datetime | None) -> Reason:
    days = past.policy.cooldown_days
    rest = "" if until is None else f"; it can rise again from {until:%Y-%m-%d %H:%M} UTC on"
    text = f"It fell quiet less than {days} days ago, the cooldown{rest}."
    return Reason(DETECTOR, "cooling_down", text, {"threshold": days})


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
