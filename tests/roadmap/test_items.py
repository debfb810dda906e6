"""Items: planned, committed, started, delivered; edited, cancelled; shown."""

from dataclasses import replace

import httpx
import pytest

from services.roadmap.items.domain import (
    AssessItem,
    CancelItem,
    Command,
    CommitItem,
    DeliverItem,
    Item,
    ItemState,
    StartItem,
    decide,
    evolve,
)
from shared.clock import parse_rfc3339
from shared.database import Database
from shared.refusals import Refusal
from tests.roadmap.conftest import Hear
from tests.roadmap.saying import NOW, ago, escalated, folded_items, published, types

PLAN = {"title": "Rework retries", "product": "Checkout"}

ITEM = Item(
    item_id="itm_1",
    title="Rework retries",
    product="Checkout",
    state="planned",
    horizon="now",
    planned_at=ago(days=9),
)
COMMANDS: dict[str, Command] = {
    "commit": CommitItem(0.5, NOW),
    "start": StartItem(NOW),
    "deliver": DeliverItem(NOW),
    "cancel": CancelItem("no budget", NOW),
    "verify": AssessItem("out_1", "verified", True, NOW),
    "verify so far": AssessItem("out_1", "verified", False, NOW),
    "regress": AssessItem("out_1", "regressed", False, NOW),
    "nothing new": AssessItem("out_1", "no_change", True, NOW),
}
REFUSED, NOTHING = "refused", "nothing"
TABLE = """
           | commit    | start   | deliver   | cancel    | verify   | verify so far | regress   | nothing new
 planned   | committed | refused | delivered | cancelled | nothing  | nothing       | nothing   | nothing
 committed | refused   | started | delivered | cancelled | nothing  | nothing       | nothing   | nothing
 started   | refused   | refused | delivered | cancelled | nothing  | nothing       | nothing   | nothing
 delivered | refused   | refused | refused   | refused   | verified | nothing       | regressed | nothing
 verified  | refused   | refused | refused   | refused   | nothing  | delivered     | regressed | delivered
 regressed | refused   | refused | refused   | refused   | verified | delivered     | nothing   | delivered
 cancelled | refused   | refused | refused   | refused   | nothing  | nothing       | nothing   | nothing
"""


def cells() -> list[tuple[str, str, str]]:
    header, *rows = [line.split("|") for line in TABLE.strip("\n").splitlines()]
    verbs = [verb.strip() for verb in header[1:]]
    return [
        (row[0].strip(), verb, cell.strip())
        for row in rows
        for verb, cell in zip(verbs, row[1:], strict=True)
    ]


@pytest.mark.parametrize(("state", "verb", "outcome"), cells())
def test_an_item_goes_its_way_and_no_other(state: ItemState, verb: str, outcome: str) -> None:
    item = replace(ITEM, state=state)
    if outcome == REFUSED:
        with pytest.raises(Refusal, match="itm_1"):
            decide(item, COMMANDS[verb])
        return
    events = decide(item, COMMANDS[verb])
    assert [evolve(item, event).state for event in events] == (
        [] if outcome == NOTHING else [outcome]
    )


async def post(client: httpx.AsyncClient, path: str, body: object = None) -> dict:
    answer = await client.post(path, json=body)
    assert answer.status_code < 300, answer.text
    return answer.json()


async def planned(client: httpx.AsyncClient, **plan: object) -> str:
    return (await post(client, "/v1/items", PLAN | plan))["id"]


