"""PagerDuty's Events API v2, `POST /v2/enqueue`: what its clients send, and what they are answered.

`payload.timestamp` is when the event happened: the start of a trigger, the end of a resolve.
"""

import re
from datetime import datetime

from services.incidents.signals import signal as rules
from services.incidents.signals.adapters import loose
from services.incidents.signals.adapters.pagerduty_event import (
    Event,
    Payload,
    decoded,
    of_alertmanager,
)
from services.incidents.signals.signal import Acknowledgement, BadBody, Said, Signal, Status

SOURCE = "pagerduty"

_ALERTMANAGERS = ("firing", "resolved", "num_firing", "num_resolved")
"""What an Alertmanager tells in `custom_details`, unless it is configured otherwise."""
_LISTED = re.compile(r"^ - (\S+) = (.*)$", re.MULTILINE)


def parse(body: bytes, received_at: datetime, new_key: str) -> list[Said]:
    """The one thing that an event says. Raises BadBody with all of its errors.

    `new_key` is the identity of a trigger that states no `dedup_key`; it must be new each time.
    """
    event = decoded(body)
    payload = event.payload or Payload()
    key = event.dedup_key or new_key
    if event.event_action == "acknowledge":
        at, _, _ = rules.bounded(loose.instant(payload.timestamp), None, received_at)
        by = rules.one_line(loose.text(event.client), rules.MAX_NAME) or "PagerDuty client"
        return [Acknowledgement(source=SOURCE, fingerprint=loose.identity(key), by=by, at=at)]
    status: Status = "resolved" if event.event_action == "resolve" else "firing"
    return [_signal(event, payload, key, status, received_at)]


def _signal(
    event: Event, payload: Payload, key: str, status: Status, received_at: datetime
) -> Signal:
    told = _told_by_alertmanager(payload.custom_details) if of_alertmanager(event) else {}
    details = loose.flat(payload.custom_details)
    stated = {
        "class": loose.text(payload.class_),
        "component": loose.text(payload.component),
        "group": loose.text(payload.group),
        "client": loose.text(event.client),
    }
    if payload.source != event.client:  # as it is where a monitor names itself, and no host
        stated["instance"] = payload.source or ""
    labels, notes = loose.parted({at: said for at, said in details.items() if at not in stated})
    if of_alertmanager(event):
        moved = [at for at in _ALERTMANAGERS if at in labels]
        notes = {at: labels.pop(at) for at in moved} | notes
    links = _links(event)
    summary = payload.summary or ""
    cut = summary if rules.one_line(summary) != summary.strip() else ""
    loosely = payload.custom_details if isinstance(payload.custom_details, str) else ""
    at = payload.timestamp
    return loose.signal(
        SOURCE,
        received_at,
        fingerprint=key,
        status=status,
        starts_at=at,
        ends_at=at,
        title=summary,
        # Alertmanager's own says `error` unless it is told otherwise; its alerts know.
        severity=rules.severity_of(
            told if "severity" in told else {"severity": payload.severity or ""}
        ),
        labels=stated | told | labels,
        annotations={"links": "\n".join(links)} | notes,
        alert_name=told.get("alertname") or stated["class"],
        service=stated["component"],
        description=details.get("description") or notes.get("firing") or loosely or cut,
        url=next((link for link in links if rules.web_address(link)), ""),
    )


def _told_by_alertmanager(details: object) -> dict[str, str]:
    """The labels that all alerts of an Alertmanager's group share.

    Its `custom_details` list the alerts, the firing ones or else the resolved: as lines of text, or
    in its later versions as objects.
    """
    assert isinstance(details, dict)
    listed = details.get("firing") or details.get("resolved")
    groups: list[dict[str, str]] = []
    if isinstance(listed, list):
        groups = [loose.flat(alert.get("labels")) for alert in listed if isinstance(alert, dict)]
    elif isinstance(listed, str):
        parts = listed.split("Labels:\n")[1:]
        groups = [dict(_LISTED.findall(part.partition("Annotations:\n")[0])) for part in parts]
    first = groups[0] if groups else {}
    return {at: said for at, said in first.items() if all(one.get(at) == said for one in groups)}


def _links(event: Event) -> list[str]:
    """What is linked to, the client's own page first."""
    links = [loose.text(event.client_url)]
    for listed, name in ((event.links, "href"), (event.images, "href"), (event.images, "src")):
        entries = listed if isinstance(listed, list) else []
        links += [loose.text(one.get(name)) for one in entries if isinstance(one, dict)]
    return [link for link in links if link]


def taken(said: Said) -> dict[str, str]:
    """The answer, with 202, to an event that was taken in."""
    return {
        "status": "success",
        "message": "Event processed",
        "dedup_key": said.fingerprint,
    }


def refused(error: BadBody) -> dict[str, object]:
    """The answer, with 400, to an event that was refused."""
    errors = [
        one.message if f"'{one.field}'" in one.message else f"'{one.field}' {one.message}"
        for one in error.errors
    ]
    return {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
