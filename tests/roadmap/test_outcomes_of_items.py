"""What a measured outcome does to its item, and to the themes that it dealt with."""

import httpx
import pytest

from shared.database import Database
from tests.roadmap.conftest import Hear
from tests.roadmap.saying import ago, assessed, escalated, merged, published, types


async def delivered(client: httpx.AsyncClient, hear: Hear) -> dict:
    await hear(escalated(at=ago(days=40)))
    (candidate,) = (await client.get("/v1/candidates")).json()["items"]
    path = f"/v1/candidates/{candidate['id']}/accept"
    accepted = await client.post(path, json={"at": ago(days=39).isoformat()})
    item_id = accepted.json()["item_id"]
    body = {"at": ago(days=30).isoformat(), "expected_reduction": 0.5}
    answer = await client.post(f"/v1/items/{item_id}/deliver", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def item_of(client: httpx.AsyncClient, item: dict) -> dict:
    return (await client.get(f"/v1/items/{item['id']}")).json()


@pytest.mark.parametrize(
    ("verdict", "final", "state"),
    [
        ("verified", False, "delivered"),
        ("verified", True, "verified"),
        ("regressed", False, "regressed"),
        ("regressed", True, "regressed"),
        ("no_change", True, "delivered"),
        ("insufficient_evidence", True, "delivered"),
        ("displaced", True, "delivered"),
        ("exposure_lost", True, "delivered"),
    ],
)
async def test_a_verdict_shows_and_only_a_sure_one_moves_the_item(
    client: httpx.AsyncClient, hear: Hear, verdict: str, final: bool, state: str
) -> None:
    item = await delivered(client, hear)
    await hear(assessed(item, verdict, final=final, observed_reduction=0.4, p_fewer=0.01))
    now = await item_of(client, item)
    assert (now["state"], now["verdict"]) == (state, verdict)
    assert now["outcome"]["final"] is final
    assert now["outcome"]["text"] == "From 12 in 28 days to 4 in 28 days."
    assert now["outcome"]["numbers"]["p_fewer"] == 0.01
    assert (now["expected_reduction"], now["observed_reduction"]) == (0.5, 0.4)


async def test_a_regressed_item_brings_its_candidate_back_linked_to_its_past(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    item = await delivered(client, hear)
    await hear(assessed(item, "regressed"))
    (returned,) = (await client.get("/v1/candidates")).json()["items"]
    assert returned["theme_id"] == "thm_a"
    assert [r["detector"] for r in returned["reasons"]] == ["outcome", "recurrence"]
    detail = (await client.get(f"/v1/candidates/{returned['id']}")).json()
    assert detail["past"]["item_id"] == item["id"]
    assert (await types(db))[-2:] == ["item.regressed", "candidate.returned"]
    events = (await published(db))[-2:]
    assert events[1].time == ago(hours=1)
    await hear(assessed(item, "regressed", final=True))
    assert len((await client.get("/v1/candidates")).json()["items"]) == 1


async def test_a_regressed_item_comes_back_under_the_theme_that_its_own_became_part_of(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    item = await delivered(client, hear)
    await hear(merged("thm_a", "thm_b", at=ago(days=10)), assessed(item, "regressed"))
    (returned,) = (await client.get("/v1/candidates")).json()["items"]
    assert returned["theme_id"] == "thm_b"


async def test_an_old_assessment_does_not_replace_a_newer_one(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    item = await delivered(client, hear)
    await hear(assessed(item, "verified", final=True, version=7))
    said = await types(db)
    await hear(assessed(item, "regressed", version=6), assessed(item, "no_change", version=7))
    now = await item_of(client, item)
    assert (now["state"], now["verdict"]) == ("verified", "verified")
    assert await types(db) == said


async def test_an_item_that_regressed_too_early_may_still_turn_out_well(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    item = await delivered(client, hear)
    await hear(assessed(item, "regressed"), assessed(item, "verified", final=True))
    assert (await item_of(client, item))["state"] == "verified"


async def test_an_outcome_of_no_delivered_item_is_passed_over(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    body = {"title": "Retries", "product": "Checkout"}
    planned = (await client.post("/v1/items", json=body)).json()
    stranger = {"id": "itm_of_nobody", "theme_ids": ["thm_a"]}
    await hear(assessed(planned, "regressed"), assessed(stranger, "verified", final=True))
    now = await item_of(client, planned)
    assert (now["state"], now["outcome"]) == ("planned", None)
    assert await types(db) == ["item.planned"]


async def test_a_regressed_theme_that_is_dealt_with_already_is_not_raised_again(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    item = await delivered(client, hear)
    plan = {"title": "Second try", "product": "Checkout", "theme_ids": ["thm_a"]}
    second = (await client.post("/v1/items", json=plan)).json()
    await hear(assessed(item, "regressed"))
    assert (await client.get("/v1/candidates")).json()["items"] == []
    assert (await item_of(client, second))["state"] == "planned"


async def test_a_regressed_theme_that_waits_already_waits_once(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    item = await delivered(client, hear)
    await hear(escalated(at=ago(days=2), total=30), assessed(item, "regressed"))
    assert len((await client.get("/v1/candidates")).json()["items"]) == 1
