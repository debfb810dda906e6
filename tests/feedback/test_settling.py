"""Once events stop, what is stored and what was said last follow from the events, not from when the
timer looked, nor from how they were cut into batches."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from services.feedback.app import MIGRATIONS, create_app
from shared.envelope import Event
from tests.conftest import MakeDatabase, MovingClock, client_of, signed_in
from tests.feedback.conftest import (
    Feedback,
    day,
    delivered,
    opened,
    recurring,
    redated,
    resolved,
)

DELIVERED = 60.0
NEIGHBOURS = 4

Batches = list[list[Event]]


def steady(prefix: str, first: float, last: float, a_week: float, **said: Any) -> list[Event]:
    """Incidents at about this pace, at odd but fixed times."""
    rng = random.Random(prefix)
    count = round((last - first) / 7 * a_week)
    times = sorted(first + rng.random() * (last - first) for _ in range(count))
    return [opened(f"{prefix}_{n}", day(at), **said) for n, at in enumerate(times)]


def neighbours(prefix: str, first: float, last: float) -> list[Event]:
    """Other themes of the product that go on as before."""
    return [
        one
        for n in range(NEIGHBOURS)
        for one in steady(f"{prefix}{n}", first, last, 4, service=f"near-{n}", title="Else")
    ]


def after_delivery() -> list[Event]:
    """The treated theme all but stops, its neighbours go on, some incidents turn out to have begun
    at another time, and the newest event is no evidence of the time watched."""
    treated, beside = steady("a", 60, 88, 0.25), neighbours("m", 60, 88)
    corrected = [
        redated("n0_3", 2, day(61), day(20)),
        redated("b_5", 2, day(62), day(15)),
        redated(beside[2].subject, 2, day(30), beside[2].time),
    ]
    return [*treated, *beside, *corrected, resolved("old", 2, day(87), day(1))]


def shuffled(seed: int, events: Sequence[Event], largest: int) -> Batches:
    """Batches in some order that keeps each incident's own events in theirs."""
    rng = random.Random(seed)
    lives: dict[str, list[Event]] = {}
    for one in events:
        lives.setdefault(one.subject, []).append(one)
    slots = [subject for subject, life in lives.items() for _ in life]
    rng.shuffle(slots)
    mixed = [lives[subject].pop(0) for subject in slots]
    found: Batches = []
    while mixed:
        size = rng.randint(1, largest)
        found.append(mixed[:size])
        mixed = mixed[size:]
    return found


def cuts(events: Sequence[Event], first: str) -> dict[str, tuple[Batches, bool]]:
    """The same events, and whether the timer looks after each batch: at once; those of the incidents
    that begin with `first` before or after all others; in some order, with and without looks."""
    ahead = [one for one in events if one.subject.startswith(first)]
    rest = [one for one in events if not one.subject.startswith(first)]
    return {
        "at once": ([list(events)], False),
        "one ahead": ([ahead, rest], True),
        "the other ahead": ([rest, ahead], True),
        "the last alone": ([list(events[:-1]), [events[-1]]], True),
        "unwatched": (shuffled(1, events, 20), False),
        "watched": (shuffled(2, events, 20), True),
    }


async def heard(feedback: Feedback, batches: Batches, *, watched: bool) -> None:
    before = None
    for batch in batches:
        await feedback.hear(*batch)
        if watched:
            before = await feedback.review(before)
    await feedback.settle()


async def the_outcome(feedback: Feedback) -> dict[str, Any]:
    (outcome,) = (await feedback.get("/v1/outcomes"))["items"]
    return outcome


def settled(outcome: dict[str, Any]) -> dict[str, Any]:
    names = ("verdict", "reason", "final", "numbers", "text", "as_of")
    return {name: outcome[name] for name in names}


async def fresh(name: str, clock: MovingClock, make: MakeDatabase) -> Feedback:
    """One more service, over a database of its own."""
    db = await make(name, MIGRATIONS)
    return Feedback(db, client_of(signed_in(create_app(db, clock))), clock)


async def test_a_verdict_settles_whenever_it_was_looked_at(
    clock: MovingClock, make_database: MakeDatabase
) -> None:
    found: dict[str, Any] = {}
    for name, (batches, watched) in cuts(after_delivery(), first="a_").items():
        feedback = await fresh(name, clock, make_database)
        async with feedback.client:
            before = [*steady("b", 0, DELIVERED, 14), *neighbours("n", 0, DELIVERED)]
            await feedback.hear(*before, opened("old", day(1), service="old"))
            (theme,) = await feedback.themes(service="payments")
            await feedback.hear_roadmap(delivered([theme["id"]], day(DELIVERED)))
            await heard(feedback, batches, watched=watched)
            outcome = await the_outcome(feedback)
            said = [data for type_, data in await feedback.said() if type_ == "outcome.assessed"]
        found[name] = settled(outcome)
        assert (said[-1]["verdict"], said[-1]["final"]) == (outcome["verdict"], outcome["final"])
        for number, decimals in {"count_before": 0, "count_after": 0, "ratio_untreated": 1}.items():
            told, stored = said[-1]["numbers"][number], outcome["numbers"][number]
            assert round(told, decimals) == round(stored, decimals), (name, number)
    expected = found["at once"]
    assert (expected["verdict"], expected["final"]) == ("verified", False), expected["text"]
    assert expected["as_of"] == "2026-05-28T09:00:00Z"
    assert expected["numbers"]["ratio_untreated"] == pytest.approx(1, abs=0.2)
    assert {name: one for name, one in found.items() if one != expected} == {}


