"""However events are cut into batches and interleaved, the same themes, candidates, items and outcomes
come out: what is stored in the end follows from the set of events and from what people decided."""

import asyncio
import random
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.engines.stores import Store
from tests.equality.plain import difference
from tests.equality.stored import stored
from tests.equality.stories import story
from tests.equality.world import a_world
from tests.feedback.conftest import day

DECIDED = 75.0


async def lived(store: Store, seed: int, cut: int | None) -> list[dict[str, Any]]:
    """What is stored when people decide, and in the end. `cut` None: everything at once."""
    rng = random.Random(seed)
    before = [story(rng, f"inc_a{n:02}", 0, 60) for n in range(44)]
    after = [story(rng, f"inc_b{n:02}", rng.choice([0, 76, 76, 76]), 170) for n in range(36)]
    found: list[dict[str, Any]] = []
    async with a_world(store, None if cut is None else random.Random(cut)) as world:
        world.send(event for life in before for event in life)
        await world.settle()
        found.append(await stored(world.feedback, world.roadmap))
        await world.decide(day(DECIDED))
        await world.settle()
        world.send(event for life in after for event in life)
        await world.settle()
        found.append(await stored(world.feedback, world.roadmap))
    return found


@settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32), cut=st.integers(0, 2**32))
def test_no_cut_and_no_order_changes_what_is_stored(store: Store, seed: int, cut: int) -> None:
    at_once = asyncio.run(lived(store, seed, None))
    cut_up = asyncio.run(lived(store, seed, cut))
    for one, other in zip(at_once, cut_up, strict=True):
        assert one == other, difference(one, other, ("at once", f"seed {seed} cut {cut}"))


def test_the_stories_hold_what_they_are_to_show(store: Store) -> None:
    """Rises that fell, returns, decisions of each kind, and outcomes: else the test above says little."""
    decided, ended = asyncio.run(lived(store, 7, 7))
    assert {one["state"] for one in decided["candidates"]} == {"open"}
    states = {one["state"] for one in ended["candidates"]}
    assert {"accepted", "declined"} <= states
    rises = [rise for theme in ended["themes"].values() for rise in theme["rises"]]
    assert any(rise["fell_at"] for rise in rises)
    assert any(one["returned"] for one in ended["candidates"])
    assert ended["outcomes"]
