"""Incidents become evidence of themes, and themes rise and fall."""

from datetime import timedelta

import pytest
import sqlalchemy

from shared.contracts import incidents, roadmap
from shared.database import Database
from tests.feedback.conftest import (
    Feedback,
    candidate,
    day,
    of_incident,
    opened,
    reassigned,
    recurring,
    redated,
    resolved,
)


async def test_one_incident_makes_a_quiet_theme_that_says_what_stands_in_the_way(
    feedback: Feedback,
) -> None:
    await feedback.hear(opened("inc_1", day(0), customers_affected=40, severity="high"))
    theme = await feedback.the_theme()
    assert (theme["state"], theme["evidence_count"]) == ("quiet", 1)
    assert (theme["product"], theme["service"]) == ("Checkout", "payments")
    assert theme["reasons"][0]["name"] == "too_few"
    assert await feedback.types() == ["evidence.recorded"]


async def test_a_recurring_incident_makes_its_theme_rise_once(feedback: Feedback) -> None:
    for one in recurring(7):
        await feedback.hear(one)
    theme = await feedback.the_theme()
    assert theme["state"] == "escalated"
    said = await feedback.said()
    escalated = [data for type_, data in said if type_ == "theme.escalated"]
    assert len(escalated) == 1
    assert escalated[0]["at"] == theme["rose_at"] == "2026-03-06T09:00:00Z"
    assert escalated[0]["reasons"][0]["detector"] == "recurrence"
    assert escalated[0]["evidence"]["total"] == 5
    assert [type_ for type_, _ in said[-2:]] == ["evidence.recorded", "theme.evidence_changed"]


async def test_a_redelivered_or_stale_event_changes_nothing(feedback: Feedback) -> None:
    first, worse = opened("inc_1", day(0)), resolved("inc_1", 3, day(1), day(0))
    await feedback.hear(first, worse)
    before, said = await feedback.the_theme(), await feedback.types()
    await feedback.hear(first, worse, resolved("inc_1", 2, day(0.5), day(0)))
    assert await feedback.the_theme() == before
    assert await feedback.types() == said


async def test_a_resolution_gives_impact_and_a_reopening_takes_the_end_back(
    feedback: Feedback,
) -> None:
    await feedback.hear(
        opened("inc_1", day(0), customers_affected=10, tier=1),
        resolved("inc_1", 2, day(0) + timedelta(hours=1), day(0)),
    )
    theme = await feedback.the_theme()
    assert theme["evidence"]["impact_minutes_total"] == 60 * 10 * 4
    assert theme["evidence"]["open"] == 0
    again = day(0) + timedelta(hours=3)
    await feedback.hear(of_incident(incidents.IncidentReopened, "inc_1", 3, again))
    theme = await feedback.the_theme()
    assert theme["evidence"]["open"] == 1
    assert theme["evidence"]["impact_minutes_total"] == 180 * 10 * 4
    (row,) = (await feedback.get(f"/v1/themes/{theme['id']}/evidence"))["items"]
    assert row["ended_at"] is None


async def test_what_is_learnt_later_stands_beside_what_was_known_then(feedback: Feedback) -> None:
    await feedback.hear(
        opened("inc_1", day(0), severity="low"),
        of_incident(
            incidents.IncidentSeverityChanged, "inc_1", 2, day(0.1), severity="critical", was="low"
        ),
        of_incident(
            incidents.IncidentImpactAssessed,
            "inc_1",
            3,
            day(0.2),
            customers_affected=70,
            responder_hours=2.5,
            revenue_at_risk=900.0,
        ),
        of_incident(
            incidents.IncidentLinked, "inc_1", 4, day(0.3), kind="problem", reference="PRB-1"
        ),
    )
    theme = await feedback.the_theme()
    (row,) = (await feedback.get(f"/v1/themes/{theme['id']}/evidence"))["items"]
    assert (row["severity_then"], row["severity"]) == ("low", "critical")
    assert (row["customers"], row["responder_hours"], row["revenue_at_risk"]) == (70, 2.5, 900.0)
    assert row["source"] == "/v1/incidents/inc_1"
    assert theme["evidence"]["linked"] == 1
    assert theme["evidence"]["top_severity_28d"] == 0


