"""What the lenient formats share: values of any type, read as the texts, labels and times we keep.

Their senders can't mend what is too long or oddly typed, so it is shortened, or left out, and never
refused. Nothing here belongs to one format.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice

import msgspec

from services.incidents.signals import signal as rules
from services.incidents.signals.adapters.prometheus import customers
from services.incidents.signals.signal import Signal, Status
from shared.contracts.incidents import Severity

_STATE = re.compile(
    r"\s*\[(?:P[1-5]\b|(?:re-)?(?:firing|resolved|triggered|recovered|warn|no[ _]data|alerting|ok)\b"
    r"|renotify\b)[^\]]*\]\s*",
    re.IGNORECASE,
)
_DEPTH = 2
"""Objects within objects are taken apart so deep; what lies deeper is kept as JSON."""
_MILLISECONDS = 1e11
"""A larger number of an epoch time counts milliseconds: it was reached in 1973, or is in 5138."""


def text(value: object) -> str:
    """A string as it is, nothing for null, and whatever else as JSON."""
    if isinstance(value, str):
        return rules.storable(value)
    if value is None:
        return ""
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:
        return "…"  # it could only just be decoded


def flat(value: object, depth: int = _DEPTH) -> dict[str, str]:
    """An object's entries that aren't blank, those of an object within it as `outer.inner`.

    Empty for what isn't an object.
    """
    entries: dict[str, str] = {}
    for name, inner in value.items() if isinstance(value, dict) else ():
        if isinstance(inner, dict) and depth:
            entries |= {f"{name}.{under}": said for under, said in flat(inner, depth - 1).items()}
        elif said := text(inner).strip():
            entries[str(name)] = said
    return entries


def parted(entries: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Labels and annotations: what fits on a short line can be a label."""
    labels: dict[str, str] = {}
    notes: dict[str, str] = {}
    for name, value in entries.items():
        fits = len(value) <= rules.MAX_NAME and "\n" not in value
        (labels if fits else notes)[name] = value
    return labels, notes


def tagged(tags: Iterable[str]) -> dict[str, str]:
    """The tags of the form `name:value`, by name; of two with one name the first counts."""
    entries: dict[str, str] = {}
    for tag in tags:
        name, colon, value = tag.partition(":")
        if colon and name.strip() and value.strip():
            entries.setdefault(name.strip(), value.strip())
    return entries


def kept(entries: Mapping[str, str]) -> dict[str, str]:
    """As many of the entries as are stored, the first of them, with names and values shortened."""
    named = (
        (rules.storable(name.strip())[: rules.MAX_NAME], rules.shortened(rules.storable(value)))
        for name, value in entries.items()
        if name.strip() and value
    )
    return dict(islice(named, rules.MAX_LABELS))


def instant(value: object) -> datetime | None:
    """An ISO 8601 time, in UTC where it has no offset, or seconds or milliseconds of the epoch.

    None for year 1, which means "not said", and for what is no time.
    """
    if isinstance(value, datetime):
        return value
    try:
        number = float(value if isinstance(value, int | float) else text(value))
        seconds = number / 1_000 if abs(number) >= _MILLISECONDS else number
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError):
        return None
    except ValueError:
        return _written(text(value).strip())


def _written(time: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(time.upper())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return None if moment.year == 1 else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def identity(key: str) -> str:
    """A sender's key as a fingerprint; the hash of one that is too long to be stored."""
    key = rules.storable(key)
    return key if len(key) <= rules.MAX_NAME else sha256(key.encode()).hexdigest()


def stateless(title: str) -> str:
    """The title without the state that senders put before it, such as `[FIRING:2]`.

    The same alert keeps its title while its state changes.
    """
    end = 0
    while state := _STATE.match(title, end):
        end = state.end()
    return title[end:] or title


def signal(
    source: str,
    received_at: datetime,
    *,
    fingerprint: str,
    status: Status,
    starts_at: object = None,
    ends_at: object = None,
    title: str,
    severity: Severity,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    alert_name: str = "",
    service: str = "",
    description: str = "",
    url: str = "",
) -> Signal:
    """A signal of whatever lengths and times, made to fit. `ends_at` counts of a resolved one only.

    Times are as `instant` reads them; one that it can't read counts as impossible. A resolved
    signal whose start isn't told, or is its end, is an end without a start of its own.
    """
    resolved = status == "resolved"
    start, end = instant(starts_at), instant(ends_at) if resolved else None
    unread = [(starts_at, start), (ends_at, end)] if resolved else [(starts_at, start)]
    skewed = any(
        moment is None and bool(stated := text(said).strip()) and not stated.startswith("0001-")
        for said, moment in unread
    )
    began, ended, replaced = rules.bounded(
        start, (end or received_at) if resolved else None, received_at
    )
    labels, annotations = kept(labels), kept(annotations)
    name = rules.one_line(rules.storable(alert_name), rules.MAX_NAME)
    line = rules.one_line(stateless(rules.storable(title).strip()))
    return Signal(
        source=source,
        fingerprint=identity(fingerprint),
        status=status,
        starts_at=began,
        ends_at=ended,
        expires_at=None,
        title=line or name or rules.one_line(rules.storable(fingerprint)) or "Alert without a name",
        alert_name=name or None,
        description=rules.shortened(rules.storable(description.strip())),
        service=rules.one_line(rules.storable(service), rules.MAX_NAME) or rules.service_of(labels),
        severity=severity,
        customers_affected=customers({**labels, **annotations}),
        labels=labels,
        annotations=annotations,
        url=rules.web_address(url),
        skewed=skewed or replaced,
    )
