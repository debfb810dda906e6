"""What was delivered is measured by event time, and its verdict is said when there is one."""

import random
from datetime import timedelta
from typing import Any

from shared.contracts import roadmap
from shared.envelope import Event
from tests.feedback.conftest import Feedback, candidate, day, delivered, item, opened, recurring

DELIVERED = 60.0


def often(prefix: str, first: float, last: float, a_week: float, **said: Any) -> list[Event]:
    """Incidents at about this pace, at odd but fixed times."""
    rng = random.Random(prefix)
    count = round((last - first) / 7 * a_week)
    times = sorted(first + rng.random() * (last - first) for _ in range(count))
    return [opened(f"{prefix}_{n}", day(at), **said) for n, at in enumerate(times)]


def neighbours() -> list[Event]:
    """Other themes of the product that go on as before."""
    found: list[Event] = []
    for n in range(4):
        found += often(f"n{n}", 0, 120, 3, service=f"neighbour-{n}", title="Something else")
    return found


async def delivery(feedback: Feedback, *more: Event, **said: Any) -> Any:
    """A theme that hurt often, a delivery for it at DELIVERED, and what came then."""
    await feedback.hear(*often("b", 0, DELIVERED, 6))
    (theme,) = await feedback.themes()
    await feedback.hear_roadmap(delivered([theme["id"]], day(DELIVERED), **said))
    await feedback.hear(*more, *neighbours())
    await feedback.review()
    return theme


async def the_outcome(feedback: Feedback) -> Any:
    (outcome,) = (await feedback.get("/v1/outcomes"))["items"]
    return outcome


async def test_a_delivery_is_answered_at_once_with_too_little_evidence(feedback: Feedback) -> None:
    await feedback.hear(*recurring(6))
    theme = await feedback.the_theme()
    await feedback.hear_roadmap(delivered([theme["id"]], day(6), release="v2"))
    outcome = await the_outcome(feedback)
    assert (outcome["verdict"], outcome["reason"], outcome["final"]) == (
        "insufficient_evidence",
        "too_early",
        False,
    )
    assert (outcome["release"], outcome["theme_ids"]) == ("v2", [theme["id"]])
    assert (await feedback.types())[-1] == "outcome.assessed"


async def test_what_stopped_hurting_while_others_went_on_is_verified(feedback: Feedback) -> None:
    theme = await delivery(feedback, *often("a", DELIVERED, 118, 1))
    outcome = await the_outcome(feedback)
    assert (outcome["verdict"], outcome["final"]) == ("verified", True)
    assert outcome["numbers"]["untreated_of_product"] == 1
    assert outcome["numbers"]["untreated_themes"] == 4
    assert "Held against 4 other themes of the product." in outcome["text"]
    assert outcome["expected_reduction"] == 0.5
    assert (await feedback.get("/v1/outcomes", theme_id=theme["id"]))["items"] == [outcome]
    said = [data for type_, data in await feedback.said() if type_ == "outcome.assessed"]
    assert (said[-1]["verdict"], said[-1]["final"]) == ("verified", True)


async def test_what_hurts_more_than_before_is_regressed(feedback: Feedback) -> None:
    await delivery(feedback, *often("a", DELIVERED, 118, 16))
    assert (await the_outcome(feedback))["verdict"] == "regressed"


async def test_a_sibling_that_took_over_the_pain_is_named(feedback: Feedback) -> None:
    moved = often("m", DELIVERED, 118, 6, title="Checkout fails")
    early = often("e", 0, DELIVERED, 1, title="Checkout fails")
    await delivery(feedback, *early, *often("a", DELIVERED, 118, 1), *moved)
    assert (await the_outcome(feedback))["verdict"] == "displaced"


async def test_without_other_themes_of_the_product_all_others_are_the_measure(
    feedback: Feedback,
) -> None:
    elsewhere = often("x", 0, 120, 9, product="Search", service="search")
    await feedback.hear(*often("b", 0, DELIVERED, 6), *elsewhere)
    (theme,) = await feedback.themes(product="Checkout")
    await feedback.hear_roadmap(delivered([theme["id"]], day(DELIVERED)))
    outcome = await the_outcome(feedback)
    assert outcome["numbers"]["untreated_of_product"] == 0
    assert "1 other theme of all products" in outcome["text"]


async def test_a_theme_with_a_delivery_of_its_own_is_no_measure_for_others(
    feedback: Feedback,
) -> None:
    await feedback.hear(*often("b", 0, DELIVERED, 6), *neighbours())
    treated, *others = sorted(await feedback.themes(), key=lambda one: one["service"] != "payments")
    for n, theme in enumerate(others[:3]):
        await feedback.hear_roadmap(delivered([theme["id"]], day(70), item_id=f"itm_other_{n}"))
    await feedback.hear_roadmap(delivered([treated["id"]], day(DELIVERED)))
    (outcome,) = (await feedback.get("/v1/outcomes", item_id="itm_1"))["items"]
    assert outcome["numbers"]["untreated_themes"] == 1


