"""Plants known bugs in the real code, one at a time, and asks whether the checker finds each.

`python -m tests.faults.planted` prints it as JSON.
"""

import asyncio
import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.checker import Report
from tests.faults.hard_day import dice, live_through
from tests.faults.plants import consuming, deciding, relaying, taking_in
from tests.faults.plants.plant import Plant
from tests.simulation.world import in_memory_folder, template, world

PLANTS: tuple[Plant, ...] = (
    *taking_in.PLANTS,
    *relaying.PLANTS,
    *consuming.PLANTS,
    *deciding.PLANTS,
)


@dataclass(frozen=True)
class Found:
    """What the checker said of a day with a bug in it, or without."""

    report: Report

    @property
    def promises(self) -> frozenset[str]:
        return frozenset(violation.promise for violation in self.report.violations)

    def catches(self, plant: Plant) -> bool:
        """Every promise that the bug must break was seen broken."""
        return plant.breaks <= self.promises


async def lived(empty: Path, plant: Plant | None = None) -> Found:
    """A hard day over copies of these empty databases, with this bug planted."""
    with in_memory_folder() as folder:
        async with world(empty, Path(folder), dice()) as made:
            if plant is None:
                return Found(await live_through(made))
            await plant.prepare(made)
            with plant.bug():
                return Found(await live_through(made))


async def planted(plants: Iterable[Plant] = PLANTS) -> dict[str, Any]:
    """The counts: how many bugs were planted and found, which were missed, and whether a day without
    any keeps every promise."""
    with tempfile.TemporaryDirectory() as folder:
        empty = await template(Path(folder))
        clean = (await lived(empty)).report
        results = {plant.name: (await lived(empty, plant)).catches(plant) for plant in plants}
    return {
        "planted": len(results),
        "planted_found": sum(results.values()),
        "missed": [name for name, found in results.items() if not found],
        "clean_run_passes": clean.good,
    }


def run_planted() -> dict[str, Any]:
    """`planted`, for those who have no loop running."""
    return asyncio.run(planted())


if __name__ == "__main__":
    print(json.dumps(run_planted(), indent=2))
