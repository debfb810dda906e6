"""Lists of candidates and items: places go on from page to page, and no page reads the table."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter
from sqlalchemy import insert, update

from services.roadmap.app import MIGRATIONS, create_app
from services.roadmap.candidates.store import candidates
from services.roadmap.items.store import items
from services.roadmap.scores.evidence import score_of
from services.roadmap.scores.policy import ScorePolicy
from services.roadmap.scores.score import Score
from shared.database import Database
from tests.conftest import client_of, database, signed_in
from tests.engines.plans import plans_of, reads_too_much
from tests.engines.stores import SqliteStore

START = datetime(2026, 1, 1, tzinfo=UTC)
SCORED = TypeAdapter(Score).dump_python(score_of(None, ScorePolicy(), at=START), mode="json")
STATES = ("open", "open", "open", "declined", "snoozed")


def candidate(number: int, **changed: object) -> dict[str, Any]:
    """Few different scores, so that many tie."""
    filled: dict[str, Any] = {
        column.name: None if column.nullable else "x" for column in candidates.c
    }
    return (
        filled
        | {
            "candidate_id": f"can_{number * 7 % 100:03}",
            "state": STATES[number % 5],
            "product": f"Product {number % 3}",
            "block": number % 2,
            "score": float(number % 4),
            "scored": SCORED,
            "needs_estimate": False,
            "reasons": [],
            "confirmed": False,
            "raised_at": START + timedelta(hours=number % 11),
            "version": 1,
        }
        | changed
    )


@pytest.fixture
async def filled(db: Database) -> Database:
    async with db.begin() as conn:
        await conn.execute(insert(candidates), [candidate(number) for number in range(40)])
    return db


async def walked(client: httpx.AsyncClient, limit: int, **params: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        asked = params | {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        answer = await client.get("/v1/candidates", params=asked)
        page = answer.raise_for_status().json()
        found += page["items"]
        if (cursor := page["next"]) is None:
            return found


LISTS: list[dict[str, str]] = [
    {},
    {"state": "any"},
    {"state": "declined"},
    {"product": "Product 1"},
    {"q": "x"},
    {"sort": "raised"},
    {"sort": "raised", "state": "any", "product": "Product 2"},
]


@pytest.mark.parametrize("asked", LISTS, ids=str)
async def test_a_candidate_has_the_same_place_in_every_list_and_on_pages_of_any_size(
    client: httpx.AsyncClient, filled: Database, asked: dict[str, str]
) -> None:
    rows = [candidate(number) for number in range(40)]
    order = sorted(
        (row["block"], row["score"], row["candidate_id"]) for row in rows if row["state"] == "open"
    )
    place = {key[2]: len(order) - at for at, key in enumerate(order)}
    whole = await walked(client, 200, **asked)
    assert whole
    assert {one["id"]: one["rank"] for one in whole} == {
        one["id"]: place.get(one["id"]) for one in whole
    }
    for limit in (1, 3, 7):
        assert await walked(client, limit, **asked) == whole
    alone = (await client.get(f"/v1/candidates/{whole[-1]['id']}")).json()
    assert alone["rank"] == whole[-1]["rank"]


async def test_places_go_on_while_candidates_come_and_go(
    client: httpx.AsyncClient, filled: Database
) -> None:
    first = (await client.get("/v1/candidates", params={"limit": 5})).json()
    seen = [one["id"] for one in first["items"]]
    async with filled.begin() as conn:
        gone = update(candidates).where(candidates.c.candidate_id == seen[0])
        await conn.execute(gone.values(state="declined"))
        ahead = [
            candidate(0, candidate_id=f"can_new_{n}", block=1, score=9.0, theme_id=f"thm_{n}")
            for n in range(3)
        ]
        await conn.execute(insert(candidates), ahead)
    asked = {"limit": "5", "cursor": first["next"]}
    second = (await client.get("/v1/candidates", params=asked)).json()
    assert [one["rank"] for one in second["items"]] == [6, 7, 8, 9, 10]
    assert not set(seen) & {one["id"] for one in second["items"]}
    anew = (await client.get("/v1/candidates", params={"limit": 200})).json()["items"]
    assert [one["rank"] for one in anew] == list(range(1, len(anew) + 1))
    assert anew[0]["id"].startswith("can_new_")


@pytest.mark.parametrize("number", ["", "-1", "x", "٣", "9" * 16, "1.2"])
async def test_a_cursor_with_a_forged_number_is_refused(
    client: httpx.AsyncClient, filled: Database, number: str
) -> None:
    following = (await client.get("/v1/candidates", params={"limit": 5})).json()["next"]
    forged = number + following[following.index(".") :]
    refused = await client.get("/v1/candidates", params={"cursor": forged})
    assert refused.status_code == 422
    assert "begin at the first page" in refused.json()["detail"]


async def test_a_cursor_of_a_list_that_leaves_some_out_is_not_one_of_the_list_of_all(
    client: httpx.AsyncClient, filled: Database
) -> None:
    narrowed = {"limit": "2", "product": "Product 1"}
    following = (await client.get("/v1/candidates", params=narrowed)).json()["next"]
    refused = await client.get("/v1/candidates", params={"cursor": following})
    assert refused.status_code == 422


def item(number: int) -> dict[str, Any]:
    filled: dict[str, Any] = {column.name: None if column.nullable else "x" for column in items.c}
    return filled | {
        "item_id": f"itm_{number:03}",
        "state": ("planned", "started")[number % 2],
        "horizon": "now",
        "expected_assumed": False,
        "planned_at": START + timedelta(hours=number),
        "block": 0,
        "score": float(number),
        "version": 1,
    }


@pytest.fixture
async def on_sqlite(sqlite_store: SqliteStore) -> AsyncIterator[tuple[httpx.AsyncClient, Database]]:
    async with database(sqlite_store, MIGRATIONS) as db:
        async with db.begin() as conn:
            await conn.execute(insert(candidates), [candidate(number) for number in range(40)])
            await conn.execute(insert(items), [item(number) for number in range(20)])
        async with client_of(signed_in(create_app(db))) as client:
            yield client, db


@pytest.mark.parametrize(
    "path",
    [
        "/v1/candidates?",
        "/v1/candidates?state=any",
        "/v1/candidates?state=declined",
        "/v1/items?",
        "/v1/items?sort=score",
        "/v1/items?state=planned",
        "/v1/items?state=planned&sort=score",
        "/v1/items?product=x",
        "/v1/items?product=x&sort=score",
        "/v1/objectives?",
        "/v1/objectives?product=x",
    ],
)
async def test_a_page_is_found_in_the_index_of_its_sort(
    on_sqlite: tuple[httpx.AsyncClient, Database], path: str
) -> None:
    client, db = on_sqlite
    assert reads_too_much(await plans_of(client, db, f"{path}&limit=2")) == []
    following = (await client.get(f"{path}&limit=2")).json()["next"]
    if following is None:
        assert "objectives" in path
        return
    (step,) = await plans_of(client, db, f"{path}&limit=2&cursor={following}")
    assert step.startswith("SEARCH")
    assert ")<(?,?" in step


@pytest.mark.parametrize(
    "path",
    [
        "/v1/candidates?product=Product%201",
        "/v1/candidates?q=x",
        "/v1/candidates?sort=raised",
        "/v1/candidates?sort=raised&state=any",
    ],
)
async def test_what_is_ahead_is_counted_in_the_index_and_each_only_once(
    on_sqlite: tuple[httpx.AsyncClient, Database], path: str
) -> None:
    client, db = on_sqlite
    steps = await plans_of(client, db, path)
    assert reads_too_much(steps[:1]) == []
    (counting,) = [step for step in steps if " ahead " in step]
    key = "(block,score,candidate_id)"
    bounds = f"(state=? AND {key}>(?,?,?) AND {key}<(?,?,?))"
    assert counting == f"SEARCH ahead USING COVERING INDEX candidates_by_score {bounds}"
