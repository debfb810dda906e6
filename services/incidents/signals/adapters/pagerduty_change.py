"""PagerDuty's change events, as they are posted to its `/v2/change/enqueue`.

A change event has no id: its text is its identity, so that a retry is recognised. Who may send it
is not decided here, though the key stands in the body.
"""

from datetime import datetime
from hashlib import sha256

import msgspec

from services.incidents.changes.domain import Change, Kind
from services.incidents.signals import signal as rules
from services.incidents.signals.signal import BadBody

SOURCE = "pagerduty"

_KINDS: dict[str, Kind] = {
    "deployment": "deployment",
    "deploy": "deployment",
    "release": "release",
    "config": "config",
    "configuration": "config",
}


class Link(msgspec.Struct, gc=False):
    """Where to read more."""

    href: str | None = None
    text: str | None = None


class Payload(msgspec.Struct, gc=False):
    """What changed. Fields that aren't named here are ignored."""

    summary: str
    source: str | None = None
    timestamp: str | None = None
    custom_details: msgspec.Raw = msgspec.Raw(b"null")


class ChangeEvent(msgspec.Struct, gc=False):
    """One POST. Fields that aren't named here are ignored."""

    payload: Payload
    routing_key: str = ""
    links: list[Link] | None = None


_DECODER = msgspec.json.Decoder(ChangeEvent)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)


def parse_change(body: bytes, received_at: datetime) -> Change:
    """The change of one POST. Raises BadBody, which `refused` answers.

    The details `service`, `environment`, `revision` and `kind` are read as what they say.
    """
    event = rules.decoded(_DECODER, body)
    payload = event.payload
    title = rules.one_line(rules.storable(payload.summary))
    if not title:
        raise rules.bad("payload.summary", "is blank; say in one line what changed")
    details = _details(bytes(payload.custom_details))
    links = [link for link in event.links or () if rules.web_address(link.href)]
    return Change(
        source=SOURCE,
        external_ref=_identity(event, received_at),
        kind=_KINDS.get(details.get("kind", "").strip().lower(), "other"),
        title=title,
        service=_named(details, "service", "service_name"),
        at=_happened(payload.timestamp, received_at),
        environment=_named(details, "environment", "env"),
        revision=_named(details, "revision", "commit", "sha", "version"),
        url=rules.web_address(links[0].href) if links else None,
        details=details | _kept(payload, title) | _further(links[1:]),
    )


def taken() -> dict[str, str]:
    """The body of the 202 that says so."""
    return {"status": "success", "message": "Change event processed"}


def refused(error: BadBody) -> dict[str, str | list[str]]:
    """The body of the 400 that says what is wrong."""
    return {
        "status": "invalid event",
        "message": "Event object is invalid",
        "errors": [f"'{one.field}' {one.message}" for one in error.errors],
    }


def _identity(event: ChangeEvent, received_at: datetime) -> str:
    """The same for a retry. The key is in it: one text sent for two services is two changes.

    Without a timestamp the hour of arrival stands in for it, since a script says "Deployed" every
    time. A retry across the hour is then a second change, which hides less than none would.
    """
    payload = event.payload
    stated = [
        event.routing_key,
        payload.summary,
        payload.source,
        payload.timestamp or f"{received_at:%Y-%m-%dT%H}",
        bytes(payload.custom_details).decode(),
        [[link.href, link.text] for link in event.links or ()],
    ]
    return sha256(msgspec.json.encode(stated)).hexdigest()[:32]


def _happened(text: str | None, received_at: datetime) -> datetime:
    """The event's own time. One that can't be read, or isn't said, is that of its arrival.

    It is no reason for a refusal: a change is sent when it is made, and a pipeline reads no answer.
    """
    try:
        stated = rules.moment(text, "payload.timestamp")
    except BadBody:
        stated = None
    return rules.bounded(stated, None, received_at)[0]


def _details(raw: bytes) -> dict[str, str]:
    """The custom details: texts as they are, all else as its JSON; what is too much is left out."""
    if raw == b"null":
        return {}
    if not raw.startswith(b"{"):
        return {"custom_details": _text(raw)}
    entries = rules.decoded(_OBJECT, raw)
    kept: dict[str, str] = {}
    for stated, value in entries.items():
        name = rules.one_line(rules.storable(stated), rules.MAX_NAME)
        if name and bytes(value) != b"null" and len(kept) < rules.MAX_LABELS:
            kept[name] = _text(bytes(value))
    return kept


def _text(raw: bytes) -> str:
    text = rules.decoded(_TEXT, raw) if raw.startswith(b'"') else raw.decode()
    return rules.shortened(rules.storable(text))


def _named(details: dict[str, str], *names: str) -> str | None:
    lines = (rules.one_line(details.get(name, ""), rules.MAX_NAME) for name in names)
    return next((line for line in lines if line), None)


def _kept(payload: Payload, title: str) -> dict[str, str]:
    """What is said beside the details and has no place of its own."""
    said = {
        "source": payload.source,
        "timestamp": payload.timestamp,
        "summary": payload.summary if payload.summary != title else None,
    }
    return {name: rules.shortened(rules.storable(text)) for name, text in said.items() if text}


def _further(links: list[Link]) -> dict[str, str]:
    """The links after the first, a line each."""
    lines = [rules.storable(f"{link.text or ''} {link.href}").strip() for link in links]
    return {"links": rules.shortened("\n".join(lines))} if lines else {}
