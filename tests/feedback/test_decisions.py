"""People merge and split themes; evidence follows, and the decision is kept."""

from typing import Any

import pytest
from sqlalchemy import select

from services.feedback.themes.store import theme_keys
from shared.contracts import roadmap
from tests.feedback.conftest import Feedback, candidate, day, item, opened, recurring


async def two_themes(feedback: Feedback) -> tuple[Any, Any]:
    """A theme of three incidents, and one of two at the same service."""
    await feedback.hear(*recurring(3))
    await feedback.hear(*recurring(2, first=5, prefix="oth", title="Payment form hangs"))
    (large,) = await feedback.themes(q="slowly")
    (small,) = await feedback.themes(q="hangs")
    return large, small


async def merge(feedback: Feedback, theme: Any, into: Any) -> Any:
    return await feedback.post(f"/v1/themes/{theme['id']}/merge", into=into["id"], reason="same")


async def test_a_merge_moves_evidence_and_keys_and_may_raise_the_target(
    feedback: Feedback,
) -> None:
    large, small = await two_themes(feedback)
    before = len(await feedback.said())
    merged = await merge(feedback, small, large)
    assert (merged["id"], merged["evidence_count"], merged["state"]) == (
        large["id"],
        5,
        "escalated",
    )
    said = (await feedback.said())[before:]
    assert [type_ for type_, _ in said] == ["theme.merged", "evidence.recorded", "theme.escalated"]
    assert said[0][1]["by"] == "tester"
    assert said[1][1]["incident_ids"] == ["oth_0", "oth_1"]
    await feedback.hear(opened("oth_9", day(9), title="Payment form hangs"))
    assert (await feedback.the_theme())["evidence_count"] == 6
    assert (await feedback.the_theme())["title"] == "Checkout answers slowly"
    async with feedback.db.read() as conn:
        assert set((await conn.execute(select(theme_keys.c.theme_id))).scalars()) == {large["id"]}


async def test_both_sides_of_a_merge_keep_who_decided_so_and_why(feedback: Feedback) -> None:
    large, small = await two_themes(feedback)
    await merge(feedback, small, large)
    for theme in (large, small):
        (decision,) = (await feedback.get(f"/v1/themes/{theme['id']}"))["decisions"]
        assert (decision["kind"], decision["by"], decision["reason"]) == ("merge", "tester", "same")
        assert (decision["theme_id"], decision["other_theme_id"]) == (small["id"], large["id"])


async def test_a_merge_of_a_merge_leads_to_the_last_target(feedback: Feedback) -> None:
    large, small = await two_themes(feedback)
    await feedback.hear(opened("thd_0", day(6), title="Card declined"))
    (third,) = await feedback.themes(q="declined")
    await merge(feedback, small, large)
    await merge(feedback, large, third)
    assert (await feedback.get(f"/v1/themes/{small['id']}"))["merged_into"] == third["id"]
    assert (await feedback.the_theme())["evidence_count"] == 6


async def test_the_candidate_and_the_item_of_a_merged_theme_follow(feedback: Feedback) -> None:
    large, small = await two_themes(feedback)
    await feedback.hear_roadmap(
        candidate(roadmap.CandidateRaised, small["id"], 1, day(7), score=1.0, reasons=[]),
        item(roadmap.ItemPlanned, [small["id"]], 1, day(7)),
    )
    await merge(feedback, small, large)
    theme = await feedback.the_theme()
    assert (theme["candidate_id"], theme["candidate_state"]) == ("cnd_1", "open")
    assert theme["item"]["item_id"] == "itm_1"
    await feedback.hear_roadmap(
        candidate(roadmap.CandidateAccepted, small["id"], 2, day(8), item_id="itm_1", by="ana")
    )
    assert (await feedback.the_theme())["candidate_state"] == "accepted"


@pytest.mark.parametrize(
    ("into", "status", "slug"),
    [
        ("itself", 422, "theme-merged-into-itself"),
        ("thm_unknown", 404, "theme-unknown"),
        ("merged", 409, "theme-already-merged"),
        ("other product", 409, "themes-of-different-products"),
    ],
)
async def test_an_impossible_merge_is_refused_with_what_to_do(
    feedback: Feedback, into: str, status: int, slug: str
) -> None:
    large, small = await two_themes(feedback)
    await feedback.hear(opened("far_0", day(6), product="Search"))
    await feedback.hear(opened("thd_0", day(6), title="Card declined"))
    (third,) = await feedback.themes(q="declined")
    await merge(feedback, small, third)
    (far,) = await feedback.themes(product="Search")
    target = {"itself": large["id"], "merged": small["id"], "other product": far["id"]}
    answer = await feedback.client.post(
        f"/v1/themes/{large['id']}/merge", json={"into": target.get(into, into), "reason": "x"}
    )
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (status, slug)
    assert answer.json()["detail"].endswith(".")