async def test_a_delivery_heard_of_late_is_judged_by_event_times_alone(feedback: Feedback) -> None:
    after = often("a", DELIVERED, 118, 1)
    await feedback.hear(*often("b", 0, DELIVERED, 6), *after, *neighbours())
    (theme,) = await feedback.themes(service="payments")
    await feedback.hear_roadmap(delivered([theme["id"]], day(DELIVERED)))
    late = await the_outcome(feedback)
    assert (late["verdict"], late["final"]) == ("verified", True)


async def test_late_evidence_of_the_time_watched_is_judged_even_after_the_end(
    feedback: Feedback,
) -> None:
    await delivery(feedback, *often("a", DELIVERED, 118, 1))
    before = await the_outcome(feedback)
    await feedback.hear(*often("late", DELIVERED, 115, 6))
    await feedback.review()
    after = await the_outcome(feedback)
    assert after["numbers"]["count_after"] > before["numbers"]["count_after"]
    assert after["verdict"] != "verified"
    history = (await feedback.get(f"/v1/outcomes/{after['id']}"))["history"]
    assert [one["version"] for one in history] == list(range(after["version"], 0, -1))
    assert history[1]["verdict"] == "verified"


async def test_a_look_that_finds_nothing_new_says_nothing(feedback: Feedback) -> None:
    await delivery(feedback, *often("a", DELIVERED, 80, 1))
    before = await feedback.types()
    await feedback.review()
    await feedback.review()
    assert await feedback.types() == before


async def test_the_verdict_comes_due_by_event_time_though_nothing_happens(
    feedback: Feedback,
) -> None:
    await feedback.hear(*often("b", 0, DELIVERED, 6))
    (theme,) = await feedback.themes()
    await feedback.hear_roadmap(delivered([theme["id"]], day(DELIVERED)))
    await feedback.hear(*neighbours())
    await feedback.review()
    outcome = await the_outcome(feedback)
    assert (outcome["final"], outcome["numbers"]["count_after"]) == (True, 0)


async def test_a_redelivered_delivery_starts_no_second_outcome(feedback: Feedback) -> None:
    await feedback.hear(*recurring(6))
    theme = await feedback.the_theme()
    once = delivered([theme["id"]], day(6))
    await feedback.hear_roadmap(once)
    await feedback.hear_roadmap(once, delivered([theme["id"]], day(6), version=4))
    assert (await feedback.get("/v1/outcomes/summary"))["outcomes"] == 1


async def test_a_senseless_expectation_holds_up_nothing(feedback: Feedback) -> None:
    await feedback.hear_roadmap(delivered(["thm_unknown"], day(6), expected_reduction=7.0))
    assert (await the_outcome(feedback))["expected_reduction"] == 0.5


async def test_calibration_counts_what_became_of_what_a_detector_raised(
    feedback: Feedback,
) -> None:
    theme = await delivery(feedback, *often("a", DELIVERED, 118, 1))
    reason = {"detector": "recurrence", "name": "count", "text": "x"}
    await feedback.hear_roadmap(
        candidate(roadmap.CandidateRaised, theme["id"], 1, day(6), score=1.0, reasons=[reason]),
        candidate(roadmap.CandidateAccepted, theme["id"], 2, day(7), item_id="itm_1", by="ana"),
    )
    (record,) = (await feedback.get("/v1/calibration"))["detectors"]
    assert record["detector"] == "recurrence"
    assert (record["candidates"], record["accepted"], record["verified"]) == (1, 1, 1)
    assert record["themes_raised"] >= 1


async def test_an_item_is_shown_as_last_heard_whatever_comes_late(feedback: Feedback) -> None:
    await feedback.hear(*recurring(2))
    theme = await feedback.the_theme()
    await feedback.hear_roadmap(
        item(roadmap.ItemStarted, [theme["id"]], 3, day(5), state="started"),
        item(roadmap.ItemPlanned, [theme["id"]], 1, day(3)),
    )
    assert (await feedback.the_theme())["item"]["state"] == "started"
    gone = item(roadmap.ItemChanged, [], 4, day(5) + timedelta(hours=1), state="started")
    await feedback.hear_roadmap(gone)
    assert (await feedback.the_theme())["item"] is None


async def test_silence_since_long_before_the_delivery_belongs_to_the_time_before(
    feedback: Feedback,
) -> None:
    await feedback.hear(opened("inc_old", day(0)), *recurring(8, first=75), opened("z", day(120)))
    theme = await feedback.the_theme()
    await feedback.hear_roadmap(delivered([theme["id"]], day(100)))
    assert (await the_outcome(feedback))["numbers"]["days_before"] == 56
