"""Datadog's webhooks, whose body is what their owner writes: TEMPLATE, with its variables filled in.

Datadog leaves a variable empty, or as it stands in the template, where it has nothing to say; so
does this. A monitor's cycle key is the alert's identity from trigger to recovery.
"""

import re
from datetime import datetime

import msgspec

from services.incidents.signals import signal as rules
from services.incidents.signals.adapters import loose
from services.incidents.signals.signal import Signal

SOURCE = "datadog"

TEMPLATE = """{
  "alert_cycle_key": "$ALERT_CYCLE_KEY",
  "alert_id": "$ALERT_ID",
  "alert_priority": "$ALERT_PRIORITY",
  "alert_scope": "$ALERT_SCOPE",
  "alert_transition": "$ALERT_TRANSITION",
  "alert_type": "$ALERT_TYPE",
  "aggreg_key": "$AGGREG_KEY",
  "date": "$DATE",
  "event_title": "$EVENT_TITLE",
  "event_msg": "$EVENT_MSG",
  "hostname": "$HOSTNAME",
  "link": "$LINK",
  "tags": "$TAGS"
}"""
"""What to paste as the payload of a webhook in Datadog. Fields beside these are ignored."""

_UNFILLED = re.compile(r"\$[A-Z_]+|null")


class Notification(msgspec.Struct, gc=False):
    """One POST: the template, filled in. A variable's name is that of its field, in capitals."""

    alert_cycle_key: object = None
    alert_id: object = None
    alert_priority: object = None
    alert_scope: object = None
    alert_transition: object = None
    alert_type: object = None
    aggreg_key: object = None
    date: object = None
    event_title: object = None
    event_msg: object = None
    hostname: object = None
    link: object = None
    tags: object = None


_DECODER = msgspec.json.Decoder(Notification)


def parse(body: bytes, received_at: datetime) -> list[Signal]:
    """The one signal of a POST. Raises BadBody where nothing tells which alert it is about."""
    sent = rules.decoded(_DECODER, body)
    transition, kind = _filled(sent.alert_transition), _filled(sent.alert_type)
    resolved = "recovered" in transition.lower() or (not transition and kind.lower() == "success")
    scope = loose.tagged(_listed(sent.alert_scope))
    host = _filled(sent.hostname)
    # The scope is the group of the monitor that this is about; tags are of the monitor as a whole.
    labels = scope | {
        at: said for at, said in loose.tagged(_listed(sent.tags)).items() if at not in scope
    }
    if host:
        labels.setdefault("host", host)
    priority = _filled(sent.alert_priority)
    rated = priority or ("warn" if "warn" in transition.lower() else kind)
    at = _filled(sent.date)
    message = _filled(sent.event_msg).strip().removeprefix("%%%").removesuffix("%%%")
    signal = loose.signal(
        SOURCE,
        received_at,
        fingerprint=_identity(sent),
        status="resolved" if resolved else "firing",
        starts_at=at,
        ends_at=at,
        title=_filled(sent.event_title),
        severity=rules.severity_of({"severity": rated}),
        labels=labels,
        annotations={
            "transition": transition,
            "monitor": _filled(sent.alert_id),
            "tags": ", ".join(_listed(sent.tags)),
        },
        description=message,
        url=_filled(sent.link),
    )
    return [signal]


def _identity(sent: Notification) -> str:
    """The cycle key; the next best for what isn't of a monitor: the aggregate, the monitor's group."""
    monitor = [part for said in (sent.alert_id, sent.alert_scope) if (part := _filled(said))]
    known_by = _filled(sent.alert_cycle_key) or _filled(sent.aggreg_key) or "/".join(monitor)
    if known_by := known_by or loose.stateless(_filled(sent.event_title)):
        return known_by
    advice = "is empty, as are all that could stand for it; paste the template as it is documented"
    raise rules.bad("alert_cycle_key", advice)


def _filled(value: object) -> str:
    """What the variable was filled with; empty where it wasn't."""
    said = loose.text(value).strip()
    return "" if _UNFILLED.fullmatch(said) else said


def _listed(value: object) -> list[str]:
    """The tags of a list that is written with commas."""
    return [tag for part in _filled(value).split(",") if (tag := part.strip())]
