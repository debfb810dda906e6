"""Objectives through their API."""

import httpx

from shared.database import Database
from tests.roadmap.saying import published, types

OBJECTIVE = {"title": "Fewer lost carts", "product": "Checkout", "target": "under 2 %"}


async def test_an_objective_is_set_changed_and_shown_with_its_items(
    client: httpx.AsyncClient, db: Database
) -> None:
    answer = await client.post("/v1/objectives", json=OBJECTIVE)
    assert answer.status_code == 201
    objective_id = answer.json()["id"]
    path = f"/v1/objectives/{objective_id}"
    plan = {"title": "Retries", "product": "Checkout", "objective_id": objective_id}
    item = (await client.post("/v1/items", json=plan)).json()
    change = {"state": "achieved", "target": None}
    changed = await client.patch(path, json=change, headers={"If-Match": '"1"'})
    assert changed.status_code == 200
    shown = (await client.get(path)).json()
    assert (shown["state"], shown["target"], shown["title"]) == (
        "achieved",
        None,
        "Fewer lost carts",
    )
    assert [i["id"] for i in shown["items"]] == [item["id"]]
    assert shown["items_by_state"] == {"planned": 1}
    assert await types(db) == ["objective.set", "item.planned", "objective.changed"]
    first, planned, last = await published(db)
    assert planned.data.objective_id == objective_id  # pyright: ignore[reportAttributeAccessIssue]
    assert (first.version, last.version) == (1, 2)


async def test_a_change_that_changes_nothing_publishes_nothing(
    client: httpx.AsyncClient, db: Database
) -> None:
    created = (await client.post("/v1/objectives", json=OBJECTIVE)).json()
    path = f"/v1/objectives/{created['id']}"
    same = await client.patch(path, json={"title": OBJECTIVE["title"]})
    assert same.json()["version"] == 1
    assert (await client.patch(path, json={}, headers={"If-Match": '"2"'})).status_code == 412
    assert (await client.patch(path, json={"title": None})).status_code == 422
    assert await types(db) == ["objective.set"]


async def test_objectives_are_listed_by_product_and_state(client: httpx.AsyncClient) -> None:
    for title in ("a", "b", "c"):
        await client.post("/v1/objectives", json={"title": title, "product": title})
    page = (await client.get("/v1/objectives", params={"limit": 2})).json()
    rest = (await client.get("/v1/objectives", params={"limit": 2, "cursor": page["next"]})).json()
    assert {o["title"] for o in page["items"] + rest["items"]} == {"a", "b", "c"}
    only = (await client.get("/v1/objectives", params={"product": "b", "state": "active"})).json()
    assert [o["title"] for o in only["items"]] == ["b"]
