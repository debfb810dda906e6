"""One history, made up from a seed: what senders send, and what people say, from outside."""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2025, 3, 3, 9, tzinfo=UTC)
DECIDED, ENDS = 62.0, 128.0
"""In days from the start: when people decide, and until when something happens."""

CATALOG = {"payments": "Checkout", "ledger": "Checkout", "search": "Shop", "mail": "Shop"}

Alert = dict[str, Any]
Body = dict[str, Any]


def at(days: float) -> str:
    return (START + timedelta(days=days)).isoformat()


@dataclass(frozen=True)
class History:
    """What comes before people decide, and after. `by_hand`: incidents that people open, with what
    becomes of each: (path, body)."""

    before: list[Alert] = field(default_factory=list[Alert])
    after: list[Alert] = field(default_factory=list[Alert])
    by_hand: list[tuple[Body, list[tuple[str, Body]]]] = field(
        default_factory=list[tuple[Body, list[tuple[str, Body]]]]
    )
    said: list[Body] = field(default_factory=list[Body])


def history_of(seed: int) -> History:
    """The history that this seed makes; every engine is told the same, in the same order."""
    rng = random.Random(seed)
    before = [
        *_storms(rng, "payments", "PoolExhausted", 5, DECIDED, 4),
        *_storms(rng, "search", "IndexStale", 20, 50, 4),
        *_storms(rng, "ledger", "QueueFull", 0, DECIDED, 1.5),
        *_flaps(rng, "mail", "MailDelayed", 3, 40),
        *_storms(rng, "nobody-knows-it", "Strange", 10, 40, 2),
    ]
    after = [
        *_storms(rng, "payments", "PoolExhausted", DECIDED + 1, ENDS, rng.choice([0.3, 1])),
        *_storms(rng, "search", "IndexStale", DECIDED + 1, ENDS, 5),
        *_storms(rng, "ledger", "QueueFull", DECIDED + 1, ENDS, 1.5),
        *_flaps(rng, "mail", "MailDelayed", DECIDED + 5, ENDS),
        *_storms(rng, "search", "IndexStale", 2, 18, 2),
    ]
    return History(
        before=_sent(rng, before),
        after=_sent(rng, after),
        by_hand=[_by_hand(rng, n) for n in range(6)],
        said=[
            {
                "text": f"Paying takes for ever ({n})",
                "kind": rng.choice(["customer", "operator", "stakeholder"]),
                "author": f"Ada {n}",
                "customer": f"account {n % 4}",
                "happened_at": at(rng.uniform(20, DECIDED) if n else DECIDED),
            }
            for n in range(5)
        ],
    )


def _firing(service: str, name: str, starts: float, rng: random.Random) -> Alert:
    return {
        "title": f"{name} on node {rng.randrange(4)}",
        "alert_name": name,
        "service": service,
        "fingerprint": f"{service}-{name}-{rng.randrange(3)}",
        "severity": rng.choice(["critical", "high", "medium"]),
        "customers_affected": rng.randrange(200),
        "starts_at": at(starts),
    }


def _storms(
    rng: random.Random, service: str, name: str, first: float, last: float, a_week: float
) -> list[Alert]:
    """Alerts at this pace, most of which end after a while; some are told twice."""
    found: list[Alert] = []
    for _ in range(round((last - first) / 7 * a_week)):
        firing = _firing(service, name, rng.uniform(first, last), rng)
        found.append(firing)
        if rng.random() < 0.15:
            found.append(firing)
        if rng.random() < 0.85:
            found.append(_over(firing, rng.uniform(0.1, 30)))
    return found


def _flaps(rng: random.Random, service: str, name: str, first: float, last: float) -> list[Alert]:
    """An alert that comes and goes within minutes, some mornings."""
    found: list[Alert] = []
    for _ in range(7):
        start = rng.uniform(first, last)
        one = _firing(service, name, start, rng)
        for n in range(3):
            firing = {**one, "starts_at": at(start + n * 0.01)}
            found += [firing, _over(firing, 0.1)]
    return found


def _over(firing: Alert, hours: float) -> Alert:
    ended = datetime.fromisoformat(firing["starts_at"]) + timedelta(hours=hours)
    return {**firing, "status": "resolved", "ends_at": ended.isoformat()}


def _sent(rng: random.Random, alerts: list[Alert]) -> list[Alert]:
    """In the order in which they arrive: as they happened, but for those that come late."""

    def arrives(alert: Alert) -> datetime:
        happened = datetime.fromisoformat(alert.get("ends_at", alert["starts_at"]))
        late = rng.choice([0, 0, 0, 0, 0, 0.5, 3, 25])
        return happened + timedelta(days=late)

    return sorted(alerts, key=arrives)


def _by_hand(rng: random.Random, number: int) -> tuple[Body, list[tuple[str, Body]]]:
    opened = rng.uniform(30, DECIDED - 5)
    body = {
        "title": "PoolExhausted on node 9",
        "service": rng.choice(["payments", "paiments"]),
        "severity": "high",
        "opened_at": at(opened),
        "external_ref": f"INC-{number}",
    }
    steps: list[tuple[str, Body]] = [
        ("severity", {"severity": "critical", "at": at(opened + 0.1)}),
        ("impact", {"customers_affected": 40, "responder_hours": 3.0, "at": at(opened + 0.2)}),
        ("assign-service", {"service": "payments", "at": at(opened + 0.3)}),
        ("links", {"kind": "problem", "reference": "PRB-7", "at": at(opened + 0.4)}),
        ("resolve", {"at": at(opened + 0.5)}),
        ("reopen", {"at": at(opened + 0.6)}),
        ("resolve", {"at": at(opened + 0.9)}),
    ]
    return body, steps[: rng.randint(2, len(steps))]
