"""Bodies that no honest sender sends, with the refusal that each must get at each address."""

import gzip
import json
from dataclasses import dataclass, field
from typing import Any

JSON = {"Content-Type": "application/json"}
TOO_LONG = 512 * 1024 + 1

SENDERS = {
    "/api/v2/alerts": 400,
    "/ingest/alertmanager": 400,
    "/ingest/grafana": 400,
    "/ingest/datadog": 400,
    "/v1/signals": 422,
}
"""What senders post to, and the status of a body that can't be read there."""

FORMS = {
    "/v1/incidents": {"title": "Payments fail", "severity": "high"},
    "/v1/feedback": {"text": "Cards are declined", "kind": "customer", "author": "Ada"},
    "/v1/candidates": {"title": "Retry payments", "product": "Checkout", "reason": "seen often"},
    "/v1/items": {"title": "Retry payments", "product": "Checkout"},
    "/v1/objectives": {"title": "Fewer declines"},
    "/v1/keys": {"name": "bot", "scopes": ["ingest"]},
    "/v1/integrations": {"name": "bot", "source": "bot"},
    "/v1/changes": {"title": "Deployed 1.2.3"},
}
"""What people post to, and a body that each would take."""


@dataclass(frozen=True)
class Bad:
    """One request, and how it must be refused."""

    name: str
    path: str
    status: int
    slug: str
    says: str
    """Part of the sentence that says what to do; a regular expression."""
    method: str = "POST"
    content: bytes | None = None
    headers: dict[str, str] = field(default_factory=lambda: dict(JSON))
    chunked: bool = False
    key: str | None = "admin"


def posted(name: str, path: str, body: Any, status: int, slug: str, says: str) -> Bad:
    """A POST of this JSON."""
    return Bad(name, path, status, slug, says, content=json.dumps(body).encode())


def unreadable() -> list[Bad]:
    """The same bytes to every address that takes a body."""
    found: list[Bad] = []
    for path in [*SENDERS, *FORMS]:
        found += [
            Bad("513 KB", path, 413, "body-too-large", "smaller parts", content=b" " * TOO_LONG),
            Bad(
                "513 KB in chunks",
                path,
                413,
                "body-too-large",
                "smaller parts",
                content=b" " * TOO_LONG,
                chunked=True,
            ),
            Bad("nested 40 deep", path, 422, "body-too-deep", "flatter", content=b"[" * 40),
            Bad(
                "a bomb of braces", path, 422, "body-too-deep", "flatter", content=b'{"a":' * 60_000
            ),
            Bad(
                "gzip",
                path,
                415,
                "body-compressed",
                "without Content-Encoding",
                content=gzip.compress(b"{}"),
                headers={**JSON, "Content-Encoding": "gzip"},
            ),
        ]
    said = r"not JSON|send|should|required|[Vv]alid|UTF-8"
    for name, content in {
        "no body": b"",
        "half of JSON": b'{"title": "Payments',
        "null": b"null",
        "a string": b'"x"',
        "a number": b"12",
        "a list of numbers": b"[1]",
        "bytes that are not UTF-8": b'{"title": "\xff\xfe"}',
        "two documents": b"{} {}",
        "a lone surrogate": b'{"title": "\\ud800", "labels": {"\\udfff": "x"}}',
        "NaN": b'{"title": NaN}',
        "Infinity": b'[{"labels": Infinity}]',
        "a form": b"title=Payments+fail",
    }.items():
        found += [Bad(name, p, s, "bad-body", said, content=content) for p, s in SENDERS.items()]
        status, slug = (400, "bad-request") if b"\xff" in content else (422, "invalid-request")
        found += [Bad(name, p, status, slug, said, content=content) for p in FORMS]
    return found


