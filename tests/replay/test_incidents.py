"""Rows become incidents: what happened is what changed between rows, and nothing is known too early."""

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.replay.cells import Cells
from services.replay.incidents import Version, history_of, incidents_of
from services.replay.mapping import SERVICENOW, Stage, with_options
from shared.contracts.incidents import Severity
from tests.replay.handwritten import NOW, lines, one, read, row, told

LIFE = [
    row("1 08:00", "New"),
    row("1 09:00", "Active", sys_mod_count="1"),
    row("2 10:00", "Resolved", sys_mod_count="2"),
    row("3 11:00", "Active", sys_mod_count="3", reopen_count="1"),
    row("4 12:00", "Resolved", sys_mod_count="4", reopen_count="1"),
    row("9 13:00", "Closed", sys_mod_count="5", reopen_count="1"),
]


def test_a_life_is_told_in_the_order_in_which_it_happened():
    assert told(one(LIFE)) == [
        "acknowledged 1 09:00",
        "resolved 2 10:00",
        "reopened 3 11:00",
        "acknowledged 3 11:00",
        "resolved 4 12:00",
        "closed 9 13:00",
    ]


def test_an_incident_opens_as_its_first_row_says():
    later = row("2 09:00", "Active", priority="1 - Critical", category="Web", u_symptom="S2")
    incident = one([row("1 08:00", "New", u_symptom="S1", location="L1"), later])
    assert (incident.severity, incident.service) == ("medium", "Mail")
    assert incident.title == "Mail / Relay"
    assert incident.opened_at == datetime(2016, 3, 1, 8, tzinfo=UTC)
    assert incident.labels == {
        "category": "Mail",
        "subcategory": "Relay",
        "reported_symptom": "S1",
        "location": "L1",
    }
    assert told(incident) == [
        "commented 2 09:00",
        "severity_changed 2 09:00",
        "acknowledged 2 09:00",
    ]
    assert incident.history[0].text == "Retitled: Web / Relay"


def test_the_moments_that_a_log_writes_back_onto_every_row_are_not_read():
    assert told(one([row("1 08:00", "New")])) == []


def test_rows_may_come_in_any_order_and_between_those_of_others():
    other = [
        row(at, state, number="INC2") for at, state in (("1 09:00", "New"), ("1 10:00", "Closed"))
    ]
    mixed = [LIFE[3], other[1], LIFE[0], LIFE[5], other[0], LIFE[1], LIFE[4], LIFE[2]]
    first, second = read(mixed)
    assert first == one(LIFE)
    assert told(second) == ["resolved 1 10:00", "closed 1 10:00"]


def test_rows_of_one_minute_are_ordered_by_the_count_of_changes():
    rows = [
        row("1 09:00", "Resolved", sys_mod_count="10"),
        row("1 09:00", "Active", sys_mod_count="9"),
        row("1 08:00", "New"),
    ]
    assert told(one(rows)) == ["acknowledged 1 09:00", "resolved 1 09:00"]


def test_nothing_happens_before_the_opening():
    early = row("1 06:00", "Active", opened_at="1/3/2016 08:00")
    assert told(one([early, row("1 09:00", "Resolved")])) == [
        "acknowledged 1 08:00",
        "resolved 1 09:00",
    ]


def test_without_a_moment_of_opening_the_first_row_is_it():
    incident = one([row("2 07:30", "Active", opened_at="?")])
    assert incident.opened_at == datetime(2016, 3, 2, 7, 30, tzinfo=UTC)


def test_a_row_written_twice_out_of_turn_reopens_nothing():
    rows = [
        row("1 11:10", "New", sys_mod_count="1"),
        row("1 09:52", "New", sys_mod_count="1"),
        row("1 11:03", "Resolved", sys_mod_count="2"),
        row("5 12:00", "Closed", sys_mod_count="3"),
    ]
    assert told(one(rows)) == ["resolved 1 11:03", "closed 5 12:00"]


