"""Any JSON, by a mapping that says where in it the fields of a signal stand.

Lenient where the sender can't mend it (texts are cut, impossible times replaced), strict where the
mapping can: what a rule finds and can't use is an error that names the rule and what was found.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, cast

import msgspec

from services.incidents.mappings.found import UnusableValue, plain, shown
from services.incidents.mappings.mapping import FieldRule, SenderMapping
from services.incidents.mappings.paths import (
    MISSING,
    MOST_LOOKS,
    Budget,
    Path,
    TooManyLooks,
    every,
    first,
)
from services.incidents.signals import signal as rules
from services.incidents.signals.adapters import native
from services.incidents.signals.signal import Acknowledgement, BadBody, FieldError, Said, Signal
from shared.contracts.incidents import Severity

SOURCE = "generic"
"""The source is this, a dot and the mapping's name, unless the sender's key gives another."""

_DECODER = msgspec.json.Decoder(Any)
_EPOCH = re.compile(r"-?\d{1,19}(?:\.\d{1,9})?", re.ASCII)
_SECONDS_BELOW = 1e11
"""As seconds that is the year 5138, as milliseconds 1973: so a larger number is the smaller unit."""


@dataclass(slots=True)
class _Alert:
    """One alert of a body while it is read: where it stands, and what is wrong with it so far."""

    value: object
    body: object
    prefix: str
    mapping: SenderMapping
    budget: Budget
    errors: list[FieldError] = field(default_factory=list[FieldError])

    def text(self, name: str) -> str | None:
        """What the rule of this field finds, as text; None for nothing, and for an error."""
        rule = self.mapping.rules.get(name)
        return None if rule is None else self._text_of(rule, name)

    def moment(self, name: str) -> datetime | None:
        text = (self.text(name) or "").strip()
        if not text:
            return None
        try:
            return _moment(text, f"{self.prefix}{name}")
        except BadBody as error:
            self.errors += error.errors
            return None

    def labels(self) -> dict[str, str]:
        labels = self.mapping.labels
        if isinstance(labels, Path):
            found = self._labels_at(labels)
        else:
            taken = {name: self._text_of(one, f"labels.{name}") for name, one in labels.items()}
            found = {name: text for name, text in taken.items() if text}
        try:
            cut = {name: rules.shortened(value) for name, value in found.items()}
            return rules.labelled(cut, f"{self.prefix}labels")
        except BadBody as error:
            self.errors += error.errors
            return {}

    def wrong(self, name: str, message: str) -> None:
        self.errors.append(FieldError(f"{self.prefix}{name}", message))

    def _text_of(self, rule: FieldRule, name: str) -> str | None:
        if rule.path is None:
            return rule.default
        found = first(rule.path, self.body if rule.of_body else self.value, self.budget)
        try:
            text = plain(found)
        except UnusableValue as error:
            self.wrong(name, f"the rule {rule.path.text} found {error}")
            return None
        if text is None or not rule.words:
            return rule.default if text is None else text
        return rule.words.get(text.strip().casefold(), rule.default or text)

    def _labels_at(self, path: Path) -> dict[str, str]:
        found = first(path, self.value, self.budget)
        if found is MISSING or found is None:
            return {}
        if not isinstance(found, dict):
            self.wrong(
                "labels", f"the rule {path.text} found {shown(found)}; point it to an object"
            )
            return {}
        labels: dict[str, str] = {}
        for name, value in cast("dict[str, object]", found).items():
            if name and not isinstance(value, dict | list) and (text := plain(value)):
                labels[name] = text
        return labels


def parse(body: bytes, received_at: datetime, mapping: SenderMapping) -> list[Said]:
    """What one body says, in its order. Raises BadBody with the errors of all its alerts.

    Nothing to tell (an empty list) is no error.
    """
    document = rules.decoded(_DECODER, body)
    budget = Budget()
    said: list[Said] = []
    errors: list[FieldError] = []
    try:
        found = _alerts(document, mapping, budget)
        for prefix, value in found:
            alert = _Alert(value, document, prefix, mapping, budget)
            one = _said(alert, received_at)
            if alert.errors or one is None:
                errors += alert.errors
                if len(errors) >= native.MAX_ERRORS:
                    break
            else:
                said.append(one)
    except TooManyLooks:
        advice = (
            f"makes the mapping's filters and wildcards look at more than {MOST_LOOKS:,} things;"
            " send fewer alerts in one body, or write names and indexes in the mapping"
        )
        raise rules.bad("body", advice) from None
    if errors:
        raise BadBody(*errors[: native.MAX_ERRORS])
    return said


def _alerts(document: object, mapping: SenderMapping, budget: Budget) -> list[tuple[str, object]]:
    """The alerts of a body, each with what leads in the paths of its errors."""
    if mapping.each is None:
        alerts = cast("list[object]", document) if isinstance(document, list) else None
        if alerts is None:
            return [("", _object(document, "body"))]
    else:
        alerts = _each(document, mapping.each, budget)
    rules.counted(len(alerts), "body")
    return [(f"[{i}].", _object(one, f"[{i}]")) for i, one in enumerate(alerts)]


def _each(document: object, path: Path, budget: Budget) -> list[object]:
    if path.is_plain:
        found = first(path, document, budget)
        if found is MISSING:
            raise rules.bad("each", f"the rule {path.text} found nothing; mend it, or the body")
        return cast("list[object]", found) if isinstance(found, list) else [found]
    several: list[object] = []
    for one in every(path, document, budget):
        several.append(one)
        rules.counted(len(several), "body")
    if len(several) == 1 and isinstance(several[0], list):
        return cast("list[object]", several[0])
    return several


def _object(value: object, at: str) -> object:
    if isinstance(value, dict):
        return cast("dict[str, object]", value)
    raise rules.bad(at, f"is {shown(value)}, not an alert; point `each` to a list of objects")


def _said(alert: _Alert, received_at: datetime) -> Said | None:
    """What the alert says. None, or errors in it: nothing that can be kept."""
    title = rules.one_line(rules.storable(alert.text("title") or ""))
    if not title and not alert.errors:
        alert.wrong("title", f"{_looked(alert, 'title')} nothing; every alert needs a title")
    status = (alert.text("status") or "firing").strip().lower()
    if status not in ("firing", "resolved", "acknowledged"):
        word = rules.shortened(status, 60)
        advice = f"{_looked(alert, 'status')} {word!r}; put it into `values`, or set a `default`"
        alert.wrong("status", advice)
    labels = alert.labels()
    service = _line(alert.text("service"), rules.MAX_NAME) or rules.service_of(labels)
    alert_name = _line(alert.text("alert_name"), rules.MAX_NAME)
    fingerprint = _fingerprint(alert) or native.fingerprint(service, alert_name, title, labels)
    source = alert.mapping.source
    if status == "acknowledged":
        by = _line(alert.text("acknowledged_by"), rules.MAX_NAME) or source
        at, _, _ = rules.bounded(alert.moment("acknowledged_at"), None, received_at)
        return Acknowledgement(source=source, fingerprint=fingerprint, by=by, at=at)
    ended = (alert.moment("ends_at") or received_at) if status == "resolved" else None
    starts_at, ends_at, skewed = rules.bounded(alert.moment("starts_at"), ended, received_at)
    return Signal(
        source=source,
        fingerprint=fingerprint,
        status="firing" if ends_at is None else "resolved",
        starts_at=starts_at,
        ends_at=ends_at,
        expires_at=None,
        title=title,
        alert_name=alert_name,
        description=_prose(alert.text("description")),
        service=service,
        severity=_severity(alert, labels),
        customers_affected=None,
        labels=labels,
        annotations={},
        url=rules.web_address(alert.text("url")),
        skewed=skewed,
    )


def _looked(alert: _Alert, name: str) -> str:
    rule = alert.mapping.rules.get(name)
    where = rule.path.text if rule is not None and rule.path is not None else "that says so"
    return f"the rule {where} found"


def _fingerprint(alert: _Alert) -> str | None:
    text = rules.storable(alert.text("fingerprint") or "")
    if len(text) <= rules.MAX_NAME:
        return text or None
    return sha256(text.encode()).hexdigest()


def _severity(alert: _Alert, labels: dict[str, str]) -> Severity:
    word = alert.text("severity")
    return rules.severity_of({"severity": word} if word else labels)


def _line(text: str | None, limit: int) -> str | None:
    return rules.one_line(rules.storable(text or ""), limit) or None


def _prose(text: str | None) -> str:
    return rules.shortened(rules.storable(text or ""), native.MAX_DESCRIPTION)


def _moment(text: str, at: str) -> datetime | None:
    """RFC 3339, or a number since 1970 in seconds or a thousandth, a millionth of one, and so on.

    Zero and the empty text mean "not said". Raises BadBody.
    """
    if not _EPOCH.fullmatch(text):
        return rules.moment(text, at)
    seconds = float(text)
    while abs(seconds) >= _SECONDS_BELOW:
        seconds /= 1000
    if not seconds:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError):  # before year 1: as impossible as any before the earliest
        return datetime.min.replace(tzinfo=UTC)
