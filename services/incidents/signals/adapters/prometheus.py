"""Alertmanager's API v2 as Prometheus and amtool post to it, and the labels both its roads share.

The body has no status: an end in the past means resolved, one ahead of us means firing until then.
"""

from collections.abc import Mapping
from datetime import datetime
from math import isfinite
from typing import NamedTuple

import msgspec

from services.incidents.signals import signal as rules
from services.incidents.signals.signal import Severity, Signal, Status

SOURCE = "prometheus"
"""One source for the webhook and for API v2: the same alert by either road is one alert."""

MAX_CUSTOMERS = 1_000_000_000


class PostedAlert(msgspec.Struct, gc=False):
    """One alert of API v2. Fields that aren't named here are ignored."""

    labels: msgspec.Raw
    """What labels and annotations say is read only where it is not remembered."""
    annotations: msgspec.Raw = msgspec.Raw(b"null")
    starts_at: str | None = msgspec.field(name="startsAt", default=None)
    ends_at: str | None = msgspec.field(name="endsAt", default=None)
    generator_url: str | None = msgspec.field(name="generatorURL", default=None)


_DECODER = msgspec.json.Decoder(list[PostedAlert])
_LABELS = msgspec.json.Decoder(dict[str, str])
_ANNOTATIONS = msgspec.json.Decoder(dict[str, str] | None)


class Stated(NamedTuple):
    """What labels, annotations and URL say, whenever it is that the alert fires."""

    labels: dict[str, str]
    annotations: dict[str, str]
    url: str | None
    fingerprint: str
    title: str
    alert_name: str | None
    description: str
    service: str | None
    severity: Severity
    customers_affected: int | None


_REMEMBERED = 4_096
_REMEMBERED_LENGTH = 1_024
_known: dict[object, Stated] = {}
"""A firing alert is sent again every minute, and reading it costs more than all the rest. The bounds
keep this under 40 MB whatever is sent; what has been there longest goes first."""


def parse(body: bytes, received_at: datetime) -> list[Signal]:
    """The signals of one POST to `/api/v2/alerts`. Raises BadBody for the whole of it."""
    alerts = rules.decoded(_DECODER, body)
    rules.counted(len(alerts), "body")
    return [_signal(alert, f"[{i}]", received_at) for i, alert in enumerate(alerts)]


def _signal(alert: PostedAlert, field: str, received_at: datetime) -> Signal:
    said = _posted(alert, field)
    ends_at = rules.moment(alert.ends_at, f"{field}.endsAt")
    resolved = ends_at is not None and ends_at <= received_at
    return labelled_signal(
        said,
        received_at,
        status="resolved" if resolved else "firing",
        starts_at=rules.moment(alert.starts_at, f"{field}.startsAt"),
        ends_at=ends_at if resolved else None,
        expires_at=None if resolved else ends_at,
    )


def _posted(alert: PostedAlert, field: str) -> Stated:
    """What the alert says; the same bytes say the same, and so needn't be read again."""
    key = bytes(alert.labels), bytes(alert.annotations), alert.generator_url
    if (known := _known.get(key)) is not None:
        return known
    sent = rules.decoded(_LABELS, key[0], f"{field}.labels")
    # Alertmanager drops empty labels before it makes the fingerprint; to Prometheus an empty label
    # is an absent one.
    labels = {name: value for name, value in sent.items() if value}
    if not labels:
        raise rules.bad(f"{field}.labels", "has no label with a value; name the alert in one")
    annotations = rules.decoded(_ANNOTATIONS, key[1], f"{field}.annotations") or {}
    said = _read(labels, annotations, alert.generator_url, field)
    _remember(key, said, len(key[0]) + len(key[1]) + len(alert.generator_url or ""))
    return said


def said_by(
    labels: dict[str, str], annotations: dict[str, str], url: str | None, field: str
) -> Stated:
    """What labels, annotations and URL say, remembered; `field` leads in a BadBody's path."""
    key = (*labels.items(), None, *annotations.items(), url)
    if (known := _known.get(key)) is not None:
        return known
    read = _read(labels, annotations, url, field)
    texts = (*labels, *labels.values(), *annotations, *annotations.values(), url or "")
    _remember(key, read, sum(map(len, texts)))
    return read