async def test_untreated_evidence_that_comes_late_renews_the_numbers(feedback: Feedback) -> None:
    await feedback.hear(*steady("b", 0, DELIVERED, 9), *neighbours("n", 0, DELIVERED))
    (theme,) = await feedback.themes(service="payments")
    await feedback.hear_roadmap(delivered([theme["id"]], day(DELIVERED)))
    beside = neighbours("m", 60, 88)
    half = [one for one in beside if one.subject < "m2"]
    await feedback.hear(*half, opened("far", day(88), product="Search", service="search"))
    await feedback.review()
    early = await the_outcome(feedback)
    await feedback.hear(*[one for one in beside if one not in half])
    await feedback.review()
    outcome = await the_outcome(feedback)
    assert early["numbers"]["ratio_untreated"] < 0.7
    assert outcome["numbers"]["ratio_untreated"] == pytest.approx(1, abs=0.2)
    assert outcome["version"] > early["version"]


async def test_late_untreated_evidence_corrects_even_a_final_verdict(feedback: Feedback) -> None:
    await feedback.hear(*steady("b", 0, DELIVERED, 9), *neighbours("n", 0, DELIVERED))
    (theme,) = await feedback.themes(service="payments")
    await feedback.hear_roadmap(delivered([theme["id"]], day(DELIVERED)))
    await feedback.hear(opened("far", day(130), product="Search", service="search"))
    await feedback.review()
    early = await the_outcome(feedback)
    await feedback.hear(*neighbours("m", 60, 116))
    await feedback.review()
    outcome = await the_outcome(feedback)
    assert (early["verdict"], early["final"]) == ("exposure_lost", True)
    assert (outcome["verdict"], outcome["final"]) == ("verified", True)


async def test_a_delivery_that_is_heard_of_later_takes_its_theme_out_of_the_measure(
    feedback: Feedback,
) -> None:
    await feedback.hear(*steady("b", 0, 90, 6), *neighbours("n", 0, 90))
    (theme,) = await feedback.themes(service="payments")
    (other,) = await feedback.themes(service="near-1")
    await feedback.hear_roadmap(delivered([theme["id"]], day(DELIVERED)))
    await feedback.hear_roadmap(delivered([other["id"]], day(70), item_id="itm_other"))
    await feedback.review()
    (outcome,) = (await feedback.get("/v1/outcomes", item_id="itm_1"))["items"]
    assert outcome["numbers"]["untreated_themes"] == NEIGHBOURS - 1


async def test_what_is_no_evidence_of_the_time_watched_changes_no_final_verdict(
    feedback: Feedback,
) -> None:
    await feedback.hear(*steady("b", 0, DELIVERED, 9), *neighbours("n", 0, 116))
    (theme,) = await feedback.themes(service="payments")
    await feedback.hear_roadmap(delivered([theme["id"]], day(DELIVERED)))
    await feedback.hear(opened("far", day(130), service="new", title="Another"))
    await feedback.settle()
    before = await the_outcome(feedback)
    await feedback.hear(*[opened(f"new_{n}", day(140 + n), service=f"new-{n}") for n in range(9)])
    await feedback.settle()
    assert await the_outcome(feedback) == before


NUMBERED = {"theme.escalated", "theme.evidence_changed", "theme.quieted"}


async def told(feedback: Feedback) -> dict[str, list[dict[str, Any]]]:
    """The numbers that were published of each theme, by its service."""
    found: dict[str, list[dict[str, Any]]] = {}
    for type_, data in await feedback.said():
        if type_ in NUMBERED:
            found.setdefault(data["service"], []).append(data["evidence"])
    return found


def comparable(evidence: dict[str, Any]) -> dict[str, Any]:
    """The numbers without those that only say as of when they are."""
    left_out = {"as_of"} if evidence["opened_14d"] else {"as_of", "earlier_days"}
    return {name: value for name, value in evidence.items() if name not in left_out}


def rising() -> list[Event]:
    return [
        *recurring(8),
        *recurring(8, prefix="s", service="search"),
        *recurring(8, prefix="m", service="mail"),
    ]


def later_on() -> list[Event]:
    """One theme goes on, one stopped, and one has a few more, of which one began at another time."""
    return [
        *steady("on", 8, 60, 4, service="search"),
        *steady("few", 8, 30, 2, service="mail"),
        redated("m_2", 2, day(9.5), day(2)),
        *[resolved(f"inc_{n}", 2, day(n + 0.5), day(n)) for n in range(8)],
    ]


