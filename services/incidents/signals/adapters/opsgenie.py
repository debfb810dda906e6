"""Opsgenie's alert API: create, acknowledge and close, and what its clients are answered.

The alias is the alert's identity from its creation to its close. Opsgenie sends no times: a thing
happened when it was received.
"""

from datetime import datetime

import msgspec

from services.incidents.signals import signal as rules
from services.incidents.signals.adapters import loose
from services.incidents.signals.signal import Acknowledgement, BadBody, Said

SOURCE = "opsgenie"


class Creation(msgspec.Struct, gc=False):
    """`POST /v2/alerts`. Fields that aren't named here are ignored."""

    message: str
    alias: object = None
    description: object = None
    details: object = None
    tags: object = None
    entity: object = None
    source: object = None
    user: object = None
    note: object = None
    priority: object = None


class Action(msgspec.Struct, gc=False):
    """A close or an acknowledge; everything is optional."""

    user: object = None
    source: object = None
    note: object = None


_CREATION = msgspec.json.Decoder(Creation)
_ACTION = msgspec.json.Decoder(Action)


def parse(body: bytes, received_at: datetime, new_key: str) -> list[Said]:
    """The alert that is created. Raises BadBody where it has no message.

    `new_key` is the identity of an alert that states no alias; it must be new each time.
    """
    made = rules.decoded(_CREATION, body)
    if not made.message.strip():
        raise rules.bad("message", "is blank; say in one line what is wrong")
    details = loose.flat(made.details)
    tags = [loose.text(tag) for tag in made.tags] if isinstance(made.tags, list) else []
    labels, notes = loose.parted(details)
    places = {"entity": loose.text(made.entity), "source": loose.text(made.source)}
    named = loose.tagged(tags) | labels
    priority = loose.text(made.priority)
    # Opsgenie's default is P3, its middle, and ours is medium: nothing is lost by not knowing.
    rated = {"priority": priority} if priority else details
    signal = loose.signal(
        SOURCE,
        received_at,
        fingerprint=loose.text(made.alias) or new_key,
        status="firing",
        title=made.message,
        severity=rules.severity_of(rated),
        labels=named | {at: said for at, said in places.items() if at not in named},
        annotations={"tags": ", ".join(tags), "note": loose.text(made.note)} | notes,
        alert_name=details.get("alertname", ""),
        service=rules.service_of(named) or places["entity"],
        description=loose.text(made.description),
        url=next((said for said in details.values() if rules.web_address(said)), "")
        or places["source"],
    )
    return [signal]


def parse_close(alias: str, body: bytes, received_at: datetime) -> list[Said]:
    """The end of the alert of this alias, from the body of its `/close`, which may be empty."""
    action = rules.decoded(_ACTION, body or b"{}")
    signal = loose.signal(
        SOURCE,
        received_at,
        fingerprint=alias,
        status="resolved",
        title=alias,
        severity="medium",
        labels={},
        annotations={"note": loose.text(action.note), "closed_by": _by(action)},
    )
    return [signal]


def parse_acknowledge(alias: str, body: bytes, received_at: datetime) -> list[Said]:
    """Who is on the alert of this alias, from the body of its `/acknowledge`; it may be empty."""
    by = _by(rules.decoded(_ACTION, body or b"{}"))
    return [
        Acknowledgement(source=SOURCE, fingerprint=loose.identity(alias), by=by, at=received_at)
    ]


def _by(action: Action) -> str:
    who = loose.text(action.user) or loose.text(action.source)
    return rules.one_line(who, rules.MAX_NAME) or "Opsgenie client"


def taken(took_seconds: float, request_id: str) -> dict[str, object]:
    """The answer, with 202, to what was taken in."""
    return {
        "result": "Request will be processed",
        "took": round(took_seconds, 3),
        "requestId": request_id,
    }


def refused(error: BadBody, request_id: str) -> dict[str, object]:
    """The answer, with 400, to a body that was refused; `errors` is by field."""
    return {
        "message": f"Request body is not processable. Please check the errors. {error}",
        "errors": {one.field: one.message for one in error.errors},
        "took": 0.0,
        "requestId": request_id,
    }
