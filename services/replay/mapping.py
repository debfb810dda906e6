"""What the columns of a log mean: a value, read from a file or from `field=column` options.

Two shapes of CSV are understood. A *log* has `at`: one row for each change of an incident, and what
happened is what changed between rows. An *export* has no `at`: one row for each incident, and what
happened stands in columns of moments (`resolved_at` …). The two don't mix: in a log such columns are
written back onto every row, and would say things before they were known.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, tzinfo
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec
import yaml

from shared.contracts.incidents import Severity

Stage = Literal["open", "acknowledged", "resolved", "closed"]
LinkKind = Literal["problem", "change", "ticket"]


class UnusableMapping(ValueError):
    """The sentence says what to change in it."""


STAGES: Mapping[str, Stage] = {
    "new": "open",
    "open": "open",
    "reopened": "open",
    "acknowledged": "acknowledged",
    "active": "acknowledged",
    "assigned": "acknowledged",
    "in progress": "acknowledged",
    "work in progress": "acknowledged",
    "on hold": "acknowledged",
    "pending": "acknowledged",
    "awaiting user info": "acknowledged",
    "awaiting vendor": "acknowledged",
    "awaiting problem": "acknowledged",
    "awaiting evidence": "acknowledged",
    "resolved": "resolved",
    "completed": "resolved",
    "fixed": "resolved",
    "done": "resolved",
    "closed": "closed",
    "canceled": "closed",
    "cancelled": "closed",
}
SEVERITIES: Mapping[str, Severity] = {
    "1": "critical",
    "2": "high",
    "3": "medium",
    "4": "low",
    "5": "low",
    **{
        f"{mark}{n}": s
        for mark in ("p", "sev", "sev-")
        for n, s in enumerate(("critical", "high", "medium", "low", "low"), start=1)
    },
    "critical": "critical",
    "high": "high",
    "major": "high",
    "medium": "medium",
    "moderate": "medium",
    "low": "low",
    "minor": "low",
    "planning": "low",
}


class ColumnMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The column that holds each field; None: the log has none such."""

    source: str = "replay"
    """Who these incidents are from. With `external_ref` it is their identity."""
    external_ref: str
    at: str | None = None
    """When a row was written. Its presence makes the CSV a log; see the module."""
    order: str | None = None
    """A number that orders the rows of one incident that were written at the same moment."""
    opened_at: str | None = None
    """None: an incident began when its first row was written."""
    state: str | None = None
    reopen_count: str | None = None
    """How often it was reopened so far. Where there is one it decides, and not the state."""
    acknowledged_at: str | None = None
    resolved_at: str | None = None
    closed_at: str | None = None
    severity: str | None = None
    service: str | None = None
    assignee: str | None = None
    title: str = "{external_ref}"
    """A text in which `{column}` stands for the value of that column."""
    labels: dict[str, str] = {}
    links: dict[LinkKind, str] = {}
    states: dict[str, Stage] = {}
    """Beside STAGES, which holds the usual words; whatever the letter case."""
    severities: dict[str, Severity] = {}
    """Beside SEVERITIES. "2 - High" is looked up whole, then as "2"."""
    missing: tuple[str, ...] = ("", "?", "null", "none", "n/a", "nan")
    """What stands where nothing is known, whatever the letter case."""
    time_formats: tuple[str, ...] = ()
    """For `strptime`, tried in order after RFC 3339."""
    timezone: str = "UTC"
    """Of moments that name none."""


SERVICENOW = ColumnMapping(
    source="servicenow",
    external_ref="number",
    at="sys_updated_at",
    order="sys_mod_count",
    opened_at="opened_at",
    state="incident_state",
    reopen_count="reopen_count",
    severity="priority",
    service="category",
    assignee="assigned_to",
    # One theme for each (category, subcategory): a theme's key holds the service, the title's template
    # and the labels `category`, `subcategory` and `symptom`. A reporter's symptom is no part of the
    # pain's name (it would cut 298 themes of the real log into thousands), so that label is called
    # otherwise and the title leaves it out.
    title="{category} / {subcategory}",
    labels={
        "category": "category",
        "subcategory": "subcategory",
        "reported_symptom": "u_symptom",
        "location": "location",
        "contact_type": "contact_type",
        "assignment_group": "assignment_group",
    },
    links={"problem": "problem_id", "change": "rfc"},
    states={"-100": "open"},
    time_formats=("%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S"),
)
"""The incident event log of ServiceNow. Left out on purpose, because the log writes their final value
onto every row: resolved_at, closed_at, resolved_by, closed_code, made_sla."""

