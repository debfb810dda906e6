"""Bugs in what a theme's evidence leads to."""

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from services.feedback.themes import reassess
from services.incidents.incidents import themes as incident_themes
from services.roadmap.candidates import consumers as candidates
from services.roadmap.candidates import store as candidate_store
from tests.faults.plants.plant import Plant, instead
from tests.simulation.world import World


async def _nothing(*_args: Any, **_more: Any) -> None:
    return


def raise_at_every_event() -> AbstractContextManager[Any]:
    """Whoever handles a theme's event doesn't look whether its candidate waits already."""

    async def nobody(_conn: Any, _theme_id: str) -> None:
        return None

    return instead(candidate_store, waiting_for=nobody)


async def _two_may_wait(world: World) -> None:
    async with world.services["roadmap"].db.begin() as conn:
        await conn.exec_driver_sql("DROP INDEX candidates_one_waiting")


def count_looks() -> AbstractContextManager[Any]:
    """A theme's count goes up by one at each look, instead of being counted."""
    updated = reassess._updated  # pyright: ignore[reportPrivateUsage]

    def one_more(theme: Any, seen: Any, *rest: Any) -> Any:
        return replace(updated(theme, seen, *rest), evidence_count=theme.evidence_count + 1)

    return instead(reassess, _updated=one_more)


def never_raise() -> AbstractContextManager[Any]:
    """The handler of a rise has been lost, and nobody notices."""

    return instead(candidates, _raise=_nothing)


def keep_old_numbers() -> AbstractContextManager[Any]:
    """The candidate never hears of new evidence."""

    return instead(candidates, _new_evidence=_nothing)


def forget_the_theme() -> AbstractContextManager[Any]:
    return instead(incident_themes, place=_nothing)


PLANTS = (
    Plant("raise a second candidate", frozenset({"S3"}), raise_at_every_event, _two_may_wait),
    Plant("count looks instead of evidence", frozenset({"S3"}), count_looks),
    Plant("raise no candidate", frozenset({"S3"}), never_raise),
    Plant("keep a candidate's old numbers", frozenset({"S3", "S4"}), keep_old_numbers),
    Plant("lose which theme an incident is of", frozenset({"S4"}), forget_the_theme),
)
