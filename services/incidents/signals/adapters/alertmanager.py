"""Alertmanager's webhook, version 4, from the bytes that Alertmanager itself sends.

One message mixes firing and resolved alerts; each speaks for itself, by its own fingerprint. The
group it came in, the receiver and the group's key decide nothing here.
"""

from datetime import datetime
from typing import Annotated

import msgspec

from services.incidents.signals import signal as rules
from services.incidents.signals.adapters.prometheus import labelled_signal, said_by
from services.incidents.signals.signal import Signal, Status

VERSION = "4"


class WebhookAlert(msgspec.Struct, gc=False):
    """One alert of a message. Fields that aren't named here are ignored."""

    status: Status
    labels: dict[str, str]
    annotations: dict[str, str] | None = None
    starts_at: str | None = msgspec.field(name="startsAt", default=None)
    ends_at: str | None = msgspec.field(name="endsAt", default=None)
    generator_url: str | None = msgspec.field(name="generatorURL", default=None)
    fingerprint: str = ""


class Message(msgspec.Struct, gc=False):
    """One webhook POST. Fields that aren't named here are ignored."""

    alerts: list[WebhookAlert]
    version: str = VERSION
    truncated: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = msgspec.field(
        name="truncatedAlerts", default=0
    )


_DECODER = msgspec.json.Decoder(Message)


def parse(body: bytes, received_at: datetime) -> list[Signal]:
    """The signals of one webhook POST, in its order. Raises BadBody for the whole of it."""
    message = rules.decoded(_DECODER, body)
    if message.version != VERSION:
        stated = rules.shortened(message.version, 60)
        raise rules.bad("version", f"is {stated!r}; send Alertmanager's webhook version {VERSION}")
    rules.counted(len(message.alerts), "alerts")
    return [
        _signal(alert, f"alerts[{i}]", message.truncated, received_at)
        for i, alert in enumerate(message.alerts)
    ]


def _signal(alert: WebhookAlert, field: str, truncated: int, received_at: datetime) -> Signal:
    if len(alert.fingerprint) > rules.MAX_NAME:
        raise rules.bad(f"{field}.fingerprint", f"is longer than {rules.MAX_NAME} characters")
    if not (alert.labels or alert.fingerprint):
        raise rules.bad(field, "has neither labels nor a fingerprint; send one to know it by")
    resolved = alert.status == "resolved"
    # A firing alert's end is not yet known, whatever stands in endsAt.
    ends_at = rules.moment(alert.ends_at, f"{field}.endsAt") if resolved else None
    return labelled_signal(
        said_by(alert.labels, alert.annotations or {}, alert.generator_url, field),
        received_at,
        status=alert.status,
        starts_at=rules.moment(alert.starts_at, f"{field}.startsAt"),
        ends_at=(ends_at or received_at) if resolved else None,
        stated_fingerprint=rules.storable(alert.fingerprint),
        truncated=truncated,
    )