BUILT_IN: Mapping[str, ColumnMapping] = {SERVICENOW.source: SERVICENOW}
NEEDED = {"number", "opened_at", "incident_state", "sys_updated_at", "category", "subcategory"}
"""Columns that tell a ServiceNow log from others."""

IN_TITLE = re.compile(r"\{([^{}]+)\}")

ONE_COLUMN = (
    "external_ref", "at", "order", "opened_at", "state", "reopen_count",
    "acknowledged_at", "resolved_at", "closed_at", "severity", "service", "assignee",
)  # fmt: skip
GROUPS = {"label": "labels", "link": "links", "state": "states", "severity": "severities"}
"""`--map label.team=Team`, `--map state.resolved=Done`: the group's field, by its singular."""


def zone_of(name: str) -> tzinfo:
    """The time zone of that name. Raises UnusableMapping when this machine knows none."""
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise UnusableMapping(
            f"there is no time zone {name!r}; write it as Europe/Berlin"
        ) from error


def columns_of(mapping: ColumnMapping) -> list[str]:
    """Every column that the mapping names, once each."""
    named = [getattr(mapping, field) for field in ONE_COLUMN]
    named += [*mapping.labels.values(), *mapping.links.values(), *IN_TITLE.findall(mapping.title)]
    return list(dict.fromkeys(column for column in named if column is not None))


def for_columns(header: Collection[str]) -> ColumnMapping:
    """The built-in mapping that fits these columns. Raises UnusableMapping when none does."""
    if set(header) >= NEEDED:
        return _without_absent(SERVICENOW, header)
    raise UnusableMapping(
        f"no built-in mapping fits the columns {', '.join(header)}; say what they mean with"
        " --mapping FILE, or with --map external_ref=COLUMN --map at=COLUMN --map state=COLUMN …"
    )


def _without_absent(mapping: ColumnMapping, header: Collection[str]) -> ColumnMapping:
    """The mapping without the columns that this export of the tool left out."""
    absent: dict[str, Any] = {
        name: None
        for name in ONE_COLUMN
        if getattr(mapping, name) is not None and getattr(mapping, name) not in header
    }
    labels = {name: column for name, column in mapping.labels.items() if column in header}
    links = {kind: column for kind, column in mapping.links.items() if column in header}
    return msgspec.structs.replace(mapping, labels=labels, links=links, **absent)


def read_mapping(text: str) -> ColumnMapping:
    """A mapping file, in YAML or JSON. Raises UnusableMapping."""
    try:
        return _converted(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise UnusableMapping(f"the mapping is neither YAML nor JSON: {error}") from error


def with_options(base: ColumnMapping | None, options: Iterable[str]) -> ColumnMapping:
    """`base`, or an empty mapping, with `field=column` options applied. An empty column unmaps."""
    fields: dict[str, Any] = msgspec.to_builtins(base) if base else {}
    for option in options:
        field, equals, column = option.partition("=")
        if not equals:
            raise UnusableMapping(f"{option!r} is not FIELD=COLUMN; write it as state=Status")
        group, dot, name = field.partition(".")
        if dot and group in GROUPS:
            entries: dict[str, str] = dict(fields.get(GROUPS[group], {}))
            by_value = group in ("state", "severity")  # several words may mean the same stage
            entries |= {column: name} if by_value else {name: column}
            fields[GROUPS[group]] = entries
        elif field == "title":
            fields["title"] = column if "{" in column else "{" + column + "}"
        elif field == "time_format":
            fields["time_formats"] = [*fields.get("time_formats", []), column]
        else:
            fields[field] = column or None
    return _converted(fields)


def _converted(fields: Any) -> ColumnMapping:
    if isinstance(fields, dict) and "title" not in fields and "external_ref" in fields:
        fields = {**fields, "title": "{" + str(fields["external_ref"]) + "}"}
    try:
        mapping = msgspec.convert(fields, ColumnMapping)
    except msgspec.ValidationError as error:
        raise UnusableMapping(f"the mapping can't be used: {error}") from error
    zone_of(mapping.timezone)
    moments = (mapping.acknowledged_at, mapping.resolved_at, mapping.closed_at)
    if mapping.at is not None and any(moments):
        raise UnusableMapping(
            "the mapping has `at`, so that each row is a change; leave out acknowledged_at,"
            " resolved_at and closed_at, which in such a log are known too early"
        )
    if mapping.at is None and mapping.opened_at is None:
        raise UnusableMapping("the mapping has neither `at` nor `opened_at`; map one of them")
    if mapping.at is None and mapping.reopen_count is not None:
        raise UnusableMapping("`reopen_count` has no moments without `at`; map both or neither")
    return mapping
