"""What people say: given, voted for, linked, and answered with what became of it."""

from typing import Any

import pytest

from shared.contracts import roadmap
from tests.feedback.conftest import Feedback, candidate, day, delivered, item, opened, recurring

SAID = {"text": "Checkout is slow for us", "kind": "customer", "author": "Mia"}


async def test_feedback_is_kept_and_announced_without_its_text(feedback: Feedback) -> None:
    given = await feedback.post("/v1/feedback", **SAID, product="Checkout", revenue_at_risk=1200)
    assert await feedback.get(f"/v1/feedback/{given['id']}") == given
    assert (given["votes"], given["theme_id"], given["revenue_at_risk"]) == (0, None, 1200)
    ((type_, data),) = await feedback.said()
    assert (type_, data["feedback_id"], data["product"]) == (
        "feedback.received",
        given["id"],
        "Checkout",
    )
    assert "text" not in data


async def test_a_voter_counts_once(feedback: Feedback) -> None:
    given = await feedback.post("/v1/feedback", **SAID)
    path = f"/v1/feedback/{given['id']}/votes"
    counts = [(await feedback.post(path, voter=who))["votes"] for who in ("Ben", "Ben", "Cleo")]
    assert counts == [1, 1, 2]
    assert (await feedback.types()).count("feedback.voted") == 2
    mine = await feedback.get("/v1/feedback", voter="Ben")
    assert [one["id"] for one in mine["items"]] == [given["id"]]
    assert (await feedback.get("/v1/feedback", voter="Nobody"))["items"] == []


async def test_linked_feedback_is_evidence_until_it_is_unlinked(feedback: Feedback) -> None:
    await feedback.hear(opened("inc_1", day(0)))
    theme = await feedback.the_theme()
    given = await feedback.post("/v1/feedback", **SAID, happened_at="2026-03-03T09:00:00Z")
    path = f"/v1/feedback/{given['id']}"
    linked = await feedback.post(f"{path}/link", theme_id=theme["id"])
    assert (linked["theme_id"], linked["theme_state"]) == (theme["id"], "quiet")
    await feedback.post(f"{path}/votes", voter="Ben")
    numbers = (await feedback.the_theme())["evidence"]
    assert (numbers["feedback_count"], numbers["votes"], numbers["total"]) == (1, 1, 2)
    rows = (await feedback.get(f"/v1/themes/{theme['id']}/evidence"))["items"]
    assert rows[0]["source"] == path
    unlinked = await feedback.post(f"{path}/link", theme_id=None)
    assert unlinked["theme_id"] is None
    assert (await feedback.the_theme())["evidence"]["feedback_count"] == 0
    links = [data for type_, data in await feedback.said() if type_ == "feedback.linked"]
    assert [(d["theme_id"], d["was_theme_id"]) for d in links] == [
        (theme["id"], None),
        (None, theme["id"]),
    ]


async def test_enough_demand_makes_a_quiet_theme_rise(feedback: Feedback) -> None:
    await feedback.hear(opened("inc_1", day(0)))
    theme = await feedback.the_theme()
    for who in ("Acme", "Globex", "Initech"):
        await feedback.post("/v1/feedback", **SAID, customer=who, theme_id=theme["id"])
    assert (await feedback.the_theme())["state"] == "quiet"
    (one, *_) = (await feedback.get("/v1/feedback", theme_id=theme["id"]))["items"]
    await feedback.post(f"/v1/feedback/{one['id']}/votes", voter="Ben")
    risen = await feedback.the_theme()
    assert risen["state"] == "escalated"
    assert {reason["name"] for reason in risen["reasons"]} >= {"demand", "too_few"}
    (escalated,) = [data for type_, data in await feedback.said() if type_ == "theme.escalated"]
    assert [reason["detector"] for reason in escalated["reasons"]] == ["demand"]
    assert escalated["evidence"]["feedback_count"] == 3


