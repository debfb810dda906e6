"""CloudEvents 1.0 over HTTP: the events of a request in any of the three modes, with their data.

What an event means is not decided here.
"""

import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import unquote_to_bytes

import msgspec

from services.incidents.signals import signal as rules
from services.incidents.signals.signal import BadBody, FieldError
from shared.refusals import Refusal

_BATCH = "application/cloudevents-batch"
_STRUCTURED = "application/cloudevents"
_NEEDED = ("specversion", "id", "source", "type")


class WrongMediaType(Refusal):
    """The events are in a format that isn't read here."""

    status: ClassVar[int] = 415


class Event(msgspec.Struct, gc=False):
    """One event, as its JSON format has it. Extension attributes are ignored."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str | None = None
    time: str | None = None
    datacontenttype: str | None = None
    data: object = None
    data_base64: str | None = None


_EVENT = msgspec.json.Decoder(Event)
_EVENTS = msgspec.json.Decoder(list[Event])
_JSON = msgspec.json.Decoder(object)


def events(body: bytes, headers: Mapping[str, str]) -> list[tuple[str, Event]]:
    """The events of one request, in its order, each with what its fields' names begin with.

    `data_base64` has become `data`. Raises BadBody for the whole of it, and WrongMediaType for an
    event format other than JSON.
    """
    media_type = _media_type(headers.get("content-type"))
    if media_type.startswith(_BATCH):  # first: the structured mode's name begins like the batch's
        _json_only(media_type, _BATCH)
        batch = rules.decoded(_EVENTS, body)
        rules.counted(len(batch), "body")
        read = [(f"[{i}].", event) for i, event in enumerate(batch)]
    elif media_type.startswith(_STRUCTURED):
        _json_only(media_type, _STRUCTURED)
        read = [("", rules.decoded(_EVENT, body))]
    else:
        read = [("ce-", _binary(body, headers))]
    for prefix, event in read:
        _check(event, prefix)
    return read


def _check(event: Event, prefix: str) -> None:
    if event.specversion != "1.0":
        stated = rules.shortened(event.specversion, 20)
        raise rules.bad(f"{prefix}specversion", f"is {stated!r}; send CloudEvents 1.0")
    if empty := [name for name in _NEEDED if not getattr(event, name)]:
        advice = "is empty; no event is without it"
        raise BadBody(*(FieldError(f"{prefix}{name}", advice) for name in empty))
    if event.data_base64 is not None:
        try:
            raw = b64decode(event.data_base64, validate=True)
        except (NotBase64, ValueError):
            raise rules.bad(f"{prefix}data_base64", "is not base64; encode it again") from None
        event.data = _data(raw, event.datacontenttype or "application/octet-stream")


def _media_type(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()


def _json_only(media_type: str, mode: str) -> None:
    if media_type != f"{mode}+json":
        shown = rules.shortened(media_type, 100)
        raise WrongMediaType(f"{shown} is not read here; send {mode}+json")


def _binary(body: bytes, headers: Mapping[str, str]) -> Event:
    said = {
        name: _header(name, headers[f"ce-{name}"])
        for name in (*_NEEDED, "subject", "time")
        if f"ce-{name}" in headers
    }
    if missing := [f"ce-{name}" for name in _NEEDED if name not in said]:
        advice = f"is missing; send it as a header, or {_STRUCTURED}+json as the content type"
        raise BadBody(*(FieldError(name, advice) for name in missing))
    return Event(**said, data=_data(body, headers.get("content-type")))


def _header(name: str, value: str) -> str:
    """An attribute as its header spells it: perhaps in quotes, and percent-encoded UTF-8."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    try:
        return unquote_to_bytes(value.encode("latin-1")).decode()
    except UnicodeError:
        raise rules.bad(f"ce-{name}", "is not UTF-8; percent-encode its UTF-8 bytes") from None


def _data(raw: bytes, content_type: str | None) -> object:
    """The data as JSON or text; None for what is neither, whose event speaks for itself.

    Raises BadBody for what should be JSON and isn't.
    """
    media_type = _media_type(content_type)
    if raw and (media_type.endswith(("/json", "+json")) or not media_type):
        return rules.decoded(_JSON, raw)
    return raw.decode(errors="replace") if media_type.startswith("text/") else None
