"""Whatever order things happen in and whatever fails, a story comes to what it comes to plainly.

Every step is drawn from a seed. A failure prints it, and the command that runs it again, step by step.
"""

import random
from pathlib import Path

from tests.faults.natural import Natural, differences
from tests.simulation.story import LATE_SERVICE, story
from tests.simulation.telling import Told, tell_plainly, tell_wildly
from tests.simulation.world import in_memory_folder, world

SHOWN = 15


def comparable(came_to: Natural) -> Natural:
    """All but the candidates of the late service. Its old theme and its new one become one, and each
    may have risen by then: which candidate goes on, and with which past, is a matter of what was heard
    first, as with two people who meet."""
    kept = [one for one in came_to["candidates"] if one["service"] != LATE_SERVICE]
    return {**came_to, "candidates": kept}


async def plainly(empty: Path, seed: int) -> Told:
    with in_memory_folder() as folder:
        async with world(empty, Path(folder), random.Random(0)) as made:
            return await tell_plainly(made, story(random.Random(seed)))


async def wildly(empty: Path, seed: int) -> Told:
    dice = random.Random(seed)
    with in_memory_folder() as folder:
        async with world(empty, Path(folder), dice) as made:
            return await tell_wildly(made, story(random.Random(seed)), dice)


async def test_every_order_and_every_fault_comes_to_the_same(empty: Path, seed: int) -> None:
    command = f"replay with: .venv/bin/pytest tests/simulation --seed={seed}"
    print(command)
    plain, wild = await plainly(empty, seed), await wildly(empty, seed)
    for when in ("halftime", "end"):
        expected, found = (comparable(getattr(told, when)) for told in (plain, wild))
        wrong = differences(expected, found)
        said = f"seed {seed}, {when}: {len(wrong)} differences from the plain telling"
        assert not wrong, "\n".join([said, command, *wrong[:SHOWN]])


async def test_a_seed_decides_every_step(empty: Path) -> None:
    once, again = await wildly(empty, 3), await wildly(empty, 3)
    assert once.steps == again.steps
    assert once.events == again.events
    assert once.end == again.end


async def test_the_stories_are_worth_telling(empty: Path) -> None:
    ends = [(await plainly(empty, seed)).end for seed in (0, 4)]
    candidates = [one for end in ends for one in end["candidates"]]
    assert {one["state"] for one in candidates} == {"open", "accepted", "declined"}
    assert any(one["returned"] for one in candidates)
    assert all(one["verdict"] for end in ends for one in end["items"])
    assert all(len(end["incidents"]) > 30 for end in ends)
    assert any(one["parent"] for end in ends for one in end["incidents"])