async def test_whoever_gave_feedback_sees_what_became_of_it(feedback: Feedback) -> None:
    await feedback.hear(*recurring(6))
    theme = await feedback.the_theme()
    said = {**SAID, "happened_at": "2026-03-07T09:00:00Z"}
    given = await feedback.post("/v1/feedback", **said, theme_id=theme["id"])
    await feedback.hear_roadmap(
        candidate(roadmap.CandidateRaised, theme["id"], 1, day(6), score=1.0, reasons=[]),
        candidate(roadmap.CandidateAccepted, theme["id"], 2, day(7), item_id="itm_1", by="ana"),
        item(roadmap.ItemPlanned, [theme["id"]], 1, day(7)),
        delivered([theme["id"]], day(9), version=2),
    )
    seen = await feedback.get(f"/v1/feedback/{given['id']}")
    assert (seen["theme_state"], seen["candidate_state"]) == ("escalated", "accepted")
    assert (seen["item"]["state"], seen["item"]["quarter"]) == ("delivered", "2026Q2")
    assert seen["item"]["delivered_at"] == "2026-03-11T09:00:00Z"
    assert seen["outcome"]["verdict"] == "insufficient_evidence"
    assert seen["product"] == "Checkout"


async def test_feedback_about_a_merged_theme_goes_to_its_target(feedback: Feedback) -> None:
    await feedback.hear(opened("inc_1", day(0)), opened("inc_2", day(0), title="Form hangs"))
    (slow,), (hangs,) = [await feedback.themes(q=q) for q in ("slowly", "hangs")]
    early = await feedback.post("/v1/feedback", **SAID, theme_id=hangs["id"])
    await feedback.post(f"/v1/themes/{hangs['id']}/merge", into=slow["id"], reason="same")
    late = await feedback.post("/v1/feedback", **SAID, theme_id=hangs["id"])
    assert late["theme_id"] == slow["id"]
    assert (await feedback.get(f"/v1/feedback/{early['id']}"))["theme_id"] == slow["id"]


async def test_feedback_is_found_by_kind_product_author_and_words(feedback: Feedback) -> None:
    await feedback.post("/v1/feedback", **SAID, product="Checkout")
    await feedback.post("/v1/feedback", text="Search 50% off", kind="operator", author="Ben")
    for asked, found in (
        ({"kind": "operator"}, ["Ben"]),
        ({"product": "Checkout"}, ["Mia"]),
        ({"author": "Mia"}, ["Mia"]),
        ({"q": "50%"}, ["Ben"]),
        ({"q": "%"}, ["Ben"]),
        ({"theme_id": "thm_x"}, []),
        ({}, ["Ben", "Mia"]),
    ):
        page = await feedback.get("/v1/feedback", **asked)
        assert sorted(one["author"] for one in page["items"]) == found, asked


async def test_a_repeated_post_with_one_key_is_given_once(feedback: Feedback) -> None:
    for _ in range(2):
        answer = await feedback.client.post(
            "/v1/feedback", json=SAID, headers={"Idempotency-Key": "mine"}
        )
        assert answer.status_code == 201
    assert len((await feedback.get("/v1/feedback"))["items"]) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": ""},
        {"text": "a\x00b"},
        {"author": " "},
        {"kind": "rival"},
        {"revenue_at_risk": -1},
        {"revenue_at_risk": 10**400},
        {"happened_at": "1970-01-01T00:00:00Z"},
        {"happened_at": "2999-01-01T00:00:00Z"},
        {"happened_at": "2026-01-01T00:00:00"},
        {"votes": 5},
        {"id": "fbk_mine"},
    ],
)
async def test_feedback_out_of_bounds_is_refused(feedback: Feedback, wrong: dict[str, Any]) -> None:
    answer = await feedback.client.post("/v1/feedback", json={**SAID, **wrong})
    assert answer.status_code == 422
    assert (await feedback.get("/v1/feedback"))["items"] == []


async def test_feedback_about_an_unknown_theme_is_refused_whole(feedback: Feedback) -> None:
    answer = await feedback.client.post("/v1/feedback", json={**SAID, "theme_id": "thm_x"})
    assert answer.status_code == 404
    assert (await feedback.get("/v1/feedback"))["items"] == []
