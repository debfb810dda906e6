"""The signal: one alert occurrence as its sender stated it, and the bounds every adapter keeps.

No I/O and no clock: an adapter is `parse(body, received_at) -> list[Signal]`, or raises BadBody
for the whole body. A batch is never accepted in part.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import ClassVar, Literal, TypeVar

import msgspec

from shared.clock import EARLIEST, SKEW
from shared.contracts.incidents import Severity
from shared.refusals import Refusal

Status = Literal["firing", "resolved"]
Document = TypeVar("Document")

MAX_ALERTS = 1_000
MAX_LABELS = 64
MAX_NAME = 256
"""Characters of a label's or annotation's name, of a service, an alert name, a fingerprint."""
MAX_VALUE = 4_096
"""Bytes (UTF-8) of one label's or annotation's value."""
MAX_TITLE = 512
MAX_URL = 2_048

_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:?\d\d)", re.ASCII
)


class Signal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One alert that began or ended. Source, fingerprint, status, starts_at tell a redelivery."""

    source: str
    """Who vouches for the fingerprint: `prometheus`, by either of its roads, or a caller's name."""
    fingerprint: str
    """The alert's identity within its source; the same at every occurrence."""
    status: Status
    starts_at: datetime
    ends_at: datetime | None
    """Set if and only if resolved."""
    expires_at: datetime | None
    """When a firing alert has ended unless it is sent again; None when its end will be told."""
    title: str
    alert_name: str | None
    description: str
    service: str | None
    """As the sender names it; the catalog may know it by another name, or not at all."""
    severity: Severity
    customers_affected: int | None
    labels: dict[str, str]
    annotations: dict[str, str]
    url: str | None
    truncated: int = 0
    """How many alerts the sender says it left out of the message that carried this one."""
    skewed: bool = False
    """An impossible time was replaced; the sender's clock needs a look."""


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Somebody said at the alert's sender that they are on it.

    It acknowledges the alert's open incident, and is dropped where there is none.
    """

    source: str
    fingerprint: str
    by: str
    """Who, as the sender names them; the sender's own name where it doesn't say."""
    at: datetime


Said = Signal | Acknowledgement
"""What an adapter may read from a body."""


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with a field, and what to do. `field` is a path such as `alerts[3].labels`."""

    field: str
    message: str


class BadBody(Refusal):
    """The body can't be read as the format of its address; nothing of it was kept."""

    status: ClassVar[int] = 400

    def __init__(self, *errors: FieldError) -> None:
        """At least one error."""
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))
        self.errors = errors


def bad(field: str, message: str) -> BadBody:
    """A BadBody with a single error."""
    return BadBody(FieldError(field, message))


def decoded(decoder: msgspec.json.Decoder[Document], body: bytes, field: str = "body") -> Document:
    """The body as the decoder's type. Raises BadBody for whatever keeps it from being that.

    `field` is where in the body this stands, where it is a part of one.
    """
    try:
        body.decode()  # msgspec doesn't look into the strings it skips
        return decoder.decode(body)
    except UnicodeDecodeError as error:
        raise bad(field, f"is not UTF-8 at byte {error.start}; send UTF-8 JSON") from None
    except RecursionError:
        raise bad(field, "is nested too deeply; send it flat, as the format has it") from None
    except msgspec.ValidationError as error:
        complaint, where, path = str(error).rpartition(" - at `$")
        inside = "" if field == "body" else field
        at = (inside + path.rstrip("`")).lstrip(".") if where else field
        raise bad(shortened(at, 200), _advice(complaint if where else path)) from None
    except msgspec.DecodeError as error:
        raise bad(field, f"is not JSON: {error}; send one complete JSON document") from None


def _advice(complaint: str) -> str:
    """msgspec's complaint about a value, ending in what to do about it."""
    complaint = shortened(complaint, 300)
    if "unknown field" in complaint:
        return f"{complaint}; remove it or mend its name"
    if "required field" in complaint:
        return f"{complaint}; add it"
    return f"{complaint}; send what is expected"


def moment(text: str | None, field: str) -> datetime | None:
    """An RFC 3339 time in UTC, cut to microseconds. None and year 1 (Go's zero) mean "not said".

    Raises BadBody for anything else, a time without an offset among it.
    """
    if text is None or text.startswith("0001-01-01T00:00:00"):
        return None
    instant = _instant if len(text) <= _LONGEST_TIME else _instant.__wrapped__
    if (at := instant(text)) is not None:
        return at
    shown = shortened(text, 60)
    raise bad(field, f"{shown!r} is not an RFC 3339 time; write it as 2026-01-31T12:00:00Z")


_LONGEST_TIME = 40
"""Characters of a time that is remembered; senders write no longer ones."""


@lru_cache(4_096)
def _instant(text: str) -> datetime | None:
    """None for what is no time. Remembered: a firing alert is sent every minute with one start."""
    try:
        if _RFC3339.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass  # a 30th of February, or year 1 or 9999 beyond the end of time
    return None