def _remember(key: object, said: Stated, length: int) -> None:
    if length <= _REMEMBERED_LENGTH:
        if len(_known) >= _REMEMBERED:
            del _known[next(iter(_known))]
        _known[key] = said


def labelled_signal(
    said: Stated,
    received_at: datetime,
    *,
    status: Status,
    starts_at: datetime | None,
    ends_at: datetime | None,
    expires_at: datetime | None = None,
    stated_fingerprint: str = "",
    truncated: int = 0,
) -> Signal:
    """A signal from what Prometheus' alerts consist of, bounded.

    The fingerprint is made from the labels where none is stated.
    """
    starts_at, ends_at, skewed = rules.bounded(starts_at, ends_at, received_at)
    return Signal(
        source=SOURCE,
        fingerprint=stated_fingerprint or said.fingerprint,
        status=status,
        starts_at=starts_at,
        ends_at=ends_at,
        expires_at=expires_at,
        title=said.title,
        alert_name=said.alert_name,
        description=said.description,
        service=said.service,
        severity=said.severity,
        customers_affected=said.customers_affected,
        labels=said.labels,
        annotations=said.annotations,
        url=said.url,
        truncated=truncated,
        skewed=skewed,
    )


def _read(
    labels: dict[str, str], annotations: dict[str, str], url: str | None, field: str
) -> Stated:
    stored = rules.labelled(labels, f"{field}.labels")
    notes = rules.annotated(annotations, f"{field}.annotations")
    return Stated(
        labels=stored,
        annotations=notes,
        url=rules.web_address(url),
        fingerprint=fingerprint(labels),
        title=_title(stored, notes),
        alert_name=rules.one_line(stored.get("alertname", ""), rules.MAX_NAME) or None,
        description=notes.get("description") or notes.get("message") or "",
        service=rules.service_of(stored),
        severity=rules.severity_of(stored),
        customers_affected=customers(notes),
    )


def _title(labels: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    """What a person would call it: the first annotation that speaks, else its name and place."""
    for annotation in ("summary", "title", "description", "message"):
        if line := rules.one_line(annotations.get(annotation, "")):
            return line
    if name := rules.one_line(labels.get("alertname", ""), rules.MAX_NAME):
        place = next((labels[at] for at in ("instance", "pod", "node", "host") if at in labels), "")
        return rules.one_line(f"{name} on {place}" if place else name)
    spelled = " ".join(f"{name}={value}" for name, value in sorted(labels.items()))
    return rules.one_line(spelled) or "Alert without a name"


def customers(annotations: Mapping[str, str]) -> int | None:
    """The annotation `customers_affected`, which a rule's author fills from a query.

    Prometheus prints such a value as `412` or `1.25e+03`, and as `NaN` or `+Inf` where the query
    had nothing to say.
    """
    try:
        number = float(annotations.get("customers_affected", ""))
    except ValueError:
        return None
    return round(number) if isfinite(number) and 0 <= number <= MAX_CUSTOMERS else None


def fingerprint(labels: Mapping[str, str]) -> str:
    """Prometheus' `model.LabelSet.Fingerprint`, as Alertmanager prints it: 16 hexadecimal digits.

    64-bit FNV-1a over the names in order, each name and value followed by the byte 255, which no
    UTF-8 contains. http://www.isthe.com/chongo/tech/comp/fnv/
    """
    total = _FNV_OFFSET
    stated = b"".join(
        part
        for name in sorted(labels)
        for part in (name.encode(), b"\xff", labels[name].encode(), b"\xff")
    )
    for byte in stated:
        total = (total ^ byte) * _FNV_PRIME & 0xFFFF_FFFF_FFFF_FFFF
    return f"{total:016x}"


_FNV_OFFSET = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3
