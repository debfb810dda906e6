"""What the others are told of a theme: every rise, however it was heard of; and what is taken back."""

from typing import Any

from shared.contracts import roadmap
from tests.feedback.conftest import (
    Feedback,
    candidate,
    day,
    item,
    opened,
    reassigned,
    recurring,
    redated,
)

NUMBERED = {"theme.escalated", "theme.evidence_changed", "theme.quieted"}


async def told(feedback: Feedback, service: str = "payments") -> list[tuple[str, dict[str, Any]]]:
    said = await feedback.said()
    return [
        (type_, data) for type_, data in said if type_ in NUMBERED and data["service"] == service
    ]


async def test_a_rise_that_fell_within_one_batch_is_told_with_its_end(feedback: Feedback) -> None:
    await feedback.hear(*recurring(6), opened("far", day(100), service="search"))
    (rose, risen), (fell, fallen) = await told(feedback)
    assert (rose, fell) == ("theme.escalated", "theme.quieted")
    assert risen["reasons"][0]["detector"] == "recurrence"
    assert risen["rises"] == fallen["rises"]
    (rise,) = fallen["rises"]
    assert (rise["rose_at"], rise["fell_at"]) == (risen["at"], fallen["at"])
    assert rise["last_at"] == "2026-03-07T09:00:00Z"
    assert (await feedback.the_theme_of("payments"))["state"] == "quiet"


async def test_every_telling_names_all_the_rises(feedback: Feedback) -> None:
    again = recurring(9, first=120, prefix="again")
    await feedback.hear(*recurring(6), *again)
    _, last = (await told(feedback))[-1]
    first, second = last["rises"]
    assert first["fell_at"] is not None
    assert second["fell_at"] is None
    assert (first["reasons"], len(second["reasons"]) >= 3) == ([], True)


async def test_what_late_corrections_take_back_is_told(feedback: Feedback) -> None:
    await feedback.hear(*recurring(5))
    await feedback.hear(*[redated(f"inc_{n}", 2, day(-200 * n), day(n)) for n in range(2, 5)])
    rose, (fell, fallen) = await told(feedback)
    assert (rose[0], fell, fallen["rises"]) == ("theme.escalated", "theme.quieted", [])
    assert fallen["reasons"][0]["name"] == "too_few"


async def test_a_theme_that_took_in_one_the_others_know_of_is_told_though_it_never_rose(
    feedback: Feedback,
) -> None:
    stray = {"service": "unassigned", "product": "unassigned"}
    await feedback.hear(*recurring(5, **stray))
    apart = [reassigned(f"inc_{n}", 2, day(5), f"service-{n % 3}") for n in range(5)]
    await feedback.hear(*apart)
    merged = [data for type_, data in await feedback.said() if type_ == "theme.merged"]
    into = {theme["id"]: theme["service"] for theme in await feedback.themes()}
    service = into[merged[0]["into_theme_id"]]
    ((type_, data),) = await told(feedback, service)
    assert (type_, data["rises"]) == ("theme.evidence_changed", [])


async def test_a_theme_that_the_roadmap_names_is_told_though_it_never_rose(
    feedback: Feedback,
) -> None:
    await feedback.hear(*recurring(2))
    assert await told(feedback) == []
    theme_id = (await feedback.the_theme())["id"]
    await feedback.hear_roadmap(item(roadmap.ItemPlanned, [theme_id], 1, day(3)))
    await feedback.review()
    ((type_, data),) = await told(feedback)
    assert (type_, data["evidence"]["total"], data["rises"]) == ("theme.evidence_changed", 2, [])


async def test_a_withdrawn_candidate_is_shown_and_counted_no_more(feedback: Feedback) -> None:
    await feedback.hear(*recurring(6))
    theme = await feedback.the_theme()
    reasons = [{"detector": "recurrence", "name": "count", "text": "six"}]
    await feedback.hear_roadmap(
        candidate(roadmap.CandidateRaised, theme["id"], 1, day(6), score=1.0, reasons=reasons)
    )
    assert (await feedback.the_theme())["candidate_state"] == "open"
    (before,) = (await feedback.get("/v1/calibration"))["detectors"]
    await feedback.hear_roadmap(
        candidate(roadmap.CandidateWithdrawn, theme["id"], 2, day(7), reason="it never rose")
    )
    assert (await feedback.the_theme())["candidate_id"] is None
    (after,) = (await feedback.get("/v1/calibration"))["detectors"]
    assert (before["candidates"], after["candidates"]) == (1, 0)
