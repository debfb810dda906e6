"""A candidate follows what the evidence says by now: corrections take it along, or take it back."""

from typing import Any

import httpx
import pytest

from shared.contracts.feedback import RiseData
from shared.database import Database
from shared.envelope import Event
from tests.roadmap.conftest import Hear
from tests.roadmap.saying import (
    ago,
    assessed,
    changed,
    escalated,
    folded_candidates,
    folded_items,
    merged,
    quieted,
    reason,
    types,
)


def standing(event: Event, *rises: RiseData, **said: str) -> Event:
    """The event, saying that these are all the rises."""
    data: Any = event.data
    told = data.model_copy(update={"rises": list(rises), **said})
    return Event(**{name: getattr(event, name) for name in event.__slots__} | {"data": told})


def rise(rose: float, fell: float | None = None, detector: str = "recurrence") -> RiseData:
    """In days ago."""
    return RiseData(
        detector=detector,
        rose_at=ago(days=rose),
        fell_at=None if fell is None else ago(days=fell),
        last_at=ago(days=fell or 0),
        reasons=[reason(detector)],
    )


async def candidates(client: httpx.AsyncClient, state: str = "open") -> list[dict[str, Any]]:
    return (await client.get("/v1/candidates", params={"state": state})).json()["items"]


async def test_a_theme_that_never_rose_after_all_takes_its_candidate_back(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    await hear(escalated())
    await hear(standing(quieted()))
    assert await candidates(client) == []
    (gone,) = await candidates(client, "withdrawn")
    answer = await client.post(f"/v1/candidates/{gone['id']}/accept", json={})
    assert (answer.status_code, "withdrawn" in answer.json()["detail"]) == (409, True)
    assert (await types(db))[-1] == "candidate.withdrawn"
    assert all(stored == folded for stored, folded in await folded_candidates(db))


async def test_a_withdrawn_candidate_is_no_past(client: httpx.AsyncClient, hear: Hear) -> None:
    await hear(escalated())
    await hear(standing(quieted()))
    await hear(standing(escalated(at=ago(hours=3)), rise(0.1)))
    (raised,) = await candidates(client)
    assert raised["previous_id"] is None


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("confirm", {}),
        ("estimate", {"effort_person_months": 2}),
        ("snooze", {"until_total": 99}),
    ],
)
async def test_what_a_person_has_dealt_with_is_not_taken_back(
    client: httpx.AsyncClient, hear: Hear, path: str, body: dict[str, Any]
) -> None:
    await hear(escalated())
    (one,) = await candidates(client)
    answer = await client.post(f"/v1/candidates/{one['id']}/{path}", json=body)
    assert answer.status_code == 200, answer.text
    await hear(standing(quieted()))
    (kept,) = await candidates(client, answer.json()["state"])
    assert (kept["id"], kept["quiet"]) == (one["id"], True)


async def test_what_a_person_raised_is_not_taken_back_and_keeps_its_words(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    await hear(standing(changed()))
    body = {"title": "My own", "product": "Mine", "reason": "seen", "theme_id": "thm_a"}
    raised = (await client.post("/v1/candidates", json=body)).json()
    await hear(standing(changed(total=20)))
    (kept,) = await candidates(client)
    assert (kept["id"], kept["title"], kept["product"]) == (raised["id"], "My own", "Mine")
    assert [one["detector"] for one in kept["reasons"]] == ["person"]
    assert kept["evidence_total"] == 20


async def test_late_evidence_corrects_when_it_was_raised_and_what_it_is_called(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    await hear(standing(escalated(), rise(3)))
    await hear(standing(changed(), rise(9), product="Cards"))
    (one,) = await candidates(client)
    assert (one["raised_at"], one["product"]) == (
        ago(days=9).isoformat().replace("+00:00", "Z"),
        "Cards",
    )
    assert all(stored == folded for stored, folded in await folded_candidates(db))


async def test_a_rise_that_is_heard_of_only_when_it_is_over_raises_a_candidate(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    await hear(standing(changed(), rise(9, 4)))
    (one,) = await candidates(client)
    assert (one["quiet"], one["reasons"][0]["detector"]) == (True, "recurrence")
    detail = (await client.get(f"/v1/candidates/{one['id']}")).json()
    assert detail["quiet_since"] == ago(days=4).isoformat().replace("+00:00", "Z")


async def test_what_goes_on_after_a_cancellation_asks_since_then_whatever_rose_for_a_while(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    await hear(standing(escalated(at=ago(days=9)), rise(9)))
    (first,) = await candidates(client)
    body = {"at": ago(days=8).isoformat()}
    accepted = await client.post(f"/v1/candidates/{first['id']}/accept", json=body)
    path = f"/v1/items/{accepted.json()['item_id']}/cancel"
    await client.post(path, json={"reason": "no budget", "at": ago(days=7).isoformat()})
    await hear(standing(escalated(at=ago(days=2)), rise(9, 5), rise(2)))
    await hear(standing(changed(at=ago(days=1)), rise(9)))
    (one,) = await candidates(client)
    assert one["raised_at"] == ago(days=7).isoformat().replace("+00:00", "Z")


async def test_a_merge_into_a_theme_that_never_rose_takes_the_candidate_back(
    client: httpx.AsyncClient, hear: Hear
) -> None:
    await hear(standing(escalated(), rise(3)), merged())
    (moved,) = await candidates(client)
    assert moved["theme_id"] == "thm_b"
    await hear(standing(changed("thm_b")))
    assert await candidates(client) == []


async def delivered(client: httpx.AsyncClient, hear: Hear) -> dict[str, Any]:
    await hear(standing(escalated(at=ago(days=40)), rise(40, 35)))
    (one,) = await candidates(client)
    body = {"at": ago(days=39).isoformat()}
    accepted = await client.post(f"/v1/candidates/{one['id']}/accept", json=body)
    path = f"/v1/items/{accepted.json()['item_id']}/deliver"
    return (await client.post(path, json={"at": ago(days=30).isoformat()})).json()


async def test_a_verdict_that_late_evidence_takes_back_takes_what_it_caused_along(
    client: httpx.AsyncClient, hear: Hear, db: Database
) -> None:
    item = await delivered(client, hear)
    await hear(assessed(item, "regressed"))
    assert len(await candidates(client)) == 1
    await hear(assessed(item, "insufficient_evidence"))
    now = (await client.get(f"/v1/items/{item['id']}")).json()
    assert (now["state"], await candidates(client)) == ("delivered", [])
    assert (await types(db))[-2:] == ["item.changed", "candidate.withdrawn"]
    assert all(stored == folded for stored, folded in await folded_items(db))


@pytest.mark.parametrize("first", ["rise", "outcome"])
async def test_a_rise_and_a_bad_outcome_give_the_same_in_either_order(
    client: httpx.AsyncClient, hear: Hear, first: str
) -> None:
    item = await delivered(client, hear)
    risen = standing(escalated(at=ago(days=5), total=30), rise(40, 35), rise(5))
    bad = assessed(item, "regressed")
    for event in (risen, bad) if first == "rise" else (bad, risen):
        await hear(event)
    (one,) = await candidates(client)
    assert [r["detector"] for r in one["reasons"]] == ["outcome", "recurrence"]
    assert one["raised_at"] == ago(days=5).isoformat().replace("+00:00", "Z")
