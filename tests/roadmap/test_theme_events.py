"""What themes' events do to candidates and items."""

import httpx
import pytest

from shared.database import Database
from tests.roadmap.conftest import Hear
from tests.roadmap.saying import (
    ago,
    changed,
    escalated,
    folded_candidates,
    merged,
    published,
    quieted,
    types,
)


async def candidates(client: httpx.AsyncClient, state: str = "open") -> list[dict]:
    return (await client.get("/v1/candidates", params={"state": state})).json()["items"]


async def the_open_one(client: httpx.AsyncClient) -> dict:
    (candidate,) = await candidates(client)
    return candidate


async def test_a_redelivered_or_stale_event_changes_nothing(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    await hear(escalated(version=5))
    before = await the_open_one(client)
    await hear(escalated(version=5, total=50))
    await hear(changed(version=4, total=99))
    assert await the_open_one(client) == before
    assert await types(db) == ["candidate.raised"]


async def test_a_second_rise_only_rescores_the_candidate_that_waits(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    await hear(escalated(), escalated(at=ago(days=2), total=20, detector="toil"))
    candidate = await the_open_one(client)
    assert [r["detector"] for r in candidate["reasons"]] == ["toil"]
    assert candidate["evidence_total"] == 20
    assert await types(db) == ["candidate.raised", "candidate.rescored"]
    history = (await client.get(f"/v1/candidates/{candidate['id']}/history")).json()
    assert [entry["version"] for entry in history["items"]] == [2, 1]
    assert history["items"][0]["cause"].startswith("Risen: toil. Attention rose by")
    assert history["items"][0]["value"] == pytest.approx(candidate["score"])


async def test_evidence_that_does_not_move_the_score_is_kept_without_a_word(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    await hear(escalated(total=6))
    before = await the_open_one(client)
    await hear(changed(total=7, opened_28d=6, opened_14d=6))
    now = await the_open_one(client)
    assert now["evidence_total"] == 7
    assert (now["score"], now["version"]) == (before["score"], before["version"])
    assert await types(db) == ["candidate.raised"]


async def test_candidates_overtake_each_other_and_the_cause_says_so(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    await hear(escalated("thm_a", total=10), escalated("thm_b", total=5))
    assert [c["theme_id"] for c in await candidates(client)] == ["thm_a", "thm_b"]
    await hear(changed("thm_b", total=40, top_severity_28d=9))
    first, second = await candidates(client)
    assert (first["theme_id"], first["rank"], second["rank"]) == ("thm_b", 1, 2)
    history = (await client.get(f"/v1/candidates/{first['id']}/history")).json()
    assert history["items"][0]["cause"].endswith("Rank 2 became 1.")
    assert [entry["rank"] for entry in history["items"]] == [1, 2]


async def test_within_a_batch_a_theme_is_scored_once_for_its_newest_evidence(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    await hear(escalated())
    await hear(*[changed(total=total) for total in range(10, 60)])
    assert await types(db) == ["candidate.raised", "candidate.rescored"]
    assert (await the_open_one(client))["evidence_total"] == 59


async def test_a_quiet_theme_keeps_its_candidate_open_and_marked(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    await hear(escalated(), quieted())
    candidate = await the_open_one(client)
    assert candidate["quiet"] is True
    await hear(changed(at=ago(hours=2)))
    assert (await the_open_one(client))["quiet"] is True
    await hear(escalated(at=ago(hours=1), total=12))
    assert (await the_open_one(client))["quiet"] is False


async def decline(client: httpx.AsyncClient, candidate: dict, **at: float) -> None:
    body = {"reason": "not worth it", "at": ago(**at).isoformat()}
    answer = await client.post(f"/v1/candidates/{candidate['id']}/decline", json=body)
    assert answer.status_code == 200, answer.text


async def test_a_declined_theme_returns_once_its_evidence_has_grown(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    await hear(escalated(at=ago(days=9), total=6))
    first = await the_open_one(client)
    await decline(client, first, days=5)
    await hear(changed(at=ago(days=4), total=8))
    await hear(escalated(at=ago(days=6), total=9))
    await hear(escalated(at=ago(days=4), total=6))
    assert await candidates(client) == []
    await hear(escalated(at=ago(days=2), total=14))
    returned = await the_open_one(client)
    detail = (await client.get(f"/v1/candidates/{returned['id']}")).json()
    assert detail["past"]["candidate_id"] == first["id"]
    assert (detail["past"]["state"], detail["past"]["decision"]) == ("declined", "not worth it")
    assert (await types(db))[-1] == "candidate.returned"


async def accept(client: httpx.AsyncClient, candidate: dict, **body: object) -> str:
    path = f"/v1/candidates/{candidate['id']}/accept"
    answer = await client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["item_id"]


async def test_while_an_item_is_at_work_evidence_moves_its_rank_and_raises_nothing(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    await hear(escalated())
    item_id = await accept(client, await the_open_one(client))
    was = (await client.get(f"/v1/items/{item_id}")).json()
    await hear(escalated(at=ago(hours=2), total=60, detector="toil"))
    now = (await client.get(f"/v1/items/{item_id}")).json()
    assert await candidates(client) == []
    assert now["score"] > was["score"] > 0
    assert now["rank"]["theme_id"] == "thm_a"
    assert (await types(db))[-1] == "candidate.accepted"


@pytest.mark.parametrize(("rose", "returns"), [({"days": 3}, False), ({"days": 1}, True)])
async def test_a_delivered_theme_returns_when_it_rises_after_the_delivery(
    client: httpx.AsyncClient, hear: Hear, rose: dict[str, float], returns: bool
) -> None:
    await hear(escalated(at=ago(days=9)))
    first = await the_open_one(client)
    item_id = await accept(client, first, at=ago(days=8).isoformat())
    body = {"at": ago(days=2).isoformat()}
    await client.post(f"/v1/items/{item_id}/deliver", json=body)
    await hear(escalated(at=ago(**rose), total=30))
    found = await candidates(client)
    assert [c["previous_id"] for c in found] == ([first["id"]] if returns else [])


async def test_a_theme_whose_item_was_cancelled_returns_with_its_next_evidence(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    await hear(escalated(at=ago(days=9)))
    first = await the_open_one(client)
    item_id = await accept(client, first, at=ago(days=8).isoformat())
    body = {"reason": "no budget", "at": ago(days=3).isoformat()}
    await client.post(f"/v1/items/{item_id}/cancel", json=body)
    await hear(changed(at=ago(days=4)))
    assert await candidates(client) == []
    await hear(changed(at=ago(days=2)))
    assert (await the_open_one(client))["previous_id"] == first["id"]
    returned = (await published(db))[-1].data
    assert "cancelled" in returned.why  # pyright: ignore[reportAttributeAccessIssue]


async def test_a_merged_theme_takes_its_candidate_along(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    await hear(escalated("thm_a"))
    moved = await the_open_one(client)
    await hear(merged("thm_a", "thm_b"))
    now = await the_open_one(client)
    assert (now["id"], now["theme_id"]) == (moved["id"], "thm_b")
    await hear(escalated("thm_b", total=30))
    assert (await the_open_one(client))["id"] == moved["id"]
    assert all(stored == folded for stored, folded in await folded_candidates(db))


async def test_merging_two_themes_that_wait_leaves_one_candidate(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    await hear(escalated("thm_a"), escalated("thm_b"), merged("thm_a", "thm_b"))
    left = await the_open_one(client)
    assert left["theme_id"] == "thm_b"
    (gone,) = await candidates(client, "merged")
    assert (gone["into_candidate_id"], gone["decided_by"]) == (left["id"], "ada")


async def test_a_theme_merged_into_one_at_work_joins_its_item(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    await hear(escalated("thm_b"))
    item_id = await accept(client, await the_open_one(client))
    await hear(escalated("thm_a"), merged("thm_a", "thm_b"))
    assert await candidates(client) == []
    joined = [c for c in await candidates(client, "accepted") if c["item_id"] == item_id]
    assert len(joined) == 2
    item = (await client.get(f"/v1/items/{item_id}")).json()
    assert item["theme_ids"] == ["thm_b"]
    assert sorted(item["candidate_ids"]) == sorted(c["id"] for c in joined)


async def test_an_item_follows_its_theme_into_another(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    await hear(escalated("thm_a"))
    item_id = await accept(client, await the_open_one(client))
    await hear(merged("thm_a", "thm_b"), escalated("thm_b"))
    item = (await client.get(f"/v1/items/{item_id}")).json()
    assert item["theme_ids"] == ["thm_b"]
    assert await candidates(client) == []
    assert (await types(db))[-1] == "item.changed"


async def test_merges_that_arrive_in_the_wrong_order_are_followed_to_the_end(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    await hear(escalated("thm_a"))
    await hear(merged("thm_b", "thm_c"), merged("thm_a", "thm_b"))
    assert (await the_open_one(client))["theme_id"] == "thm_c"


async def test_an_odd_number_in_the_evidence_holds_nothing_up(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    odd = {"votes": -4, "impact_minutes_per_week": 1e300, "severity_max": "apocalyptic"}
    await hear(escalated(**odd))
    assert (await the_open_one(client))["score"] > 0
