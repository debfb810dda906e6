"""A business objective, and what a change makes of it."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

ObjectiveState = Literal["active", "achieved", "dropped"]


@dataclass(frozen=True, slots=True)
class Objective:
    """`product` is None for one of the whole business; `target` says in words when it is reached."""

    objective_id: str
    title: str
    product: str | None
    target: str | None
    state: ObjectiveState
    set_at: datetime
    correlation_id: str
    version: int = 1


@dataclass(frozen=True, slots=True)
class ChangeObjective:
    """The objective as it shall be."""

    title: str
    product: str | None
    target: str | None
    state: ObjectiveState


def changed(objective: Objective, command: ChangeObjective) -> Objective:
    """The objective after `command`; the very same object when it changes nothing."""
    after = replace(
        objective,
        title=command.title,
        product=command.product,
        target=command.target,
        state=command.state,
    )
    return objective if after == objective else replace(after, version=objective.version + 1)