@pytest.mark.parametrize(
    ("states", "counts", "expected"),
    [
        (["New", "Active"], "03", ["resolved", "reopened"] * 3),
        (["Resolved", "Resolved"], "01", ["resolved", "reopened", "resolved"]),
        (["Resolved", "Active"], "02", ["resolved", "reopened", "resolved", "reopened"]),
        (["Active", "Closed"], "20", ["resolved", "reopened"] * 2 + ["resolved"]),
        (["Resolved", "Active", "Active"], "001", ["resolved", "reopened"]),
        (["Closed", "Active", "Closed"], "011", ["resolved", "reopened", "resolved"]),
        (["Closed", "Resolved"], "00", ["resolved"]),
        (["New", "Active"], "0?", []),
    ],
)
def test_each_step_of_the_count_is_one_reopening_of_what_was_over(
    states: list[str], counts: str, expected: list[str]
):
    rows = [
        row(f"{day} 09:00", state, reopen_count=count)
        for day, (state, count) in enumerate(zip(states, counts, strict=True), start=1)
    ]
    kinds = [entry.kind for entry in one(rows).history]
    assert [kind for kind in kinds if kind in ("resolved", "reopened")] == expected


def test_without_a_count_the_state_decides():
    uncounted = with_options(SERVICENOW, ["reopen_count="])
    incident = one(LIFE, uncounted)
    assert told(incident, "reopened") == ["reopened 3 11:00"]
    assert told(incident, "resolved") == ["resolved 2 10:00", "resolved 4 12:00"]


def test_a_state_that_nobody_mapped_says_nothing_and_is_remarked():
    cells = Cells(SERVICENOW, NOW)
    rows = [row("1 09:00", "Resolved"), row("1 10:00", "Limbo"), row("1 11:00", "Closed")]
    (incident,) = incidents_of(lines(rows), cells)
    assert told(incident) == ["resolved 1 09:00", "closed 1 11:00"]
    assert list(cells.remarks.sentences()) == [
        "state 'Limbo' is unknown; map it: state.resolved=Limbo (in 1 rows, first in line 3)"
    ]


def test_a_link_is_known_from_where_it_appears():
    rows = [row("1 08:00", "New"), row("2 08:00", "Active", problem_id="PRB1"), *LIFE[2:]]
    assert told(one(rows), "linked") == ["linked 2 08:00"]


def test_a_link_that_always_stood_has_no_date_and_is_known_at_the_last_row():
    rows = [{**each, "rfc": "CHG7"} for each in LIFE]
    incident = one(rows)
    assert told(incident, "linked") == ["linked 9 13:00"]
    assert incident.history[-1].link is not None
    assert incident.history[-1].link.reference == "CHG7"


def test_rows_that_say_nothing_are_counted_and_the_rest_is_taken():
    cells = Cells(SERVICENOW, NOW)
    rows = [
        row("1 08:00", "New"),
        row("1 09:00", "Active", number="?"),
        row("1 09:00", "Active", number="N" * 201),
        row("1 09:00", "Active", sys_updated_at="soon"),
        row("1 09:00", "Active", sys_updated_at="1/1/1970 00:00"),
        row("1 09:00", "Active", sys_updated_at="1/1/2030 00:00"),
        row("1 10:00", "Resolved"),
    ]
    (incident,) = incidents_of(lines(rows), cells)
    assert told(incident) == ["resolved 1 10:00"]
    assert (cells.remarks.rows, cells.remarks.passed_over) == (7, 5)


def test_odd_text_is_made_to_fit_what_the_api_takes():
    incident = one([row("1 08:00", "New", category=" a\x00\n b ", subcategory="x" * 1000)])
    assert incident.service == "a b"
    assert len(incident.title) == 512
    assert len(incident.labels["subcategory"]) == 512


