"""Sentry's integration webhooks: issue alerts, metric alerts, and what becomes of an issue.

An issue is one alert, by whichever of its webhooks it is told. A metric alert is known by its rule
and projects, which stay when it fires again. An archived issue has ended: Sentry tells no more of
it. Of every other resource there is nothing to tell.
"""

import re
from collections.abc import Mapping
from datetime import datetime

import msgspec

from services.incidents.signals import signal as rules
from services.incidents.signals.adapters import loose
from services.incidents.signals.signal import Acknowledgement, Said, Status

SOURCE = "sentry"
RESOURCE = "sentry-hook-resource"
"""The header that says what a body is about."""

_SENT = "sentry-hook-timestamp"
_PROJECT = re.compile(r"/projects/[^/]+/([^/]+)/")
_ISSUE: dict[str, Status] = {
    "created": "firing",
    "unresolved": "firing",
    "resolved": "resolved",
    "archived": "resolved",
    "ignored": "resolved",
}
_METRIC: dict[str, Status] = {"critical": "firing", "warning": "firing", "resolved": "resolved"}


class Data(msgspec.Struct, gc=False):
    """What the webhook is about; each resource fills its own part."""

    event: dict[str, object] | None = None
    issue: dict[str, object] | None = None
    metric_alert: dict[str, object] | None = None
    triggered_rule: object = None
    description_text: object = None
    web_url: object = None


class Hook(msgspec.Struct, gc=False):
    """One webhook. Fields that aren't named here are ignored."""

    action: str
    data: Data
    actor: object = None


_DECODER = msgspec.json.Decoder(Hook)


def parse(body: bytes, received_at: datetime, headers: Mapping[str, str]) -> list[Said]:
    """What one webhook says, or nothing. Raises BadBody for one that can't be understood."""
    resource = headers.get(RESOURCE, "").strip().lower()
    if not resource:
        raise rules.bad(RESOURCE, "is missing; send the header as Sentry does")
    if resource not in ("event_alert", "issue", "metric_alert"):
        return []
    hook = rules.decoded(_DECODER, body)
    if resource == "event_alert":
        return [_of_event(hook, received_at)]
    if resource == "issue":
        return _of_issue(hook, received_at, headers.get(_SENT))
    return _of_metric(hook, received_at, headers.get(_SENT))


def _of_event(hook: Hook, received_at: datetime) -> Said:
    """An issue alert: an event of the issue met a rule, now or again."""
    event = _part(hook.data.event, "data.event")
    project = _PROJECT.search(loose.text(event.get("url")))
    return _signal(
        event,
        received_at,
        fingerprint=_id(event, "issue_id", "data.event"),
        status="firing",
        starts_at=event.get("datetime") or event.get("timestamp"),
        labels=_tags(event.get("tags")),
        project=project[1] if project else "",
        annotations={"rule": loose.text(hook.data.triggered_rule)},
        url=loose.text(event.get("web_url")),
    )


def _of_issue(hook: Hook, received_at: datetime, sent_at: str | None) -> list[Said]:
    issue = _part(hook.data.issue, "data.issue")
    fingerprint = _id(issue, "id", "data.issue")
    at = loose.instant(sent_at) or received_at
    assigned = loose.flat(issue.get("assignedTo"))
    if hook.action == "assigned" and assigned.get("type") == "user":
        by = rules.one_line(assigned.get("name") or assigned.get("email", ""), rules.MAX_NAME)
        at, _, _ = rules.bounded(at, None, received_at)
        return [
            Acknowledgement(source=SOURCE, fingerprint=fingerprint, by=by or "Sentry user", at=at)
        ]
    status = _ISSUE.get(hook.action)
    if status is None:
        return []
    first = issue.get("firstSeen") if hook.action == "created" else None
    signal = _signal(
        issue,
        received_at,
        fingerprint=fingerprint,
        status=status,
        starts_at=first or at,
        ends_at=at,
        labels={},
        project=loose.flat(issue.get("project")).get("slug", ""),
        annotations={"issue": loose.text(issue.get("shortId"))},
        url=loose.text(issue.get("web_url") or issue.get("permalink")),
    )
    return [signal]


def _signal(
    part: Mapping[str, object],
    received_at: datetime,
    *,
    fingerprint: str,
    status: Status,
    starts_at: object,
    ends_at: object = None,
    labels: Mapping[str, str],
    project: str,
    annotations: Mapping[str, str],
    url: str,
) -> Said:
    """What an event and an issue tell alike."""
    said = loose.flat(
        {
            at: part.get(at)
            for at in ("title", "culprit", "level", "platform", "message", "metadata")
        }
    )
    kind = said.get("metadata.type", "")
    return loose.signal(
        SOURCE,
        received_at,
        fingerprint=fingerprint,
        status=status,
        starts_at=starts_at,
        ends_at=ends_at,
        title=said.get("title") or kind or f"Sentry issue {fingerprint}",
        severity=rules.severity_of({"severity": said.get("level", "")}),
        labels={"project": project, "level": said.get("level", ""), **labels},
        annotations={
            **annotations,
            "culprit": said.get("culprit", ""),
            "platform": said.get("platform", ""),
        },
        alert_name=kind,
        service=rules.service_of(labels) or project,
        description=said.get("message") or said.get("metadata.value", ""),
        url=url,
    )


def _of_metric(hook: Hook, received_at: datetime, sent_at: str | None) -> list[Said]:
    alert = _part(hook.data.metric_alert, "data.metric_alert")
    status = _METRIC.get(hook.action)
    if status is None:
        return []
    rule = loose.flat(alert.get("alert_rule"))
    listed = alert.get("projects")
    projects = [loose.text(one) for one in listed] if isinstance(listed, list) else []
    known_by = rule.get("id") or _id(alert, "id", "data.metric_alert")
    name = rule.get("name", "")
    signal = loose.signal(
        SOURCE,
        received_at,
        fingerprint="/".join(("metric_alert", known_by, *sorted(projects))),
        status=status,
        starts_at=alert.get("date_started") or alert.get("date_detected"),
        ends_at=alert.get("date_closed") or loose.instant(sent_at) or received_at,
        title=loose.text(alert.get("title")) or name or f"Sentry metric alert {known_by}",
        severity=rules.severity_of({"severity": hook.action}),
        labels={
            "project": ", ".join(projects),
            "environment": rule.get("environment", ""),
            "level": hook.action,
        },
        annotations={at: rule.get(at, "") for at in ("aggregate", "query", "dataset")},
        alert_name=name,
        service=projects[0] if len(projects) == 1 else "",
        description=loose.text(hook.data.description_text),
        url=loose.text(hook.data.web_url),
    )
    return [signal]


def _part(part: dict[str, object] | None, field: str) -> dict[str, object]:
    if part is None:
        raise rules.bad(field, "is missing; send it, as the header's resource has it")
    return part


def _id(part: Mapping[str, object], name: str, field: str) -> str:
    if not (known_by := loose.text(part.get(name)).strip()):
        raise rules.bad(f"{field}.{name}", "is missing; it is what the alert is known by")
    return loose.identity(known_by)


def _tags(tags: object) -> dict[str, str]:
    """Sentry's tags are pairs of a name and a value."""
    pairs = tags if isinstance(tags, list) else []
    return {
        loose.text(pair[0]): loose.text(pair[1])
        for pair in pairs
        if isinstance(pair, list) and len(pair) == 2 and pair[1]
    }
