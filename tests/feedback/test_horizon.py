"""What moves the horizon: that something began, or what a person does; ends follow it, they don't lead."""

from datetime import datetime, timedelta
from typing import Any

from shared.clock import parse_rfc3339
from shared.contracts import roadmap
from tests.feedback.conftest import (
    Feedback,
    candidate,
    day,
    delivered,
    opened,
    recurring,
    redated,
    resolved,
)


async def as_of(feedback: Feedback) -> datetime:
    return parse_rfc3339((await feedback.get("/v1/themes/summary"))["as_of"])


async def test_closings_that_run_on_for_months_make_no_theme_quiet(feedback: Feedback) -> None:
    await feedback.hear(*recurring(8))
    closings = [resolved(f"inc_{n}", 2, day(20 + 15 * n), day(n)) for n in range(8)]
    for one in closings:
        await feedback.hear(one)
        await feedback.review()
    await feedback.settle()
    theme = await feedback.the_theme()
    assert theme["state"] == "escalated"
    assert "theme.quieted" not in await feedback.types()
    assert theme["evidence"]["opened_28d"] == 8


async def test_the_end_of_what_began_today_counts_today(feedback: Feedback) -> None:
    ended = day(0) + timedelta(hours=2)
    await feedback.hear(opened("inc_1", day(0)), resolved("inc_1", 2, ended, day(0)))
    assert await as_of(feedback) == ended
    assert (await feedback.the_theme())["evidence"]["open"] == 0


async def test_an_end_moves_the_horizon_by_a_day_at_most_in_whatever_order_it_comes(
    feedback: Feedback,
) -> None:
    await feedback.hear(opened("inc_1", day(0)), resolved("inc_1", 2, day(90), day(0)))
    assert await as_of(feedback) == day(1)
    await feedback.hear(opened("inc_2", day(30)))
    assert await as_of(feedback) == day(31)
    await feedback.hear(opened("inc_3", day(89.5)))
    assert await as_of(feedback) == day(90)


async def test_a_beginning_that_was_corrected_is_a_beginning(feedback: Feedback) -> None:
    await feedback.hear(opened("inc_1", day(0)), redated("inc_1", 2, day(3), day(0)))
    assert await as_of(feedback) == day(3)


async def test_what_people_do_moves_the_horizon_and_what_the_roadmap_concludes_does_not(
    feedback: Feedback,
) -> None:
    await feedback.hear(opened("inc_1", day(0)))
    theme_id = (await feedback.the_theme())["id"]
    told: dict[str, Any] = {"score": 2.0, "was": 1.0, "cause": "more"}
    await feedback.hear_roadmap(candidate(roadmap.CandidateRescored, theme_id, 2, day(50), **told))
    assert await as_of(feedback) == day(0)
    await feedback.hear_roadmap(delivered([theme_id], day(9)))
    assert await as_of(feedback) == day(9)
    said = {"text": "It is slow", "kind": "customer", "author": "Ada", "theme_id": theme_id}
    await feedback.post("/v1/feedback", **said, happened_at=day(12).isoformat())
    assert await as_of(feedback) == day(12)
