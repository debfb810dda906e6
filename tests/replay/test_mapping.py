"""What columns mean: found by themselves, read from a file, given one by one; or refused in a sentence."""

import json

import pytest

from services.replay.mapping import (
    NEEDED,
    SERVICENOW,
    UnusableMapping,
    columns_of,
    for_columns,
    read_mapping,
    with_options,
)
from tests.replay.handwritten import COLUMNS

YAML = """
source: jira
external_ref: Key
at: Changed
state: Status
title: "{Component}: {Summary}"
labels: {team: Team}
states: {Done: resolved, Waiting: acknowledged}
time_formats: ["%d.%m.%Y %H:%M"]
"""


def test_the_columns_of_a_servicenow_log_are_known():
    assert for_columns(COLUMNS) == SERVICENOW


def test_a_servicenow_export_may_lack_columns_that_are_not_needed():
    mapping = for_columns(sorted(NEEDED))
    assert (mapping.reopen_count, mapping.links) == (None, {})
    assert set(columns_of(mapping)) <= NEEDED


def test_other_columns_are_refused_with_what_to_do():
    with pytest.raises(UnusableMapping, match=r"Key, Status.*--map external_ref=COLUMN"):
        for_columns(["Key", "Status"])


def test_a_mapping_file_is_yaml_or_json():
    mapping = read_mapping(YAML)
    assert columns_of(mapping) == ["Key", "Changed", "Status", "Team", "Component", "Summary"]
    as_json = {"external_ref": "Key", "at": "Changed", "state": "Status"}
    assert read_mapping(json.dumps(as_json)).title == "{Key}"


def test_options_are_laid_over_a_mapping():
    mapping = with_options(
        read_mapping(YAML),
        [
            "state=",
            "title=Summary",
            "label.area=Area",
            "link.change=Rfc",
            "source=other",
            "state.closed=Gone",
            "severity.high=Bad",
            "time_format=%H",
        ],
    )
    assert (mapping.state, mapping.title, mapping.source) == (None, "{Summary}", "other")
    assert mapping.labels == {"team": "Team", "area": "Area"}
    assert mapping.links == {"change": "Rfc"}
    assert mapping.states == {"Done": "resolved", "Waiting": "acknowledged", "Gone": "closed"}
    assert mapping.severities == {"Bad": "high"}
    assert mapping.time_formats == ("%d.%m.%Y %H:%M", "%H")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "neither YAML nor JSON"),
        ("", "can't be used"),
        ("[]", "can't be used"),
        ("external_ref: Key", "neither `at` nor `opened_at`"),
        ("{external_ref: Key, at: T, colour: C}", "colour"),
        ("{external_ref: Key, at: T, resolved_at: R}", "leave out"),
        ("{external_ref: Key, opened_at: O, reopen_count: R}", "reopen_count"),
        ("{external_ref: Key, at: T, states: {Done: ended}}", "ended"),
        ("{external_ref: Key, at: T, timezone: Mars/North}", "no time zone"),
        ("{external_ref: Key, at: T, timezone: ../../etc/passwd}", "no time zone"),
    ],
)
def test_an_unusable_mapping_says_what_to_change(text: str, says: str):
    with pytest.raises(UnusableMapping, match=says):
        read_mapping(text)


@pytest.mark.parametrize(
    "option", ["state", "", "=x", "link.rain=W", "colour=C", "state.ended=Done"]
)
def test_an_unusable_option_is_refused(option: str):
    with pytest.raises(UnusableMapping):
        with_options(SERVICENOW, [option])