async def test_a_split_takes_the_named_evidence_and_leaves_the_keys(feedback: Feedback) -> None:
    await feedback.hear(*recurring(7))
    theme = await feedback.the_theme()
    rows = (await feedback.get(f"/v1/themes/{theme['id']}/evidence"))["items"]
    wanted = [row["id"] for row in rows[:2]]
    before = len(await feedback.said())
    new = await feedback.post(
        f"/v1/themes/{theme['id']}/split", evidence_ids=wanted, title="Card limits", reason="other"
    )
    assert (new["title"], new["evidence_count"], new["state"]) == ("Card limits", 2, "quiet")
    said = (await feedback.said())[before:]
    assert sorted(type_ for type_, _ in said) == [
        "evidence.recorded",
        "theme.evidence_changed",
        "theme.split",
    ]
    await feedback.hear(opened("inc_later", day(9)))
    sizes = {one["title"]: one["evidence_count"] for one in await feedback.themes()}
    assert sizes == {"Card limits": 2, "Checkout answers slowly": 6}
    (decision,) = (await feedback.get(f"/v1/themes/{new['id']}"))["decisions"]
    assert decision["evidence_ids"] == sorted(wanted)


async def test_a_split_of_foreign_evidence_or_of_everything_is_refused(feedback: Feedback) -> None:
    await feedback.hear(*recurring(2))
    theme = await feedback.the_theme()
    rows = (await feedback.get(f"/v1/themes/{theme['id']}/evidence"))["items"]
    for ids in (["evd_unknown"], [row["id"] for row in rows]):
        answer = await feedback.client.post(
            f"/v1/themes/{theme['id']}/split",
            json={"evidence_ids": ids, "title": "x", "reason": "y"},
        )
        assert answer.status_code == 422
    assert (await feedback.the_theme())["evidence_count"] == 2


async def test_a_merge_by_a_stale_version_is_refused(feedback: Feedback) -> None:
    large, small = await two_themes(feedback)
    answer = await feedback.client.post(
        f"/v1/themes/{small['id']}/merge",
        json={"into": large["id"], "reason": "x"},
        headers={"If-Match": '"99"'},
    )
    assert answer.status_code == 412
    assert len(await feedback.themes()) == 2


async def test_a_repeated_merge_with_one_key_merges_once(feedback: Feedback) -> None:
    large, small = await two_themes(feedback)
    answers = [
        await feedback.client.post(
            f"/v1/themes/{small['id']}/merge",
            json={"into": large["id"], "reason": "x"},
            headers={"Idempotency-Key": "once"},
        )
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert (await feedback.types()).count("theme.merged") == 1


async def test_a_declined_candidate_ends_the_rise_until_the_evidence_has_grown(
    feedback: Feedback,
) -> None:
    await feedback.hear(*recurring(6))
    theme = await feedback.the_theme()
    await feedback.hear_roadmap(
        candidate(
            roadmap.CandidateDeclined, theme["id"], 1, day(6), by="ana", reason="not worth it"
        )
    )
    dismissed = await feedback.the_theme()
    assert (dismissed["state"], dismissed["candidate_state"]) == ("quiet", "declined")
    assert dismissed["reasons"][0]["name"] == "dismissed"
    await feedback.hear(*recurring(2, first=7, prefix="few"))
    assert (await feedback.the_theme())["state"] == "quiet"
    await feedback.hear(*recurring(4, first=9, prefix="more"))
    assert (await feedback.the_theme())["state"] == "escalated"
    types = await feedback.types()
    assert (types.count("theme.escalated"), types.count("theme.quieted")) == (2, 1)


async def test_an_older_decline_that_is_heard_late_does_not_replace_a_newer_one(
    feedback: Feedback,
) -> None:
    await feedback.hear(*recurring(6))
    theme = await feedback.the_theme()
    for version, at in ((1, day(6)), (2, day(3))):
        await feedback.hear_roadmap(
            candidate(roadmap.CandidateDeclined, theme["id"], version, at, by="ana", reason="no")
        )
    assert (await feedback.the_theme())["dismissed_at"] == "2026-03-08T09:00:00Z"