def bounded(
    starts_at: datetime | None, ends_at: datetime | None, received_at: datetime
) -> tuple[datetime, datetime | None, bool]:
    """Start, end, and whether a time was impossible and therefore replaced: nothing is refused.

    A time ahead of ours by more than the skew, or older than EARLIEST, becomes `received_at`; a
    start that wasn't said is the end, or else `received_at`; an end before the start is the start.
    """
    skewed = False
    if ends_at is not None and not EARLIEST <= ends_at <= received_at + SKEW:
        ends_at, skewed = received_at, True
    if starts_at is None:
        starts_at = ends_at or received_at
    elif not EARLIEST <= starts_at <= received_at + SKEW:
        starts_at, skewed = received_at, True
    if ends_at is not None and ends_at < starts_at:
        ends_at = starts_at
    return starts_at, ends_at, skewed


def counted(alerts: int, field: str) -> None:
    """Raises BadBody for more alerts than one body may hold."""
    if alerts > MAX_ALERTS:
        raise bad(field, f"holds {alerts:,} alerts; send at most {MAX_ALERTS:,} in one body")


def labelled(labels: dict[str, str], field: str) -> dict[str, str]:
    """The labels as they are stored. Raises BadBody for more or longer ones than are kept.

    Labels are the alert's identity, so they are refused rather than cut.
    """
    _named(labels, field)
    for name, value in labels.items():
        if len(value) * 4 > MAX_VALUE and len(value.encode()) > MAX_VALUE:
            at = f"{field}.{shortened(name, 60)}"
            raise bad(at, f"is longer than {MAX_VALUE:,} bytes; shorten it or leave it out")
    return _storable(labels)


def annotated(annotations: dict[str, str], field: str) -> dict[str, str]:
    """The annotations as they are stored: a long text is cut, too many are a BadBody."""
    _named(annotations, field)
    return {name: shortened(value) for name, value in _storable(annotations).items()}


def _named(entries: dict[str, str], field: str) -> None:
    if len(entries) > MAX_LABELS:
        raise bad(field, f"has {len(entries):,} entries; send at most {MAX_LABELS}")
    for name in entries:
        if not 0 < len(name) <= MAX_NAME:
            shown = shortened(name, 60)
            raise bad(field, f"the name {shown!r} must be 1 to {MAX_NAME} characters; mend it")


def _storable(entries: dict[str, str]) -> dict[str, str]:
    if "\x00" in "".join(entries) or "\x00" in "".join(entries.values()):
        return {storable(name): storable(value) for name, value in entries.items()}
    return entries


def storable(text: str) -> str:
    """The text without NUL, which JSON and Alertmanager let through and PostgreSQL doesn't."""
    return text.replace("\x00", "\ufffd")


def shortened(text: str, limit: int = MAX_VALUE) -> str:
    """At most `limit` bytes of UTF-8; what was cut shows as an ellipsis."""
    if len(text) * 4 <= limit or len(text.encode()) <= limit:
        return text
    return text.encode()[: limit - 3].decode(errors="ignore") + "…"


def one_line(text: str, limit: int = MAX_TITLE) -> str:
    """The first line that isn't blank, at most `limit` characters of it; empty if there is none."""
    text = text.strip()
    line = text.splitlines()[0].rstrip() if text else ""
    return line if len(line) <= limit else line[: limit - 1] + "…"


def web_address(text: str | None) -> str | None:
    """The text if it can be shown as a link: http or https, and not endless. Else None."""
    if text and len(text) <= MAX_URL and text.startswith(("http://", "https://")):
        return storable(text)
    return None


_SEVERITIES: dict[str, Severity] = {
    **dict.fromkeys(
        ("critical", "crit", "page", "fatal", "emergency", "alert", "disaster", "blocker"),
        "critical",
    ),
    **dict.fromkeys(("high", "error", "err", "major", "severe"), "high"),
    **dict.fromkeys(("medium", "warning", "warn", "moderate", "average"), "medium"),
    **dict.fromkeys(("low", "info", "information", "informational", "minor", "notice"), "low"),
    **dict.fromkeys(("debug", "none", "ok", "trivial"), "low"),
}
_RANKS: tuple[Severity, ...] = ("critical", "high", "medium", "low", "low")
_RANK = re.compile(r"(?:p|s|sev|severity|prio|priority)?[-_ ]?([1-5])", re.ASCII)
_SEVERITY_LABELS = ("severity", "priority", "level")


def severity_of(labels: Mapping[str, str]) -> Severity:
    """The sender's severity in our four words.

    A word nobody knows, or none, is medium: it must neither hide an alert nor raise it to the top
    two severities, which weigh in a theme's rank.
    """
    for label in _SEVERITY_LABELS:
        if word := labels.get(label, "").strip().lower():
            if rank := _RANK.fullmatch(word):
                return _RANKS[int(rank[1]) - 1]
            return _SEVERITIES.get(word, "medium")
    return "medium"


SERVICE_LABELS = ("service", "service_name", "app", "application", "app_kubernetes_io_name", "job")
"""Where the service's name is looked for, in this order: the most deliberate word first. A rule's
author writes `service`; OpenTelemetry and charts write the next four; `job` stands on nearly every
Prometheus series but names what scrapes it, so it counts only when nothing else speaks."""


def service_of(labels: Mapping[str, str]) -> str | None:
    """The service as the sender names it, by the first of SERVICE_LABELS that says one."""
    for label in SERVICE_LABELS:
        if name := labels.get(label, "").strip():
            return one_line(name, MAX_NAME)
    return None