async def test_the_numbers_told_of_a_theme_settle_whenever_it_was_looked_at(
    clock: MovingClock, make_database: MakeDatabase
) -> None:
    found: dict[str, Any] = {}
    for name, (batches, watched) in cuts(later_on(), first="on").items():
        feedback = await fresh(name, clock, make_database)
        async with feedback.client:
            await feedback.hear(*rising())
            await heard(feedback, batches, watched=watched)
            published = await told(feedback)
        found[name] = {service: comparable(some[-1]) for service, some in published.items()}
    expected = found["at once"]
    assert expected.keys() == {"payments", "search", "mail"}
    assert (expected["payments"]["opened_28d"], expected["payments"]["total"]) == (0, 8)
    assert expected["search"]["opened_28d"] > 5
    assert {name: one for name, one in found.items() if one != expected} == {}


async def test_the_numbers_of_a_theme_that_stopped_hurting_decay(feedback: Feedback) -> None:
    await feedback.hear(*recurring(8))
    for days in range(8, 45):
        await feedback.hear(opened(f"far_{days}", day(days), product="Search", service="search"))
        await feedback.review()
    numbers = (await told(feedback))["payments"]
    opened_28d = [one["opened_28d"] for one in numbers]
    assert opened_28d == sorted(opened_28d, reverse=True)
    assert (opened_28d[0], opened_28d[-1]) == (8, 0)


async def test_while_events_come_in_numbers_are_told_anew_once_a_day_of_event_time(
    feedback: Feedback,
) -> None:
    await feedback.hear(*recurring(8))
    before = await feedback.types()
    for hours in range(1, 50):
        at = day(7) + timedelta(hours=hours)
        await feedback.hear(opened(f"far_{hours}", at, service=f"quiet-{hours}"))
        await feedback.review()
    after = (await feedback.types())[len(before) :]
    assert 1 <= after.count("theme.evidence_changed") <= 2


async def test_a_quiet_system_tells_new_numbers_once_and_equal_ones_never(
    feedback: Feedback,
) -> None:
    await feedback.hear(*recurring(8))
    await feedback.hear(*[resolved(f"inc_{n}", 2, day(n + 0.1), day(n)) for n in range(8)])
    await feedback.hear(opened("far_1", day(7.2), service="search"))
    before = await feedback.types()
    await feedback.settle()
    assert await feedback.types() == before
    await feedback.hear(opened("far_2", day(8.1), service="search"))
    await feedback.review()
    assert (await feedback.types()).count("theme.evidence_changed") == before.count(
        "theme.evidence_changed"
    )
    await feedback.settle()
    await feedback.settle()
    types = await feedback.types()
    assert types.count("theme.evidence_changed") == before.count("theme.evidence_changed") + 1


async def test_numbers_are_never_as_of_a_time_before_the_evidence_they_count(
    feedback: Feedback,
) -> None:
    """Another partition ran ahead: the rise lies far back when it is heard of, in two parts."""
    await feedback.hear(opened("far", day(20), service="search"))
    await feedback.hear(*recurring(6))
    await feedback.hear(opened("far_2", day(60), service="search"))
    await feedback.hear(*recurring(20, first=6, prefix="more"))
    await feedback.settle()
    numbers = (await told(feedback))["payments"]
    assert [one["as_of"] for one in numbers[:2]] == ["2026-03-22T09:00:00Z", "2026-05-01T09:00:00Z"]
    assert all(one["last_at"] <= one["as_of"] for one in numbers)
    assert (numbers[0]["total"], numbers[-1]["total"]) == (6, 26)
    assert numbers[-1]["opened_28d"] == 0


def test_the_cuts_hold_the_same_events() -> None:
    events = after_delivery()
    wanted = sorted(one.id for one in events)
    for batches, _ in cuts(events, first="a_").values():
        assert [one for batch in batches for one in batch] != []
        assert sorted(one.id for batch in batches for one in batch) == wanted


async def test_an_incident_redated_out_of_the_time_watched_is_counted_no_longer(
    feedback: Feedback,
) -> None:
    await feedback.hear(*steady("b", 0, DELIVERED, 9), opened("late", day(70)))
    theme = await feedback.the_theme()
    await feedback.hear_roadmap(delivered([theme["id"]], day(DELIVERED)))
    await feedback.hear(opened("far", day(130), product="Search", service="search"))
    await feedback.review()
    before = await the_outcome(feedback)
    await feedback.hear(redated("late", 2, day(125), day(70)))
    await feedback.review()
    after = await the_outcome(feedback)
    assert (before["numbers"]["count_after"], after["numbers"]["count_after"]) == (1, 0)
    await feedback.hear(redated("late", 3, day(80), day(125)))
    await feedback.review()
    assert (await the_outcome(feedback))["numbers"]["count_after"] == 1
