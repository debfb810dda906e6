"""What a planted bug is."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from tests.faults.violation import Promise
from tests.simulation.world import World


async def _nothing(_world: World) -> None:
    return


@dataclass(frozen=True)
class Plant:
    """`breaks` are the promises that it breaks, at least. `prepare` may change tables before."""

    name: str
    breaks: frozenset[Promise]
    bug: Callable[[], AbstractContextManager[Any]]
    prepare: Callable[[World], Awaitable[None]] = _nothing


def instead(owner: Any, **functions: Any) -> AbstractContextManager[Any]:
    """Replaces these attributes of a module or class."""
    return patch.multiple(owner, **functions)
