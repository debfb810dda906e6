"""The score policy: versioned, and everything is scored again by a new one."""

import httpx

from shared.database import Database
from tests.roadmap.conftest import Hear
from tests.roadmap.saying import escalated, folded_candidates, types

RATES = {"currency": "EUR", "per_impact_minute": 1.0, "per_responder_hour": 80.0}


async def test_a_new_policy_scores_every_waiting_candidate_and_item_again(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    await hear(
        escalated("thm_a", total=40, top_severity_28d=9, impact_minutes_per_week=10.0),
        escalated("thm_b", total=5, impact_minutes_per_week=9000.0),
        escalated("thm_c", impact_minutes_per_week=500.0),
    )
    plan = {"title": "Retries", "product": "Checkout", "theme_ids": ["thm_d"]}
    item = (await client.post("/v1/items", json=plan)).json()
    await hear(escalated("thm_d", impact_minutes_per_week=70.0))
    listed = (await client.get("/v1/candidates")).json()["items"]
    assert listed[0]["theme_id"] == "thm_a"
    answer = await client.put(
        "/v1/score-policy", json={"rates": RATES}, headers={"If-Match": '"1"'}
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["ETag"] == '"2"'
    listed = (await client.get("/v1/candidates")).json()["items"]
    assert [(c["theme_id"], c["score"], c["unit"]) for c in listed] == [
        ("thm_b", 9000.0, "EUR"),
        ("thm_c", 500.0, "EUR"),
        ("thm_a", 10.0, "EUR"),
    ]
    path = f"/v1/candidates/{listed[0]['id']}/history"
    newest = (await client.get(path)).json()["items"][0]
    assert newest["cause"].startswith("tester changed the score policy. Ranked by Cost of delay")
    assert newest["rank"] == 1
    assert (await client.get(f"/v1/items/{item['id']}")).json()["score"] == 70.0
    assert (await types(db)).count("candidate.rescored") == 3
    assert all(stored == folded for stored, folded in await folded_candidates(db))


async def test_an_equal_policy_changes_nothing(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    await hear(escalated())
    policy = (await client.get("/v1/score-policy")).json()
    assert policy["version"] == 1
    del policy["version"]
    again = await client.put("/v1/score-policy", json=policy)
    assert again.json()["version"] == 1
    assert await types(db) == ["candidate.raised"]


async def test_a_stale_or_senseless_policy_is_refused(client: httpx.AsyncClient) -> None:
    body = {"method": "cost_of_delay"}
    assert (await client.put("/v1/score-policy", json=body)).json()["version"] == 2
    stale = await client.put("/v1/score-policy", json=body, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    for senseless in (
        {"rates": {"currency": "EUR"}},
        {"rates": RATES | {"per_impact_minute": -1}},
        {"attention": {"size": 101}},
        {"method": "gut feeling"},
        {"impact": {"low": 4}},
        {"version": 7},
    ):
        answer = await client.put("/v1/score-policy", json=senseless)
        assert answer.status_code == 422, senseless
    assert (await client.get("/v1/score-policy")).headers["ETag"] == '"2"'


async def test_candidates_that_the_method_cannot_score_rank_after_those_it_can(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    await hear(escalated("thm_a", total=90), escalated("thm_b", impact_minutes_per_week=0.001))
    await client.put("/v1/score-policy", json={"method": "wsjf"})
    for candidate in (await client.get("/v1/candidates")).json()["items"]:
        assert candidate["needs_estimate"] is True
        if candidate["theme_id"] == "thm_b":
            path = f"/v1/candidates/{candidate['id']}/estimate"
            await client.post(path, json={"duration_weeks": 52})
    first, second = (await client.get("/v1/candidates")).json()["items"]
    assert (first["theme_id"], first["method"], first["rank"]) == ("thm_b", "wsjf", 1)
    assert (second["method"], second["rank"]) == ("attention", 2)
    assert first["score"] < second["score"]