ODD_FIELDS: dict[str, dict[str, list[Any]]] = {
    "/v1/incidents": {
        "title": [None, "", " ", 1, [], "\x00", "\ud800", "x" * 513],
        "severity": [None, "urgent", 1, "\x00"],
        "service": ["", 1, {}, "\x00", "s" * 201],
        "opened_at": [
            "0001-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "9999-12-31T23:59:59Z",
            "2026-01-01T00:00:00",
            "yesterday",
            "2026-02-30T00:00:00Z",
            10**30,
            True,
        ],
        "customers_affected": [-1, 10**400, 1.5, "many", True, 1e308],
        "labels": [[], {"a": 1}, {"a": None}, {str(n): "x" for n in range(10_000)}, {"a": "\x00"}],
        "links": [{}, [{"kind": "nothing", "reference": "x"}], [1]],
        "version": [1],
        "state": ["resolved"],
        "id": ["inc_1"],
    },
    "/v1/feedback": {
        "text": [None, "", 1, "\x00", "x" * 20_001],
        "kind": ["bug", None],
        "author": ["", None, "\ud800"],
        "revenue_at_risk": [-1, 1e999, "much", 10**400],
        "happened_at": ["1969-01-01T00:00:00Z", "2500-01-01T00:00:00Z", "now"],
        "votes": [100],
    },
    "/v1/candidates": {
        "title": [None, "", "\x00"],
        "product": [None, 1],
        "at": ["0001-01-01T00:00:00Z", "2500-01-01T00:00:00Z", "2026-01-01"],
        "score": [99],
    },
    "/v1/items": {
        "title": ["", "\ud800"],
        "quarter": ["2026Q5", "soon", 20264],
        "horizon": ["someday"],
        "theme_ids": ["thm", [1], ["\x00"]],
        "effort_person_months": [-1, 1e999, "a lot", 10**400],
        "state": ["delivered"],
    },
    "/v1/objectives": {"title": [None, "", "x" * 513], "state": ["won"], "id": ["obj_1"]},
    "/v1/keys": {
        "name": [None, "", "\x00"],
        "scopes": [[], ["everything"], "admin", [1]],
        "expires_at": ["never", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-01-01T00:00"],
        "key": ["gsw_mine"],
    },
    "/v1/integrations": {
        "name": [None, "", "\x00"],
        "source": [None, "", "Shop", "a b", "\x00", "x" * 65, 1],
        "service": ["", 1, "\x00"],
        "signals_per_minute": [0, -1, 1.5, "many", True, 10**400],
        "key": ["mine"],
        "id": ["int_1"],
    },
    "/v1/changes": {
        "title": [None, "", "\x00", "x" * 513],
        "kind": ["revolution", None],
        "state": ["pending"],
        "at": ["0001-01-01T00:00:00Z", "2500-01-01T00:00:00Z", "now"],
        "url": ["javascript:alert(1)", "x", 1],
        "details": [[], {"a": 1}, {str(n): "x" for n in range(100)}],
        "id": ["chg_1"],
    },
}
"""Values that no form takes, among them fields that only we set."""


def odd_fields() -> list[Bad]:
    """Each form once with each odd value, and otherwise right."""
    said = r"should|must|permitted|scope|before|future|between|valid|NUL|exceeded"
    return [
        posted(f"{name}={value!r:.40}", path, {**form, name: value}, 422, "invalid-request", said)
        for path, form in FORMS.items()
        for name, values in ODD_FIELDS[path].items()
        for value in values
    ]


def odd_signals() -> list[Bad]:
    """Signals that contradict a bound, and lists in which one of many does."""
    good = {"title": "Payments fail", "service": "payments"}
    alert = {"labels": {"alertname": "PaymentsFail"}}
    told: list[tuple[str, Any, str]] = [
        ("a field nobody knows", {**good, "titel": "x"}, "remove it or mend its name"),
        ("no title", {"service": "payments"}, "add it"),
        ("year 1", {**good, "starts_at": "0001-01-02T00:00:00Z"}, "too old; send"),
        ("1969", {**good, "starts_at": "1969-12-31T23:59:59Z"}, "too old; send"),
        ("far future", {**good, "starts_at": "2500-01-01T00:00:00Z"}, "future; send"),
        ("no offset", {**good, "starts_at": "2026-01-01T00:00:00"}, "write it as"),
        ("no date", {**good, "starts_at": "yesterday"}, "write it as"),
        ("30 February", {**good, "starts_at": "2026-02-30T00:00:00Z"}, "write it as"),
        ("beyond time", {**good, "starts_at": "9999-12-31T23:59:59-23:59"}, "write it as"),
        ("a firing end", {**good, "ends_at": "2026-01-01T00:00:00Z"}, "leave it out"),
        (
            "10,000 labels",
            {**good, "labels": {f"l{n}": "x" for n in range(10_000)}},
            "send at most 64",
        ),
        ("a long label", {**good, "labels": {"a": "é" * 2049}}, "shorten it"),
        ("a blank title", {**good, "title": " \n "}, "blank"),
        ("5,000 alerts", [good] * 5_000, "at most 1,000"),
        ("an empty list", [], "at least one"),
        ("a huge number", {**good, "customers_affected": 10**400}, "send"),
        ("a script as link", {**good, "url": "javascript:alert(1)"}, "http"),
        ("one bad of many", [good] * 99 + [{**good, "severity": "urgent"}], "send"),
        (
            "one too old of many",
            [*[good] * 99, {**good, "starts_at": "1969-01-01T00:00:00Z"}],
            "send",
        ),
    ]
    theirs: list[tuple[str, Any, str]] = [
        ("no labels", [{"labels": {}}], "name the alert|send one"),
        ("10,000 labels", [{"labels": {f"l{n}": "x" for n in range(10_000)}}], "send at most 64"),
        ("5,000 alerts", [alert] * 5_000, "at most 1,000"),
        ("no date", [{**alert, "startsAt": "yesterday"}], "write it as"),
        ("wrong type", [{"labels": {"a": 1}}], "send"),
        ("one bad of many", [*[alert] * 99, {"labels": {"a": "é" * 2049}}], "shorten it"),
        ("one without labels of many", [*[alert] * 99, {}], "add it"),
    ]
    found = [posted(n, "/v1/signals", body, 422, "bad-body", says) for n, body, says in told]
    for name, alerts, says in theirs:
        message = {"alerts": [{"status": "firing", **one} for one in alerts]}
        found.append(posted(name, "/api/v2/alerts", alerts, 400, "bad-body", says))
        found.append(posted(name, "/ingest/alertmanager", message, 400, "bad-body", says))
    return found
