"""Grafana's webhook contact point, version 1, and the shape from before unified alerting.

Of version 1, each alert speaks for itself, by its own fingerprint, as with Alertmanager. The older
shape tells the state of a whole rule, without times: it happened when it was received.
"""

from datetime import datetime
from typing import Annotated

import msgspec

from services.incidents.signals import signal as rules
from services.incidents.signals.adapters import loose
from services.incidents.signals.adapters.prometheus import labelled_signal, said_by
from services.incidents.signals.signal import Signal, Status

SOURCE = "grafana"
VERSION = "1"


class Alert(msgspec.Struct, gc=False):
    """One alert of a message. Fields that aren't named here are ignored."""

    status: Status
    labels: dict[str, str]
    annotations: dict[str, str] | None = None
    starts_at: str | None = msgspec.field(name="startsAt", default=None)
    ends_at: str | None = msgspec.field(name="endsAt", default=None)
    generator_url: str | None = msgspec.field(name="generatorURL", default=None)
    fingerprint: str = ""
    silence_url: object = msgspec.field(name="silenceURL", default=None)
    dashboard_url: object = msgspec.field(name="dashboardURL", default=None)
    panel_url: object = msgspec.field(name="panelURL", default=None)
    image_url: object = msgspec.field(name="imageURL", default=None)
    values: object = None
    value_string: object = msgspec.field(name="valueString", default=None)


class Message(msgspec.Struct, gc=False):
    """One webhook request, of either shape: `alerts` belongs to version 1, `rule_…` to none."""

    version: str = ""
    alerts: list[Alert] | None = None
    truncated: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = msgspec.field(
        name="truncatedAlerts", default=0
    )
    state: str = ""
    rule_name: str = msgspec.field(name="ruleName", default="")
    rule_id: int = msgspec.field(name="ruleId", default=0)
    org_id: int = msgspec.field(name="orgId", default=0)
    rule_url: object = msgspec.field(name="ruleUrl", default=None)
    image_url: object = msgspec.field(name="imageUrl", default=None)
    message: object = None
    tags: object = None
    eval_matches: object = msgspec.field(name="evalMatches", default=None)


_DECODER = msgspec.json.Decoder(Message)
_STATES: dict[str, Status | None] = {
    "alerting": "firing",
    "no_data": "firing",
    "ok": "resolved",
    "paused": "resolved",  # nobody evaluates it any more, so its end would never be told
    "pending": None,
    "unknown": None,
}
"""What a rule's state says; None where it says neither that something fires nor that it ended."""


def parse(body: bytes, received_at: datetime) -> list[Signal]:
    """The signals of one request, in its order. Raises BadBody for the whole of it."""
    message = rules.decoded(_DECODER, body)
    if message.version not in ("", VERSION):
        stated = rules.shortened(message.version, 60)
        raise rules.bad("version", f"is {stated!r}; send Grafana's webhook version {VERSION}")
    if message.alerts is None:
        return _of_rule(message, received_at)
    rules.counted(len(message.alerts), "alerts")
    return [
        _signal(alert, f"alerts[{i}]", message.truncated, received_at)
        for i, alert in enumerate(message.alerts)
    ]


def _signal(alert: Alert, field: str, truncated: int, received_at: datetime) -> Signal:
    if len(alert.fingerprint) > rules.MAX_NAME:
        raise rules.bad(f"{field}.fingerprint", f"is longer than {rules.MAX_NAME} characters")
    if not (alert.labels or alert.fingerprint):
        raise rules.bad(field, "has neither labels nor a fingerprint; send one to know it by")
    resolved = alert.status == "resolved"
    ends_at = rules.moment(alert.ends_at, f"{field}.endsAt") if resolved else None
    links = (alert.generator_url, alert.panel_url, alert.dashboard_url)
    url = next((said for link in links if rules.web_address(said := loose.text(link))), None)
    signal = labelled_signal(
        said_by(alert.labels, alert.annotations or {}, url, field),
        received_at,
        status=alert.status,
        starts_at=rules.moment(alert.starts_at, f"{field}.startsAt"),
        ends_at=(ends_at or received_at) if resolved else None,
        stated_fingerprint=rules.storable(alert.fingerprint),
        truncated=truncated,
    )
    return msgspec.structs.replace(
        signal,
        source=SOURCE,
        title=_title(signal),
        annotations=loose.kept(signal.annotations | _notes(alert)),
    )


def _title(signal: Signal) -> str:
    """Grafana calls every alert about a rule that can't be evaluated DatasourceError or NoData.

    Those keep that as the name of the alert; where nothing else speaks, the title names the rule.
    """
    spoken = any(
        signal.annotations.get(at) for at in ("summary", "title", "description", "message")
    )
    rule = signal.labels.get("rulename", "")
    return signal.title if spoken or not rule else rules.one_line(f"{signal.alert_name}: {rule}")


def _notes(alert: Alert) -> dict[str, str]:
    return {
        "values": ", ".join(f"{at}={said}" for at, said in loose.flat(alert.values).items()),
        "valueString": loose.text(alert.value_string),
        "silenceURL": loose.text(alert.silence_url),
        "dashboardURL": loose.text(alert.dashboard_url),
        "panelURL": loose.text(alert.panel_url),
        "imageURL": loose.text(alert.image_url),
    }


def _of_rule(message: Message, received_at: datetime) -> list[Signal]:
    """The state of a rule, in the shape without a version; empty for one that says nothing."""
    if not (message.rule_id or message.rule_name.strip()):
        raise rules.bad("body", "has neither `alerts` nor a `ruleName`; send one of them")
    if message.state not in _STATES:
        raise rules.bad("state", f"must be one of {', '.join(_STATES)}; mend it")
    status = _STATES[message.state]
    if status is None:
        return []
    labels = loose.flat(message.tags)
    matches = message.eval_matches if isinstance(message.eval_matches, list) else []
    values = [
        f"{m.get('metric')}={loose.text(m.get('value'))}" for m in matches if isinstance(m, dict)
    ]
    signal = loose.signal(
        SOURCE,
        received_at,
        fingerprint=f"{message.org_id}/{message.rule_id or message.rule_name}",
        status=status,
        title=message.rule_name or f"Rule {message.rule_id}",
        severity=rules.severity_of(labels),
        labels=labels,
        annotations={
            "state": message.state,
            "values": ", ".join(values),
            "imageURL": loose.text(message.image_url),
        },
        alert_name=message.rule_name,
        description=loose.text(message.message),
        url=loose.text(message.rule_url),
    )
    return [signal]
