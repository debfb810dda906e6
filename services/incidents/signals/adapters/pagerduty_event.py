"""An event of PagerDuty's Events API v2: its fields, and in PagerDuty's words what is wrong with it."""

import msgspec

from services.incidents.signals import signal as rules
from services.incidents.signals.signal import BadBody, FieldError

_ROUTING_KEY = 32
_DEDUP_KEY = 255
_ACTIONS = ("trigger", "acknowledge", "resolve")
_SEVERITIES = ("critical", "warning", "error", "info")


class Payload(msgspec.Struct, gc=False):
    """What happened, and to what."""

    summary: str | None = None
    source: str | None = None
    severity: str | None = None
    timestamp: object = None
    component: object = None
    group: object = None
    class_: object = msgspec.field(name="class", default=None)
    custom_details: object = None


class Event(msgspec.Struct, gc=False):
    """One event. Fields that aren't named here are ignored."""

    routing_key: str | None = None
    event_action: str | None = None
    dedup_key: str | None = None
    payload: Payload | None = None
    client: object = None
    client_url: object = None
    links: object = None
    images: object = None


_DECODER = msgspec.json.Decoder(Event)


def decoded(body: bytes) -> Event:
    """The event, as PagerDuty would take it. Raises BadBody with all that is wrong with it.

    Only an Alertmanager, which drops a notification that is refused, and fills the severity from
    a template, may send one of its own.
    """
    event = rules.decoded(_DECODER, body)
    if errors := [*_errors(event), *_trigger_errors(event)]:
        raise BadBody(*errors)
    return event


def of_alertmanager(event: Event) -> bool:
    """Whether its details are those that an Alertmanager sends unless it is told otherwise."""
    details = event.payload.custom_details if event.payload else None
    return isinstance(details, dict) and "num_firing" in details


def _errors(event: Event) -> list[FieldError]:
    errors: list[FieldError] = []
    if not event.routing_key:
        errors.append(_missing("routing_key"))
    elif len(event.routing_key) != _ROUTING_KEY:
        wrong = f"Length of 'routing_key' is incorrect (should be {_ROUTING_KEY} characters)"
        errors.append(FieldError("routing_key", wrong))
    if not event.event_action:
        errors.append(_missing("event_action"))
    elif event.event_action not in _ACTIONS:
        errors.append(_not_one_of("event_action", _ACTIONS))
    elif event.event_action != "trigger" and not event.dedup_key:
        errors.append(_missing("dedup_key"))
    if len(event.dedup_key or "") > _DEDUP_KEY:
        wrong = f"Length of 'dedup_key' is incorrect (should be at most {_DEDUP_KEY} characters)"
        errors.append(FieldError("dedup_key", wrong))
    return errors


def _trigger_errors(event: Event) -> list[FieldError]:
    if event.event_action != "trigger":
        return []
    if event.payload is None:
        return [_missing("payload")]
    payload = event.payload
    stated = {"summary": payload.summary, "source": payload.source}
    blank = [name for name, said in stated.items() if not (said or "").strip()]
    errors = [_missing(f"payload.{name}") for name in blank]
    if not of_alertmanager(event):
        if not payload.severity:
            errors.append(_missing("payload.severity"))
        elif payload.severity not in _SEVERITIES:
            errors.append(_not_one_of("payload.severity", _SEVERITIES))
    return errors


def _missing(field: str) -> FieldError:
    return FieldError(field, f"'{field}' is missing or blank")


def _not_one_of(field: str, words: tuple[str, ...]) -> FieldError:
    known = f"{', '.join(map(repr, words[:-1]))} or {words[-1]!r}"
    return FieldError(field, f"'{field}' is invalid (must be one of the following: {known})")
