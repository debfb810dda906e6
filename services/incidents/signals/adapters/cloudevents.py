"""CloudEvents 1.0 over HTTP, in its three modes, and what an event says as a signal.

An event's `data` may hold the fields of our own format, loosely:
- The title is `data.title`, `summary` or `message`, else the subject, else the type.
- `data.status` says whether it fires; else the last word of the type does, a version after it
  (`.v1`) left out: one of ENDED is an end, anything else fires.
- The fingerprint is `data.fingerprint`, or made of the event's source, subject and type, without
  the type's last word if that is a state: `disk.full.opened` is ended by `disk.full.closed`.
- It began, or ended, at the event's time, unless `data.starts_at` or `ends_at` says when.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256

import msgspec

from services.incidents.signals import signal as rules
from services.incidents.signals.adapters import loose
from services.incidents.signals.adapters.cloudevents_event import Event, events
from services.incidents.signals.signal import Signal, Status

SOURCE = "cloudevents"

ENDED = frozenset({"resolved", "closed", "recovered", "ok", "ended"})
BEGAN = frozenset({"firing", "fired", "triggered", "alerting", "active", "failed"})
BEGAN |= {"opened", "open", "started", "raised", "created"}

_VERSION = re.compile(r"v\d+", re.ASCII)
_OWN = ("title", "status", "severity", "service", "fingerprint", "labels", "annotations")
_OWN_TOO = ("alert_name", "description", "url", "starts_at", "ends_at", "customers_affected")


def parse(body: bytes, received_at: datetime, headers: Mapping[str, str]) -> list[Signal]:
    """The signals of one request, in its order; none for an empty batch.

    Raises BadBody for the whole of it, and WrongMediaType for an event format other than JSON.
    """
    return [_signal(event, prefix, received_at) for prefix, event in events(body, headers)]


def _signal(event: Event, prefix: str, received_at: datetime) -> Signal:
    at = rules.moment(event.time, f"{prefix}time")
    # A text, or whatever isn't an object, is taken for the message.
    data = event.data if isinstance(event.data, dict) else {"message": event.data}
    stem, last = _stem_and_state(event.type)
    word = loose.text(data.get("status")).strip().lower()
    ended = word in ENDED if word in ENDED | BEGAN else last in ENDED
    status: Status = "resolved" if ended else "firing"
    labels = loose.flat(data.get("labels"))
    titles = (
        *(loose.text(data.get(name)) for name in ("title", "summary", "message")),
        event.subject,
    )
    rest = {name: said for name, said in data.items() if name not in (*_OWN, *_OWN_TOO)}
    return loose.signal(
        SOURCE,
        received_at,
        fingerprint=loose.text(data.get("fingerprint")) or _fingerprint(event, stem),
        status=status,
        starts_at=data.get("starts_at") or (None if ended else at),
        ends_at=data.get("ends_at") or at,
        title=next((title for title in titles if title and title.strip()), event.type),
        severity=rules.severity_of(
            {"severity": loose.text(said)} if (said := data.get("severity")) else labels
        ),
        labels=labels,
        annotations={
            "customers_affected": loose.text(data.get("customers_affected")),
            **loose.flat(data.get("annotations")),
            "event_id": event.id,
            "event_type": event.type,
            "event_source": event.source,
            "event_subject": event.subject or "",
            **loose.flat(rest),
        },
        alert_name=loose.text(data.get("alert_name")) or labels.get("alertname", ""),
        service=loose.text(data.get("service")),
        description=loose.text(data.get("description") or data.get("message")),
        url=loose.text(data.get("url")),
    )


def _stem_and_state(type_: str) -> tuple[str, str]:
    """The type without its version and its state, and the state's word or an empty text."""
    words = type_.split(".")
    if len(words) > 1 and _VERSION.fullmatch(words[-1]):
        words.pop()
    if (last := words[-1].lower()) in ENDED | BEGAN:
        return ".".join(words[:-1]), last
    return ".".join(words), ""


def _fingerprint(event: Event, stem: str) -> str:
    identity = msgspec.json.encode([event.source, stem, event.subject])
    return sha256(identity).hexdigest()[:32]
