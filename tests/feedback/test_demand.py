"""The demand detector, given voices."""

import random

from services.feedback.detection.demand import DemandPolicy, Voice, assess_demand
from tests.feedback.conftest import day

POLICY = DemandPolicy(window_days=30, on=6, off=4, min_voices=2, quiet_days=5)


def customers(*days: float) -> list[Voice]:
    return [Voice(day(n), f"account {index}", "customer") for index, n in enumerate(days)]


def test_it_rises_with_the_voice_that_brings_enough_points() -> None:
    found = assess_demand(customers(0, 3), POLICY, day(4))
    assert (found.state, found.rises[0].rose_at) == ("escalated", day(3))
    assert found.reasons[0].name == "demand"
    assert found.reasons[0].numbers["points"] == 6


def test_too_few_points_say_so_beside_the_threshold() -> None:
    (reason,) = assess_demand(customers(0), POLICY, day(4)).reasons
    assert (reason.name, reason.numbers["points"], reason.numbers["on"]) == (
        "too_little_demand",
        3,
        6,
    )


def test_one_voice_alone_never_raises_a_theme() -> None:
    loud = [Voice(day(n), "account 0", "customer") for n in range(9)]
    (reason,) = assess_demand(loud, POLICY, day(10)).reasons
    assert reason.name == "too_few_voices"


def test_it_falls_only_after_staying_below_off_for_the_quiet_time() -> None:
    voices = customers(0, 3)
    assert assess_demand(voices, POLICY, day(34)).state == "escalated"
    found = assess_demand(voices, POLICY, day(36))
    assert (found.state, found.rises[0].fell_at) == ("quiet", day(35))


def test_between_off_and_on_it_stays_what_it_was() -> None:
    votes = [Voice(day(3 + n), f"voter {n}", "vote") for n in range(4)]
    found = assess_demand([*customers(0), *votes], POLICY, day(32))
    assert found.numbers["points"] == 4
    assert found.state == "escalated"


def test_a_dismissal_ends_it_until_the_demand_has_grown() -> None:
    voices = customers(0, 3, 6, 9)
    assert assess_demand(voices[:2], POLICY, day(5), day(4)).reasons[0].name == "dismissed"
    found = assess_demand(voices, POLICY, day(10), day(4))
    assert [rise.rose_at for rise in found.rises] == [day(3), day(6)]
    assert found.rises[0].fell_because == "dismissed"


def test_what_comes_after_as_of_does_not_count() -> None:
    assert assess_demand(customers(0, 3), POLICY, day(2)).state == "quiet"


def test_the_order_of_voices_changes_nothing() -> None:
    rng = random.Random(3)
    voices = customers(*(rng.random() * 90 for _ in range(20)))
    wanted = assess_demand(voices, POLICY, day(100), day(40))
    for _ in range(10):
        rng.shuffle(voices)
        assert assess_demand(voices, POLICY, day(100), day(40)) == wanted