async def test_a_commitment_states_its_criterion_and_keeps_the_power_check(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    await hear(escalated(total=48, weekly_counts=[0] * 8 + [12] * 4, first_at=ago(days=28)))
    item_id = await planned(client, theme_ids=["thm_a"])
    unstated = await client.post(f"/v1/items/{item_id}/commit", json={})
    assert unstated.status_code == 422
    committed = await post(client, f"/v1/items/{item_id}/commit", {"expected_reduction": 0.5})
    power = committed["power"]
    assert (power["count_before"], power["days_before"]) == (48, 28)
    assert power["weeks"] == 5
    assert power["text"] == (
        "at 48 incidents in 28 days, a halving shows with 80 % certainty after 5 weeks"
    )
    await hear(escalated(at=ago(hours=1), total=100, weekly_counts=[25] * 12))
    assert (await client.get(f"/v1/items/{item_id}")).json()["power"] == power


@pytest.mark.parametrize("reduction", [0, -1, 1.01, "much", None, 1e400])
async def test_an_expected_reduction_lies_between_none_and_all(
    client: httpx.AsyncClient, reduction: object
) -> None:
    item_id = await planned(client)
    content = f'{{"expected_reduction": {str(reduction).replace("inf", "1e400")}}}'
    answer = await client.post(f"/v1/items/{item_id}/commit", content=content)
    assert answer.status_code == 422


async def test_what_shipped_without_a_commitment_is_measured_by_an_assumption_that_shows(
    client: httpx.AsyncClient, db: Database
) -> None:
    item_id = await planned(client)
    shipped = await post(client, f"/v1/items/{item_id}/deliver", {"at": ago(days=2).isoformat()})
    assert (shipped["expected_reduction"], shipped["expected_assumed"]) == (0.5, True)
    assert parse_rfc3339(shipped["delivered_at"]) == ago(days=2)
    delivered = (await published(db))[-1]
    assert delivered.time == ago(days=2)
    assert delivered.data.expected_reduction == 0.5  # pyright: ignore[reportAttributeAccessIssue]


async def test_what_shipped_with_a_stated_reduction_is_measured_by_that(
    client: httpx.AsyncClient,
) -> None:
    item_id = await planned(client)
    body = {"expected_reduction": 0.8, "release": "2.1.0"}
    shipped = await post(client, f"/v1/items/{item_id}/deliver", body)
    assert (shipped["expected_reduction"], shipped["expected_assumed"]) == (0.8, False)
    assert shipped["release"] == "2.1.0"


async def test_the_criterion_does_not_move_once_it_is_committed(client: httpx.AsyncClient) -> None:
    item_id = await planned(client)
    await post(client, f"/v1/items/{item_id}/commit", {"expected_reduction": 0.5})
    moved = await client.post(f"/v1/items/{item_id}/deliver", json={"expected_reduction": 0.1})
    assert moved.status_code == 409
    assert moved.json()["type"].endswith("criterion-is-committed")
    await post(client, f"/v1/items/{item_id}/deliver", {"expected_reduction": 0.5})


async def test_an_edit_changes_what_it_names_and_tells_it(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    await hear(escalated())
    objective = await post(client, "/v1/objectives", {"title": "Fewer lost carts"})
    item_id = await planned(client, quarter="2026Q3", owner="team-pay")
    body = {
        "quarter": None,
        "horizon": "now",
        "objective_id": objective["id"],
        "owner": "team-shop",
        "effort_person_months": 2,
        "add_theme_ids": ["thm_a"],
    }
    path = f"/v1/items/{item_id}"
    answer = await client.patch(path, json=body, headers={"If-Match": '"1"'})
    assert answer.status_code == 200, answer.text
    item = answer.json()
    assert (item["quarter"], item["horizon"], item["owner"]) == (None, "now", "team-shop")
    assert (item["title"], item["theme_ids"]) == ("Rework retries", ["thm_a"])
    assert item["score"] > 0
    again = await client.patch(path, json=body)
    assert again.json()["version"] == item["version"] == 2
    assert (await client.patch(path, json=body, headers={"If-Match": '"1"'})).status_code == 412
    assert (await types(db))[-1] == "item.changed"
    newest = (await client.get(f"{path}/history")).json()["items"][0]
    assert newest["noted"]["owner"] == {"was": "team-pay", "now": "team-shop"}
    assert all(stored == folded for stored, folded in await folded_items(db))


async def test_after_the_delivery_only_names_may_change(client: httpx.AsyncClient) -> None:
    item_id = await planned(client)
    await post(client, f"/v1/items/{item_id}/deliver")
    path = f"/v1/items/{item_id}"
    assert (await client.patch(path, json={"title": "Retries, reworked"})).status_code == 200
    for change in ({"horizon": "later"}, {"add_theme_ids": ["thm_z"]}, {"quarter": "2026Q1"}):
        assert (await client.patch(path, json=change)).status_code == 409
    assert (await client.get(path)).json()["theme_ids"] == []


@pytest.mark.parametrize("change", [{"title": None}, {"horizon": None}, {"quarter": "2026Q5"}])
async def test_an_impossible_edit_is_refused(client: httpx.AsyncClient, change: dict) -> None:
    item_id = await planned(client)
    assert (await client.patch(f"/v1/items/{item_id}", json=change)).status_code == 422


async def test_a_cancelled_item_frees_its_theme(client: httpx.AsyncClient) -> None:
    item_id = await planned(client, theme_ids=["thm_a"])
    await post(client, f"/v1/items/{item_id}/cancel", {"reason": "no budget"})
    cancelled = (await client.get(f"/v1/items/{item_id}")).json()
    assert (cancelled["state"], cancelled["cancel_reason"]) == ("cancelled", "no budget")
    assert await planned(client, theme_ids=["thm_a"]) != item_id


async def test_an_item_serves_only_an_objective_that_exists(client: httpx.AsyncClient) -> None:
    unknown = await client.post("/v1/items", json=PLAN | {"objective_id": "obj_none"})
    assert unknown.status_code == 404
    item_id = await planned(client)
    patched = await client.patch(f"/v1/items/{item_id}", json={"objective_id": "obj_none"})
    assert patched.status_code == 404


async def test_items_are_filtered_and_counted_and_stand_on_the_board(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    await hear(escalated("thm_a", total=5), escalated("thm_b", total=50))
    light = await planned(client, theme_ids=["thm_a"], horizon="now", quarter="2026Q4")
    heavy = await planned(client, theme_ids=["thm_b"], horizon="now", quarter="2026Q4")
    later = await planned(client, horizon="later", product="Portal")
    shipped = await planned(client, horizon="now")
    await post(client, f"/v1/items/{shipped}/deliver")

    async def listed(**params: str) -> list[str]:
        page = (await client.get("/v1/items", params=params)).json()
        return [item["id"] for item in page["items"]]

    assert set(await listed()) == {light, heavy, later, shipped}
    assert (await listed(sort="score"))[:2] == [heavy, light]
    assert await listed(state="delivered") == [shipped]
    assert await listed(product="Portal", horizon="later") == [later]
    assert set(await listed(quarter="2026Q4")) == {light, heavy}

    board = (await client.get("/v1/roadmap")).json()
    now, following, far = board["horizons"]
    assert [item["id"] for item in now["items"]] == [heavy, light]
    assert (following["total"], far["total"]) == (0, 1)
    (quarter,) = board["quarters"]
    assert (quarter["name"], quarter["total"]) == ("2026Q4", 2)
    assert [item["id"] for item in board["delivered"]["items"]] == [shipped]
    portal = (await client.get("/v1/roadmap", params={"product": "Portal"})).json()
    assert [column["total"] for column in portal["horizons"]] == [0, 0, 1]

    summary = (await client.get("/v1/items/summary")).json()
    assert summary["by_state"] == {"planned": 3, "delivered": 1}
    assert summary["in_work_by_horizon"] == {"now": 2, "later": 1}
    assert summary["delivered_by_verdict"] == {"not_assessed": 1}
