"""An item's life: from the plan over the commitment and the delivery to the measured outcome.

Pure: no I/O, no clock, no ids made here.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from services.roadmap.items.refusals import (
    CriterionIsCommitted,
    ItemAlreadyCancelled,
    ItemAlreadyDelivered,
    ItemNotCommitted,
    ItemNotPlanned,
)
from shared.contracts.feedback import Verdict
from shared.contracts.roadmap import (
    Horizon,
    ItemCancelled,
    ItemChanged,
    ItemCommitted,
    ItemDelivered,
    ItemEvent,
    ItemPlanned,
    ItemRegressed,
    ItemStarted,
    ItemState,
    ItemVerified,
)

IN_WORK: tuple[ItemState, ...] = ("planned", "committed", "started")
"""A theme is in at most one item in these states."""

SHIPPED: tuple[ItemState, ...] = ("delivered", "verified", "regressed")

ASSUMED_REDUCTION = 0.5
"""What is expected of an item that shipped without a commitment; said to be assumed wherever shown."""


@dataclass(frozen=True, slots=True)
class Item:
    """What its log folds to. `expected_reduction` is None until it is committed or delivered."""

    item_id: str
    title: str
    product: str
    state: ItemState
    horizon: Horizon
    planned_at: datetime
    quarter: str | None = None
    theme_ids: tuple[str, ...] = ()
    objective_id: str | None = None
    expected_reduction: float | None = None
    release: str | None = None
    committed_at: datetime | None = None
    started_at: datetime | None = None
    delivered_at: datetime | None = None
    cancelled_at: datetime | None = None
    cancel_reason: str | None = None
    outcome_id: str | None = None
    version: int = 1

    @property
    def in_work(self) -> bool:
        return self.state in IN_WORK

    @property
    def shipped(self) -> bool:
        return self.state in SHIPPED


@dataclass(frozen=True, slots=True)
class Plan:
    """What an edit may set, whole: the plan as it shall be."""

    title: str
    horizon: Horizon
    quarter: str | None
    theme_ids: tuple[str, ...]
    objective_id: str | None


@dataclass(frozen=True, slots=True)
class PlanItem:
    item_id: str
    product: str
    plan: Plan
    at: datetime


@dataclass(frozen=True, slots=True)
class ChangeItem:
    """`noted`: something beside the plan changed (owner, estimate), which is also told."""

    plan: Plan
    at: datetime
    noted: bool = False


@dataclass(frozen=True, slots=True)
class CommitItem:
    """`expected_reduction`: the share of incidents that shall go away, in (0, 1]."""

    expected_reduction: float
    at: datetime


@dataclass(frozen=True, slots=True)
class StartItem:
    at: datetime


@dataclass(frozen=True, slots=True)
class DeliverItem:
    at: datetime
    release: str | None = None
    expected_reduction: float | None = None


@dataclass(frozen=True, slots=True)
class CancelItem:
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class AssessItem:
    """An outcome was measured."""

    outcome_id: str
    verdict: Verdict
    final: bool
    at: datetime


Command = PlanItem | ChangeItem | CommitItem | StartItem | DeliverItem | CancelItem | AssessItem


# state     | commit    | start   | deliver    | cancel    | change  | assess
# planned   | committed | refused | delivered* | cancelled | planned | nothing
# committed | refused   | started | delivered  | cancelled | same    | nothing
# started   | refused   | refused | delivered  | cancelled | same    | nothing
# delivered | refused   | refused | refused    | refused   | same**  | verified, regressed or nothing
# verified  | refused   | refused | refused    | refused   | same**  | delivered, regressed or nothing
# regressed | refused   | refused | refused    | refused   | same**  | delivered, verified or nothing
# cancelled | refused   | refused | refused    | refused   | refused | nothing
#
# *  People ship what they never committed to. Then the reduction is the one that they state now, or
#    0.5, which the item shows as assumed.
# ** Not the themes, the horizon or the quarter: the measurement stands on the first, and the others
#    are past.
#
# assess: an item that shipped stands where its outcome puts it by now, however often one looked
# before. `verified` when that is the final verdict. `regressed` at any look: feedback says so before
# the watch is over only when the evidence is past its sequential boundary, and a fix that makes
# things worse can't wait. With any other verdict it is delivered, no more: one that late evidence
# took back is told as a change.
def decide(item: Item | None, command: Command) -> list[ItemEvent]:
    """The events that `command` makes happen. Raises a Refusal when the state does not allow it."""
    if item is None:
        if isinstance(command, PlanItem):
            return [ItemPlanned(**_planned(command))]
        raise TypeError(f"{type(command).__name__} needs an item")
    match command:
        case PlanItem():
            raise TypeError("an item is planned once")
        case AssessItem():
            return _assessed(item, command)
        case ChangeItem():
            return _changed(item, command)
        case CommitItem(expected_reduction=reduction, at=at):
            check_in_work(item)
            if item.state != "planned":
                raise ItemNotPlanned(
                    f"Item {item.item_id} is already {item.state}; go on with start or deliver."
                )
            return [ItemCommitted(**_about(item, at, "committed"), expected_reduction=reduction)]
        case StartItem(at=at):
            check_in_work(item)
            _check_startable(item)
            return [ItemStarted(**_about(item, at, "started"))]
        case DeliverItem():
            check_in_work(item)
            return [_delivered(item, command)]
        case CancelItem(reason=reason, at=at):
            check_in_work(item)
            return [ItemCancelled(**_about(item, at, "cancelled"), reason=reason)]


def check_in_work(item: Item) -> None:
    """Raises the refusal that says how the item ended."""
    if item.state == "cancelled":
        raise ItemAlreadyCancelled(
            f"Item {item.item_id} was cancelled; plan another with POST /v1/items."
        )
    if item.shipped:
        raise ItemAlreadyDelivered(
            f"Item {item.item_id} was delivered; plan what comes next with POST /v1/items."
        )


def _check_startable(item: Item) -> None:
    if item.state == "planned":
        raise ItemNotCommitted(
            f"Item {item.item_id} is only planned; first state what it shall achieve with "
            f"POST /v1/items/{item.item_id}/commit."
        )
    if item.state == "started":
        raise ItemNotCommitted(f"Item {item.item_id} is already started; go on with deliver.")


def _delivered(item: Item, command: DeliverItem) -> ItemEvent:
    committed, stated = item.expected_reduction, command.expected_reduction
    if committed is not None and stated is not None and stated != committed:
        raise CriterionIsCommitted(
            f"Item {item.item_id} was committed to a reduction of {committed:g}; "
            "leave `expected_reduction` out."
        )
    return ItemDelivered(
        **_about(item, command.at, "delivered"),
        expected_reduction=committed or stated or ASSUMED_REDUCTION,
        release=command.release,
    )


def _changed(item: Item, command: ChangeItem) -> list[ItemEvent]:
    plan = command.plan
    if plan == plan_of(item) and not command.noted:
        return []
    if item.state == "cancelled":
        check_in_work(item)
    kept = replace(plan, title=item.title, objective_id=item.objective_id)
    if item.shipped and kept != plan_of(item):
        raise ItemAlreadyDelivered(
            f"Item {item.item_id} was delivered; its themes, horizon and quarter stay. "
            "Plan another item with POST /v1/items."
        )
    return [ItemChanged(**_about(item, command.at, item.state) | _said(plan))]


def _assessed(item: Item, command: AssessItem) -> list[ItemEvent]:
    outcome_id = command.outcome_id
    if not item.shipped:
        return []
    if command.verdict == "verified" and command.final:
        said = ItemVerified(**_about(item, command.at, "verified"), outcome_id=outcome_id)
    elif command.verdict == "regressed":
        said = ItemRegressed(**_about(item, command.at, "regressed"), outcome_id=outcome_id)
    else:
        said = ItemChanged(**_about(item, command.at, "delivered"))
    return [said] if said.state != item.state else []


def plan_of(item: Item) -> Plan:
    return Plan(item.title, item.horizon, item.quarter, item.theme_ids, item.objective_id)


def _said(plan: Plan) -> dict[str, Any]:
    return {
        "title": plan.title,
        "horizon": plan.horizon,
        "quarter": plan.quarter,
        "theme_ids": list(plan.theme_ids),
        "objective_id": plan.objective_id,
    }


def _about(item: Item, at: datetime, state: ItemState) -> dict[str, Any]:
    """What every event of an item carries."""
    named = {"item_id": item.item_id, "product": item.product, "at": at, "state": state}
    return named | _said(plan_of(item))


def _planned(command: PlanItem) -> dict[str, Any]:
    named = {"item_id": command.item_id, "product": command.product, "at": command.at}
    return named | {"state": "planned"} | _said(command.plan)


def evolve(item: Item | None, event: ItemEvent) -> Item:
    """The item after `event`. Folding an item's log gives its state."""
    if item is None:
        if not isinstance(event, ItemPlanned):
            raise TypeError(f"an item's log can't begin with {event.TYPE}")
        return Item(
            item_id=event.item_id,
            title=event.title,
            product=event.product,
            state="planned",
            horizon=event.horizon,
            planned_at=event.at,
            quarter=event.quarter,
            theme_ids=tuple(event.theme_ids),
            objective_id=event.objective_id,
        )
    following = replace(item, state=event.state, version=item.version + 1)
    match event:
        case ItemChanged():
            return replace(
                following,
                title=event.title,
                horizon=event.horizon,
                quarter=event.quarter,
                theme_ids=tuple(event.theme_ids),
                objective_id=event.objective_id,
                outcome_id=item.outcome_id if event.state == item.state else None,
            )
        case ItemCommitted(at=at, expected_reduction=expected):
            return replace(following, committed_at=at, expected_reduction=expected)
        case ItemStarted(at=at):
            return replace(following, started_at=at)
        case ItemDelivered(at=at, expected_reduction=expected, release=release):
            return replace(following, delivered_at=at, expected_reduction=expected, release=release)
        case ItemCancelled(at=at, reason=reason):
            return replace(following, cancelled_at=at, cancel_reason=reason)
        case ItemVerified(outcome_id=outcome_id) | ItemRegressed(outcome_id=outcome_id):
            return replace(following, outcome_id=outcome_id)
        case _:
            raise TypeError(f"an item can't have had {event.TYPE}")
