"""A batch says and stores what its events would, had they come one by one."""

import random
from typing import Any

import pytest
from sqlalchemy import select

from services.roadmap.app import MIGRATIONS, NAME
from services.roadmap.candidates.store import candidate_log, candidate_scores, candidates
from services.roadmap.consumers import _without_replaced, handle
from services.roadmap.themes.store import themes
from shared.database import Database
from shared.envelope import Event
from shared.outbox import outbox
from tests.conftest import MakeDatabase
from tests.roadmap.saying import ago, changed, escalated, merged, quieted


def story(seed: int) -> list[list[Event]]:
    """Batches of what feedback may say of some dozen themes, many of them told of more than once."""
    rng = random.Random(seed)
    found: list[list[Event]] = []
    hours = 500.0
    for size in (rng.choice((1, 4, 12, 40)) for _ in range(5)):
        batch: list[Event] = []
        for _ in range(size):
            hours -= 1.0
            theme_id = f"thm_{rng.randrange(16):02}"
            told: dict[str, Any] = {"at": ago(hours=hours), "total": rng.randrange(1, 9)}
            kind = rng.choice(["escalated"] * 5 + ["changed", "changed", "quieted", "merged"])
            if kind == "escalated":
                batch.append(escalated(theme_id, **told))
            elif kind == "changed":
                batch.append(changed(theme_id, **told))
            elif kind == "quieted":
                batch.append(quieted(theme_id, **told))
            else:
                into = f"thm_{rng.randrange(16):02}"
                batch.append(merged(theme_id, into, at=told["at"]))
        if rng.random() < 0.5:
            batch.append(rng.choice(batch))
        found.append(batch)
    return found


async def stored(db: Database) -> dict[str, Any]:
    """All that is kept and said, without ids made here and the time of writing."""
    async with db.read() as conn:
        named = {
            row.candidate_id: f"candidate {number}"
            for number, row in enumerate(
                await conn.execute(select(candidates.c.candidate_id).order_by("candidate_id"))
            )
        }

        def shown(row: Any, *without: str) -> str:
            text = repr({k: v for k, v in row._mapping.items() if k not in without})
            for candidate_id, name in named.items():
                text = text.replace(candidate_id, name)
            return text

        found = {
            table.name: [shown(row, "recorded_at") for row in await conn.execute(select(table))]
            for table in (candidates, candidate_log, candidate_scores, themes)
        }
        said = select(outbox.c.headers, outbox.c.key, outbox.c.value).order_by(outbox.c.seq)
        found["outbox"] = [
            shown(row, "headers") + row.headers["ce_type"] for row in await conn.execute(said)
        ]
    return {name: rows if name == "outbox" else sorted(rows) for name, rows in found.items()}


@pytest.mark.parametrize("seed", range(12))
async def test_a_batch_does_what_its_events_do_one_by_one(
    make_database: MakeDatabase, seed: int
) -> None:
    together = await make_database(NAME, MIGRATIONS)
    apart = await make_database(NAME, MIGRATIONS)
    for batch in story(seed):
        async with together.begin() as conn:
            await handle(conn, batch)
        for event in _without_replaced(batch):
            async with apart.begin() as conn:
                await handle(conn, [event])
    here, there = await stored(together), await stored(apart)
    assert here["candidates"]
    assert here == there
