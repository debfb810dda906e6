"""Our own format: one alert, or a list of them, for whoever writes their own sender.

Strict, unlike the formats of others: an unknown field, a contradiction or an impossible time is an
error that names the field, because here the author is still at hand to mend it.
"""

import re
from datetime import datetime
from hashlib import sha256
from typing import Annotated

import msgspec

from services.incidents.signals import signal as rules
from services.incidents.signals.signal import BadBody, FieldError, Signal, Status
from shared.clock import EARLIEST, SKEW, rfc3339
from shared.contracts.incidents import Severity

SOURCE = "api"
"""The source of a caller that names none."""

MAX_DESCRIPTION = 16_384
MAX_ERRORS = 20
"""A body's further errors are left out of the answer."""

_SOURCE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_NUMBERED = re.compile(r"\S*\d\S*")

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=rules.MAX_NAME)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]


class StatedAlert(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One alert as a caller states it; only the title is needed."""

    title: Annotated[str, msgspec.Meta(max_length=rules.MAX_TITLE)]
    source: str = SOURCE
    fingerprint: Name | None = None
    """Left out: made from service, alert name (or the title without its numbers) and labels."""
    status: Status = "firing"
    starts_at: str | None = None
    """Left out: the end, where there is one, or else now."""
    ends_at: str | None = None
    """Only of a resolved alert. Left out there: now."""
    alert_name: Name | None = None
    description: Annotated[str, msgspec.Meta(max_length=MAX_DESCRIPTION)] = ""
    service: Name | None = None
    severity: Severity = "medium"
    customers_affected: Count | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    url: str | None = None


_DECODER = msgspec.json.Decoder(StatedAlert | list[StatedAlert])


def parse(body: bytes, received_at: datetime) -> list[Signal]:
    """The signals of one POST, in its order. Raises BadBody with the errors of all its alerts."""
    stated = rules.decoded(_DECODER, body)
    if isinstance(stated, StatedAlert):
        return [_signal(stated, "", received_at)]
    rules.counted(len(stated), "body")
    if not stated:
        raise rules.bad("body", "is an empty list; send at least one alert")
    signals: list[Signal] = []
    errors: list[FieldError] = []
    for i, alert in enumerate(stated):
        try:
            signals.append(_signal(alert, f"[{i}].", received_at))
        except BadBody as error:
            errors += error.errors
    if errors:
        raise BadBody(*errors[:MAX_ERRORS])
    return signals


def _signal(alert: StatedAlert, prefix: str, received_at: datetime) -> Signal:
    starts_at, ends_at = _times(alert, prefix, received_at)
    title = " ".join(rules.storable(alert.title).split())
    if not title:
        raise rules.bad(f"{prefix}title", "is blank; say in one line what is wrong")
    if not _SOURCE.fullmatch(alert.source):
        advice = (
            "must be 1 to 64 of a-z, 0-9, dot, dash and underscore, and begin with one of a-z, 0-9"
        )
        raise rules.bad(f"{prefix}source", advice)
    if alert.url is not None and rules.web_address(alert.url) is None:
        advice = (
            f"must begin with http:// or https:// and have at most {rules.MAX_URL:,} characters"
        )
        raise rules.bad(f"{prefix}url", advice)
    labels = rules.labelled(alert.labels, f"{prefix}labels")
    return Signal(
        source=alert.source,
        fingerprint=_stored(alert.fingerprint)
        or fingerprint(alert.service, alert.alert_name, title, alert.labels),
        status=alert.status,
        starts_at=starts_at,
        ends_at=ends_at,
        expires_at=None,
        title=title,
        alert_name=_stored(alert.alert_name),
        description=rules.storable(alert.description),
        service=_stored(alert.service),
        severity=alert.severity,
        customers_affected=alert.customers_affected,
        labels=labels,
        annotations=rules.labelled(alert.annotations, f"{prefix}annotations"),
        url=_stored(alert.url),
    )


def _stored(text: str | None) -> str | None:
    return None if text is None else rules.storable(text)


def _times(
    alert: StatedAlert, prefix: str, received_at: datetime
) -> tuple[datetime, datetime | None]:
    """Start and end. Raises BadBody for an impossible time, or an end that contradicts the rest."""
    starts_at = _possible(alert.starts_at, f"{prefix}starts_at", received_at)
    ends_at = _possible(alert.ends_at, f"{prefix}ends_at", received_at)
    if alert.status == "firing":
        if ends_at is not None:
            advice = 'is set on a firing alert; send "status": "resolved" or leave it out'
            raise rules.bad(f"{prefix}ends_at", advice)
        return starts_at or received_at, None
    if starts_at is not None and ends_at is not None and ends_at < starts_at:
        advice = f"lies before starts_at; send {rfc3339(starts_at)} or later"
        raise rules.bad(f"{prefix}ends_at", advice)
    started, ended, _ = rules.bounded(starts_at, ends_at or received_at, received_at)
    return started, ended


def _possible(text: str | None, field: str, received_at: datetime) -> datetime | None:
    if text is None:
        return None
    moment = rules.moment(text, field)
    if moment is None or moment < EARLIEST:
        raise rules.bad(field, f"is too old; send {rfc3339(EARLIEST)} or later, or leave it out")
    latest = received_at + SKEW
    if moment > latest:
        raise rules.bad(field, f"lies in the future; send {rfc3339(latest)} or earlier")
    return moment


def fingerprint(
    service: str | None, alert_name: str | None, title: str, labels: dict[str, str]
) -> str:
    """The same for an alert's repeats, whose titles may differ in the words that hold a digit."""
    name = alert_name or _NUMBERED.sub("#", title)
    identity = msgspec.json.encode([service, name, sorted(labels.items())])
    return sha256(identity).hexdigest()[:32]
