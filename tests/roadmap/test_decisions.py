"""What people decide about candidates, through the API."""

from datetime import timedelta

import httpx
import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from services.roadmap.app import create_app
from services.roadmap.candidates.store import candidate_log, candidates
from shared.clock import parse_rfc3339
from shared.database import Database
from tests.conftest import MovingClock, client_of, signed_in
from tests.roadmap.conftest import Hear
from tests.roadmap.saying import NOW, ago, changed, escalated, folded_candidates, published, types


async def raised(client: httpx.AsyncClient, hear: Hear, theme_id: str = "thm_a") -> str:
    await hear(escalated(theme_id))
    found = (await client.get("/v1/candidates")).json()["items"]
    return next(c["id"] for c in found if c["theme_id"] == theme_id)


async def post(client: httpx.AsyncClient, path: str, body: object = None) -> dict:
    answer = await client.post(path, json=body)
    assert answer.status_code < 300, answer.text
    return answer.json()


async def test_accepting_twice_is_refused_and_names_the_item(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    path = f"/v1/candidates/{await raised(client, hear)}/accept"
    item_id = (await post(client, path))["item_id"]
    again = await client.post(path)
    assert again.status_code == 409
    assert again.json()["type"] == "urn:groundswell:problem:candidate-already-accepted"
    assert item_id in again.json()["detail"]
    assert (await types(db)).count("item.planned") == 1


async def test_accepting_again_with_the_same_key_gets_the_first_answer(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    path = f"/v1/candidates/{await raised(client, hear)}/accept"
    headers = {"Idempotency-Key": "one"}
    first = await client.post(path, json={"horizon": "now"}, headers=headers)
    again = await client.post(path, json={"horizon": "now"}, headers=headers)
    assert (again.status_code, again.json()) == (200, first.json())
    assert (await types(db)).count("candidate.accepted") == 1


async def test_a_candidate_may_join_an_item_that_is_in_work(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    plan = {"title": "Rework retries", "product": "Checkout", "theme_ids": ["thm_x"]}
    item = await post(client, "/v1/items", plan)
    candidate_id = await raised(client, hear)
    body = {"item_id": item["id"]}
    accepted = await post(client, f"/v1/candidates/{candidate_id}/accept", body)
    assert accepted["item"]["title"] == "Rework retries"
    joined = (await client.get(f"/v1/items/{item['id']}")).json()
    assert joined["theme_ids"] == ["thm_a", "thm_x"]
    assert joined["candidate_ids"] == [candidate_id]
    assert joined["score"] > 0


async def test_nothing_joins_an_item_that_was_delivered(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    item = await post(client, "/v1/items", {"title": "Retries", "product": "Checkout"})
    await post(client, f"/v1/items/{item['id']}/deliver")
    path = f"/v1/candidates/{await raised(client, hear)}/accept"
    answer = await client.post(path, json={"item_id": item["id"]})
    assert answer.status_code == 409
    assert (await client.get("/v1/candidates")).json()["items"] != []


async def test_a_theme_is_in_work_in_one_item_only(client: httpx.AsyncClient, hear: Hear) -> None:
    candidate_id = await raised(client, hear)
    plan = {"title": "Retries", "product": "Checkout", "theme_ids": ["thm_a"]}
    item = await post(client, "/v1/items", plan)
    assert (await client.post("/v1/items", json=plan)).status_code == 409
    alone = await client.post(f"/v1/candidates/{candidate_id}/accept")
    assert alone.status_code == 409
    assert item["id"] in alone.json()["detail"]
    body = {"item_id": item["id"]}
    await post(client, f"/v1/candidates/{candidate_id}/accept", body)
    assert (await client.get("/v1/candidates")).json()["items"] == []


async def test_a_merged_candidate_goes_into_the_item_with_the_one_that_stands_for_it(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    first = await raised(client, hear, "thm_a")
    second = await raised(client, hear, "thm_b")
    await post(client, f"/v1/candidates/{first}/merge", {"into": second})
    await hear(escalated("thm_a", at=ago(hours=3), total=80))
    (left,) = (await client.get("/v1/candidates")).json()["items"]
    assert left["id"] == second
    detail = await post(client, f"/v1/candidates/{second}/accept")
    assert detail["merged"] == [first]
    item = (await client.get(f"/v1/items/{detail['item_id']}")).json()
    assert item["theme_ids"] == ["thm_a", "thm_b"]


async def test_a_decision_keeps_its_own_time_and_who_took_it(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    candidate_id = await raised(client, hear)
    body = {"reason": "works as designed", "at": ago(days=1).isoformat()}
    declined = await post(client, f"/v1/candidates/{candidate_id}/decline", body)
    assert parse_rfc3339(declined["decided_at"]) == ago(days=1)
    assert (declined["decided_by"], declined["decision"]) == ("tester", "works as designed")
    event = (await published(db))[-1]
    assert (event.type, event.time) == ("groundswell.candidate.declined.v1", ago(days=1))
    async with db.read() as conn:
        row = (await conn.execute(select(candidate_log).order_by(candidate_log.c.version))).all()[1]
    assert (row.kind, row.at, row.actor) == ("declined", ago(days=1), "tester")
    assert row.recorded_at > row.at


async def test_a_decision_before_the_candidate_was_raised_is_refused(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    path = f"/v1/candidates/{await raised(client, hear)}/accept"
    answer = await client.post(path, json={"at": ago(days=4).isoformat()})
    assert answer.status_code == 422
    assert (await client.get("/v1/items")).json()["items"] == []


async def test_a_snoozed_candidate_wakes_when_its_evidence_is_there(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    candidate_id = await raised(client, hear)
    snoozed = await post(client, f"/v1/candidates/{candidate_id}/snooze", {"until_total": 12})
    assert (snoozed["state"], snoozed["rank"]) == ("snoozed", None)
    await hear(changed(total=11))
    assert (await client.get("/v1/candidates")).json()["items"] == []
    await hear(escalated(at=ago(hours=1), total=12))
    (woken,) = (await client.get("/v1/candidates")).json()["items"]
    assert (woken["id"], woken["until_total"]) == (candidate_id, None)
    assert (await types(db))[-1] == "candidate.returned"
    assert all(stored == folded for stored, folded in await folded_candidates(db))


async def test_effort_is_never_invented(client: httpx.AsyncClient, hear: Hear) -> None:
    await hear(escalated(customers_90d=400))
    (candidate,) = (await client.get("/v1/candidates")).json()["items"]
    path = f"/v1/candidates/{candidate['id']}"
    assert candidate["needs_estimate"] is True
    assert (await client.get(path)).json()["breakdown"]["rice"] is None
    body = {"effort_person_months": 2, "duration_weeks": 4}
    estimated = await post(client, f"{path}/estimate", body)
    assert estimated["needs_estimate"] is False
    assert estimated["breakdown"]["rice"]["effort_person_months"] == 2
    assert estimated["breakdown"]["rice"]["confidence"] == 0.5
    confirmed = await post(client, f"{path}/confirm")
    assert confirmed["breakdown"]["rice"]["confidence"] == 1.0
    again = await post(client, f"{path}/confirm")
    assert again["version"] == confirmed["version"] == 3
    causes = [e["cause"] for e in (await client.get(f"{path}/history")).json()["items"]]
    assert causes[0].startswith("tester confirmed it.")
    assert causes[1].startswith("tester estimated 2 person-months and 4 weeks.")


async def test_an_estimate_goes_with_the_candidate_into_its_item(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    path = f"/v1/candidates/{await raised(client, hear)}"
    await post(client, f"{path}/estimate", {"effort_person_months": 1.5})
    item_id = (await post(client, f"{path}/accept"))["item_id"]
    item = (await client.get(f"/v1/items/{item_id}")).json()
    assert (item["effort_person_months"], item["duration_weeks"]) == (1.5, None)
    late = await client.post(f"{path}/estimate", json={"effort_person_months": 3})
    assert late.status_code == 409


async def test_a_candidate_raised_by_hand_says_that_it_has_no_evidence(
    client: httpx.AsyncClient, db: Database
) -> None:
    body = {"title": "Single sign-on", "product": "Portal", "reason": "two deals hang on it"}
    raised = await client.post("/v1/candidates", json=body)
    assert raised.status_code == 201
    assert raised.headers["ETag"] == '"1"'
    shown = raised.json()
    assert (shown["theme_id"], shown["score"], shown["evidence"]) == (None, 0.0, None)
    assert "no evidence" in shown["score_text"]
    assert shown["reasons"][0]["text"] == "two deals hang on it"
    item_id = (await post(client, f"/v1/candidates/{shown['id']}/accept"))["item_id"]
    assert (await client.get(f"/v1/items/{item_id}")).json()["theme_ids"] == []
    assert (await published(db))[0].data.theme_id == ""  # pyright: ignore[reportAttributeAccessIssue]


async def test_by_hand_nobody_raises_a_second_candidate_of_a_theme(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    first = await raised(client, hear)
    body = {"title": "Again", "product": "Checkout", "reason": "now!", "theme_id": "thm_a"}
    refused = await client.post("/v1/candidates", json=body)
    assert refused.status_code == 409
    assert first in refused.json()["detail"]
    await post(client, f"/v1/candidates/{first}/decline", {"reason": "no"})
    returned = await post(client, "/v1/candidates", body)
    assert returned["past"]["candidate_id"] == first
    assert returned["evidence"]["total"] == 6


async def test_a_stale_if_match_is_refused(client: httpx.AsyncClient, hear: Hear) -> None:
    path = f"/v1/candidates/{await raised(client, hear)}"
    etag = (await client.get(path)).headers["ETag"]
    await post(client, f"{path}/estimate", {"duration_weeks": 4})
    stale = await client.post(f"{path}/accept", headers={"If-Match": etag})
    assert stale.status_code == 412
    assert (await client.get(path)).json()["state"] == "open"


async def test_a_decision_without_a_time_takes_a_candidate_whose_clock_runs_ahead(
    client: httpx.AsyncClient, hear: Hear, clock: MovingClock
) -> None:
    await hear(escalated(at=clock.now + timedelta(minutes=20)))
    (candidate,) = (await client.get("/v1/candidates")).json()["items"]
    accepted = await post(client, f"/v1/candidates/{candidate['id']}/accept")
    assert accepted["decided_at"] == candidate["raised_at"]


async def test_candidates_are_listed_by_score_or_by_age_page_by_page(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    for number in range(5):
        product = "Checkout" if number % 2 else "Portal"
        at = NOW - timedelta(days=number)
        await hear(escalated(f"thm_{number}", at=at, total=5 + number, product=product))

    async def listed(**params: object) -> list[dict]:
        found: list[dict] = []
        cursor = None
        while True:
            query = {**params, "limit": 2} | ({"cursor": cursor} if cursor else {})
            page = (await client.get("/v1/candidates", params=query)).json()
            found += page["items"]
            if (cursor := page["next"]) is None:
                return found

    by_score = await listed()
    assert [c["theme_id"] for c in by_score] == ["thm_4", "thm_3", "thm_2", "thm_1", "thm_0"]
    assert [c["rank"] for c in by_score] == [1, 2, 3, 4, 5]
    by_age = await listed(sort="raised")
    assert [c["theme_id"] for c in by_age] == ["thm_0", "thm_1", "thm_2", "thm_3", "thm_4"]
    portal = await listed(product="Portal")
    assert [c["rank"] for c in portal] == [1, 3, 5]
    assert [c["theme_id"] for c in await listed(q="OF THM_3")] == ["thm_3"]
    assert await listed(q="%") == []
    summary = (await client.get("/v1/candidates/summary")).json()
    assert summary["by_state"] == {"open": 5}
    assert summary["by_product"] == {"Portal": 3, "Checkout": 2}
    assert parse_rfc3339(summary["oldest_raised_at"]) == ago(days=4)


async def test_the_database_itself_refuses_a_second_waiting_candidate(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    await raised(client, hear)
    async with db.read() as conn:
        row = (await conn.execute(select(candidates))).one()
    twin = {**row._mapping, "candidate_id": "cnd_twin", "state": "snoozed"}
    with pytest.raises(IntegrityError):
        async with db.begin() as conn:
            await conn.execute(insert(candidates).values(twin))


async def test_without_the_scope_nobody_decides(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    path = f"/v1/candidates/{await raised(client, hear)}"
    async with client_of(signed_in(create_app(db), "roadmap:read")) as reader:
        assert (await reader.get(path)).status_code == 200
        assert (await reader.post(f"{path}/accept")).status_code == 403
    async with client_of(create_app(db)) as stranger:
        assert (await stranger.get(path)).status_code == 401
