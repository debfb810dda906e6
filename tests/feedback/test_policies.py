"""Detection policies are data: read, set, versioned, and they act on the evidence there is."""

import json
from typing import Any

import pytest

from tests.feedback.conftest import Feedback, recurring

PATH = "/v1/policies/recurrence"


async def put(feedback: Feedback, settings: dict[str, Any], **more: Any) -> Any:
    answer = await feedback.client.put(PATH, json={"settings": settings}, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_policy_starts_as_the_defaults_in_version_one(feedback: Feedback) -> None:
    policy = await feedback.get(PATH)
    assert (policy["version"], policy["settings"]["on"], policy["product"]) == (1, 5, None)
    assert (await feedback.get("/v1/policies/demand"))["settings"]["on"] == 10


async def test_a_lower_threshold_acts_on_evidence_that_is_there_already(feedback: Feedback) -> None:
    await feedback.hear(*recurring(4))
    await feedback.review()
    assert (await feedback.the_theme())["state"] == "quiet"
    changed = await put(feedback, {"on": 3})
    assert (changed["version"], changed["settings"]["on"]) == (2, 3)
    await feedback.review()
    theme = await feedback.the_theme()
    assert (theme["state"], theme["rose_at"]) == ("escalated", "2026-03-05T09:00:00Z")
    assert (await feedback.types())[-1] == "theme.escalated"


async def test_a_product_may_have_a_policy_of_its_own(feedback: Feedback) -> None:
    await feedback.hear(*recurring(4))
    await feedback.hear(*recurring(4, prefix="other", product="Search"))
    before = await feedback.get(PATH, product="Search")
    assert (before["inherited"], before["version"]) == (True, 0)
    await put(feedback, {"on": 3}, params={"product": "Search"})
    await feedback.review()
    assert [t["product"] for t in await feedback.themes(state="escalated")] == ["Search"]
    own = await feedback.get(PATH, product="Search")
    assert (own["inherited"], own["product"], own["settings"]["on"]) == (False, "Search", 3)
    assert (await feedback.get(PATH))["settings"]["on"] == 5


async def test_every_version_that_was_set_is_kept(feedback: Feedback) -> None:
    await put(feedback, {"on": 4})
    await put(feedback, {"on": 4})
    await put(feedback, {"on": 6})
    versions = (await feedback.get(f"{PATH}/versions"))["items"]
    assert [(v["version"], v["settings"]["on"], v["by"]) for v in versions] == [
        (3, 6, "tester"),
        (2, 4, "tester"),
    ]


async def test_a_policy_set_by_a_stale_version_is_refused(feedback: Feedback) -> None:
    await put(feedback, {"on": 4}, headers={"If-Match": '"1"'})
    stale = await feedback.client.put(
        PATH, json={"settings": {"on": 9}}, headers={"If-Match": '"1"'}
    )
    assert stale.status_code == 412
    assert (await feedback.get(PATH))["settings"]["on"] == 4


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"on": 0}, "Set on to 1 or more"),
        ({"on": 2, "off": 3}, "Set off to at most on"),
        ({"onn": 2}, "'onn'"),
        ({"on": "many"}, "Set 'on' to a number"),
        ({"on": True}, "Set 'on' to a number"),
        ({"on": 10**400}, "at most"),
        ({"alpha": 2}, "alpha"),
        ({"on\ud800": 2}, "valid string"),
    ],
)
async def test_an_impossible_policy_is_refused_with_what_to_do(
    feedback: Feedback, settings: dict[str, Any], says: str
) -> None:
    answer = await feedback.client.put(
        PATH,
        content=json.dumps({"settings": settings}),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 422, answer.text
    assert says in answer.json()["detail"]
    assert (await feedback.get(PATH))["version"] == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"on": 0},
        {"off": 99},
        {"min_voices": 0.5},
        {"growth_factor": 0.1},
        {"window_days": None},
        {"window_days": 1e9},
        {"x": 1},
    ],
)
async def test_an_impossible_demand_policy_is_refused(
    feedback: Feedback, settings: dict[str, Any]
) -> None:
    answer = await feedback.client.put("/v1/policies/demand", json={"settings": settings})
    assert answer.status_code == 422, answer.text


async def test_an_unknown_detector_is_not_found(feedback: Feedback) -> None:
    for answer in (
        await feedback.client.get("/v1/policies/gut-feeling"),
        await feedback.client.get("/v1/policies/gut-feeling/versions"),
        await feedback.client.put("/v1/policies/gut-feeling", json={"settings": {}}),
    ):
        assert answer.status_code == 404
        assert "recurrence" in answer.json()["detail"]
