"""The thread that everything hangs on: a theme rises, is decided about, is dealt with, is measured."""

import httpx

from shared.database import Database
from tests.roadmap.conftest import Hear
from tests.roadmap.saying import ago, assessed, escalated, published, types


async def test_a_theme_that_rises_travels_to_a_verified_item(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    await hear(escalated(at=ago(days=60), weekly_counts=[0] * 4 + [20] * 8))
    (candidate,) = (await client.get("/v1/candidates")).json()["items"]
    assert candidate["rank"] == 1
    assert candidate["score"] > 0
    assert candidate["raised_at"] == ago(days=60).isoformat().replace("+00:00", "Z")

    accepted = await client.post(
        f"/v1/candidates/{candidate['id']}/accept",
        json={"horizon": "now", "quarter": "2026Q4", "at": ago(days=50).isoformat()},
    )
    assert accepted.status_code == 200, accepted.text
    item_id = accepted.json()["item_id"]
    for verb, body in (
        ("commit", {"expected_reduction": 0.5, "at": ago(days=49).isoformat()}),
        ("start", {"at": ago(days=48).isoformat()}),
        ("deliver", {"at": ago(days=40).isoformat(), "release": "2.1.0"}),
    ):
        answer = await client.post(f"/v1/items/{item_id}/{verb}", json=body)
        assert answer.status_code == 200, answer.text
    item = (await client.get(f"/v1/items/{item_id}")).json()
    assert item["power"]["weeks"] is not None
    await hear(assessed(item, "verified", final=True, observed_reduction=0.66))
    item = (await client.get(f"/v1/items/{item_id}")).json()
    assert (item["state"], item["observed_reduction"]) == ("verified", 0.66)
    assert (item["expected_reduction"], item["expected_assumed"]) == (0.5, False)
    assert await types(db) == [
        "candidate.raised",
        "item.planned",
        "candidate.accepted",
        "item.committed",
        "item.started",
        "item.delivered",
        "item.verified",
    ]
    assert {event.correlation_id for event in await published(db)} == {"req_story"}
    delivered = (await published(db))[5]
    assert delivered.time == ago(days=40)