def test_what_is_missing_is_called_unknown_in_the_title_and_nowhere_else():
    incident = one([row("1 08:00", "New", category="?", priority="?")])
    assert incident.title == "unknown / Relay"
    assert incident.service is None
    assert "category" not in incident.labels
    assert incident.severity == "medium"


def test_an_export_of_one_row_each_is_read_by_its_columns_of_moments():
    mapping = with_options(
        None,
        [
            "external_ref=Id",
            "opened_at=Start",
            "acknowledged_at=Seen",
            "resolved_at=End",
            "severity=Prio",
            "title=What",
            "service=Where",
            "severity.critical=Blocker",
        ],
    )
    rows = [
        {"Id": "7", "Start": "2024-05-01T10:00:00+02:00", "Seen": "2024-05-01 09:00", "End": "",
         "Prio": "blocker", "What": "Mail is late", "Where": "mail"},
        {"Id": "8", "Start": "", "Seen": "", "End": "2024-05-01", "Prio": "", "What": "", "Where": ""},
    ]  # fmt: skip
    incident = one(rows, mapping)
    assert incident.opened_at == datetime(2024, 5, 1, 8, tzinfo=UTC)
    assert (incident.title, incident.severity, incident.service) == (
        "Mail is late",
        "critical",
        "mail",
    )
    assert told(incident) == ["acknowledged 1 09:00"]


def test_moments_without_a_zone_are_of_the_mapped_one():
    mapping = with_options(SERVICENOW, ["timezone=Europe/Berlin"])
    assert one([row("1 08:00", "New")], mapping).opened_at.hour == 7


START = datetime(2020, 1, 1, tzinfo=UTC)
STAGES = st.sampled_from((None, *get_args(Stage)))
SEVERITIES = st.sampled_from((None, *get_args(Severity)))


@st.composite
def versions(draw: st.DrawFn, counted: bool = True) -> list[Version]:
    steps = draw(st.lists(st.integers(0, 90), min_size=1, max_size=12))
    at, found = START, []
    for order, minutes in enumerate(steps):
        at += timedelta(minutes=minutes)
        count = draw(st.none() | st.integers(0, 4)) if counted else None
        found.append(Version(at, order, "t", draw(STAGES), count, draw(SEVERITIES)))
    return found


@settings(max_examples=200)
@given(versions())
def test_a_history_never_resolves_twice_nor_reopens_what_is_open(log: list[Version]):
    turns = [
        e.kind for e in history_of(log, START, counted=True) if e.kind in ("resolved", "reopened")
    ]
    expected = ["resolved", "reopened"] * len(turns)
    assert turns == expected[: len(turns)]
    assert turns.count("reopened") == max([v.reopenings or 0 for v in log])


@settings(max_examples=100)
@given(versions(), st.integers(-300, 300))
def test_a_history_is_in_order_of_time_and_never_before_the_opening(
    log: list[Version], minutes: int
):
    opened_at = START + timedelta(minutes=minutes)
    times = [opened_at, *(entry.at for entry in history_of(log, opened_at, counted=True))]
    assert times == sorted(times)


@settings(max_examples=100)
@given(versions(), st.data())
def test_a_log_cut_short_tells_the_beginning_of_the_same_history(
    log: list[Version], data: st.DataObject
):
    cut = data.draw(st.integers(1, len(log)))
    whole = list(history_of(log, START, counted=True))
    part = list(history_of(log[:cut], START, counted=True))
    assert part == whole[: len(part)]


@settings(max_examples=100)
@given(versions(counted=False))
def test_without_counts_what_ends_over_was_resolved_once_more_than_reopened(log: list[Version]):
    kinds = [entry.kind for entry in history_of(log, START, counted=False)]
    stages = [v.stage for v in log if v.stage is not None]
    over = bool(stages) and stages[-1] in ("resolved", "closed")
    assert kinds.count("resolved") - kinds.count("reopened") == int(over)