async def test_events_of_an_incident_never_heard_of_are_passed_over(feedback: Feedback) -> None:
    await feedback.hear(resolved("inc_unheard", 2, day(1), day(0)), opened("inc_1", day(0)))
    assert [theme["evidence_count"] for theme in await feedback.themes()] == [1]


async def test_a_theme_falls_quiet_by_time_alone_and_says_so_once(feedback: Feedback) -> None:
    await feedback.hear(*recurring(6))
    await feedback.hear(opened("inc_elsewhere", day(70), service="search", product="Search"))
    await feedback.review()
    await feedback.review()
    (theme,) = await feedback.themes(product="Checkout")
    assert (theme["state"], theme["rose_at"]) == ("quiet", None)
    (quieted,) = [data for type_, data in await feedback.said() if type_ == "theme.quieted"]
    (past,) = (await feedback.get(f"/v1/themes/{theme['id']}/escalations"))["items"]
    assert quieted["at"] == past["fell_at"]
    assert past["fell_because"] == "quiet"
    assert past["reasons"][0]["detector"] == "recurrence"


async def test_late_evidence_corrects_when_the_theme_rose_and_is_told_once(
    feedback: Feedback,
) -> None:
    usual = recurring(6)
    await feedback.hear(*usual[2:])
    await feedback.hear(opened("inc_a", day(2.5)))
    late = (await feedback.the_theme())["rose_at"]
    await feedback.hear(*usual[:2])
    assert (await feedback.the_theme())["rose_at"] < late
    assert (await feedback.types()).count("theme.escalated") == 1


async def test_a_service_found_out_later_moves_the_evidence_and_the_empty_theme_follows(
    feedback: Feedback,
) -> None:
    stray = {"service": "unassigned", "product": "unassigned"}
    await feedback.hear(*recurring(5, **stray))
    (old,) = await feedback.themes()
    await feedback.hear(*[reassigned(f"inc_{n}", 2, day(5), "payments") for n in range(5)])
    (new,) = await feedback.themes()
    assert (new["product"], new["state"], new["evidence_count"]) == ("Checkout", "escalated", 5)
    gone = await feedback.get(f"/v1/themes/{old['id']}")
    assert (gone["state"], gone["merged_into"]) == ("merged", new["id"])
    merged = [data for type_, data in await feedback.said() if type_ == "theme.merged"]
    assert [(m["theme_id"], m["into_theme_id"], m["by"]) for m in merged] == [
        (old["id"], new["id"], "service:feedback")
    ]
    await feedback.hear(opened("inc_later", day(6), **stray))
    assert {theme["product"] for theme in await feedback.themes()} == {"Checkout", "unassigned"}


async def test_part_of_a_theme_that_moves_leaves_the_rest_where_it_is(feedback: Feedback) -> None:
    await feedback.hear(*recurring(3))
    await feedback.hear(reassigned("inc_1", 2, day(4), "search", "Search"))
    sizes = {theme["product"]: theme["evidence_count"] for theme in await feedback.themes()}
    assert sizes == {"Checkout": 2, "Search": 1}
    recorded = [d["incident_ids"] for t, d in await feedback.said() if t == "evidence.recorded"]
    assert recorded == [["inc_0", "inc_1", "inc_2"], ["inc_1"]]


async def test_themes_are_found_by_product_state_and_title(feedback: Feedback) -> None:
    await feedback.hear(*recurring(5), opened("inc_x", day(2), product="Search", title="100%_odd"))
    assert len(await feedback.themes()) == 2
    assert [t["product"] for t in await feedback.themes(state="escalated")] == ["Checkout"]
    assert [t["product"] for t in await feedback.themes(q="%_ODD")] == ["Search"]
    assert await feedback.themes(service="nowhere") == []
    first = await feedback.get("/v1/themes", limit=1)
    second = await feedback.get("/v1/themes", limit=1, cursor=first["next"])
    assert [t["product"] for t in first["items"] + second["items"]] == ["Checkout", "Search"]
    summary = await feedback.get("/v1/themes/summary")
    assert (summary["themes"], summary["escalated"], summary["evidence"]) == (2, 1, 6)


async def test_a_theme_of_more_rows_than_are_loaded_still_counts_them_all(
    feedback: Feedback, monkeypatch: pytest.MonkeyPatch
) -> None:
    await feedback.hear(*recurring(12))
    before = await feedback.the_theme()
    monkeypatch.setattr("services.feedback.evidence.ledger.NEWEST", 7)
    await feedback.hear(opened("inc_more", day(12)))
    theme = await feedback.the_theme()
    assert theme["evidence_count"] == theme["evidence"]["total"] == 13
    assert theme["evidence"]["first_at"] == before["evidence"]["first_at"]
    assert theme["rose_at"] == before["rose_at"]
    history = (await feedback.get(f"/v1/themes/{theme['id']}/escalations"))["items"]
    assert [one["rose_at"] for one in history] == [before["rose_at"]]
    assert (await feedback.types()).count("theme.escalated") == 1


async def test_a_batch_needs_few_statements_whatever_its_size(
    feedback: Feedback, db: Database
) -> None:
    await feedback.hear(*recurring(6))
    counted = 0

    @sqlalchemy.event.listens_for(db._writer.sync_engine, "before_cursor_execute")
    def _count(*_: object) -> None:
        nonlocal counted
        counted += 1

    many = [opened(f"inc_many_{n}", day(n / 100), service=f"service-{n % 40}") for n in range(500)]
    await feedback.hear(*many)
    assert counted < 40


async def test_a_steady_theme_does_not_seem_to_begin_where_its_loaded_rows_begin(
    feedback: Feedback, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady = [opened(f"inc_{n}", day(n * 4)) for n in range(60)]
    await feedback.hear(*steady)
    theme = await feedback.the_theme()
    said = {"by": "ana", "reason": "it is usual"}
    await feedback.hear_roadmap(
        candidate(roadmap.CandidateDeclined, theme["id"], 1, day(60), **said)
    )
    assert (await feedback.the_theme())["state"] == "quiet"
    monkeypatch.setattr("services.feedback.evidence.ledger.NEWEST", 40)
    await feedback.hear(opened("inc_more", day(240)))
    after = await feedback.the_theme()
    assert (after["state"], after["evidence_count"]) == ("quiet", 61)
    assert after["reasons"][0]["name"] == "within_baseline"
    await feedback.hear(*[opened(f"out_{n}", day(241 + n / 2)) for n in range(30)])
    assert (await feedback.the_theme())["state"] == "escalated"


async def test_an_incident_that_began_at_another_time_counts_from_then(feedback: Feedback) -> None:
    far = [opened(f"inc_{n}", day(n * 40), customers_affected=10) for n in range(5)]
    await feedback.hear(*far, resolved("inc_4", 2, day(160.5), day(160)))
    assert (await feedback.the_theme())["state"] == "quiet"
    await feedback.hear(*[redated(f"inc_{n}", 2, day(150 + n), day(n * 40)) for n in range(4)])
    theme = await feedback.the_theme()
    assert (theme["state"], theme["rose_at"]) == ("escalated", "2026-08-09T09:00:00Z")
    assert theme["evidence"]["first_at"] == "2026-07-30T09:00:00Z"
    before = await feedback.types()
    await feedback.hear(redated("inc_0", 2, day(1), day(0)), redated("inc_4", 1, day(1), day(0)))
    assert await feedback.the_theme() == theme
    assert await feedback.types() == before
    await feedback.hear(redated("inc_4", 3, day(161), day(160)))
    (row, *_) = (await feedback.get(f"/v1/themes/{theme['id']}/evidence"))["items"]
    assert (row["at"], row["ended_at"]) == ("2026-08-10T09:00:00Z", "2026-08-10T09:00:00Z")
    assert (await feedback.the_theme())["evidence"]["as_of"] == "2026-08-10T09:00:00Z"
