"""What the sender of the crash walk does: steps, each of which takes the whole system along.

A step is a generator: it yields requests that go out together, and is sent their answers once all of
them are acknowledged, however many lives of the system that takes. Nothing here knows of crashes.
"""

import random
import uuid
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shared.clock import rfc3339, utc_now

PRODUCT = "Shop"
LOOKS = 25
"""How often to look for a theme that its evidence is on the way to."""
LAST_SECONDS = 1.0
"""How long an alert fires that is said once only."""
DAYS = (20, 15, 10, 5, 2)
"""Before now: enough for a theme to rise."""
YEAR_ONE = "0001-01-01T00:00:00Z"

Answer = dict[str, Any] | None
"""The JSON of an answer that has some."""


@dataclass(slots=True)
class Ask:
    """One request. `signals` are the alerts in it, as (fingerprint, operation); `mark` is a text that
    nobody else sends, by which its one effect is found."""

    path: str
    body: Any = None
    """What to send; a function makes it anew for each attempt."""
    method: str = "POST"
    signals: Sequence[tuple[str, str]] = ()
    kind: str = ""
    mark: str = ""
    key: str | None = None
    may_be_refused: str = ""
    """A problem that may come of asking late, after a crash: then nothing is asked any more."""
    same_as: Answer = None
    """It was acknowledged before, with this answer, and must be again."""


Step = Generator[list[Ask], list[Answer], None]


@dataclass
class Teller:
    """Makes up the steps of one chain. The seed decides all of it but the ids."""

    chance: random.Random
    told: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Alerts that were acknowledged as firing and have not ended yet."""
    number: int = 0

    def step(self, kinds: Sequence[str]) -> tuple[str, Step]:
        """A step of one of these kinds."""
        self.number += 1
        kind = self.chance.choice(list(kinds))
        return kind, STEPS[kind](self)


def _command(path: str, body: Any = None, kind: str = "", mark: str = "") -> Ask:
    return Ask(path, body, kind=kind, mark=mark, key=f"key-{uuid.uuid4().hex}")


def _alert(service: str, name: str, starts_at: datetime) -> dict[str, Any]:
    return {
        "status": "firing",
        "fingerprint": f"sig-{uuid.uuid4().hex}",
        "labels": {"alertname": name, "service": service, "severity": "high"},
        "annotations": {"summary": f"{name} of {service}"},
        "startsAt": rfc3339(starts_at),
        "endsAt": YEAR_ONE,
    }


def _posted(alerts: Sequence[dict[str, Any]], same_as: Answer = None) -> Ask:
    operation = {"firing": "fire", "resolved": "resolve"}
    said = [(one["fingerprint"], operation[one["status"]]) for one in alerts]
    body = {"version": "4", "status": "firing", "receiver": "crash", "alerts": list(alerts)}
    return Ask("/ingest/alertmanager", body, signals=said, same_as=same_as)


def alerts(teller: Teller) -> Step:
    """Two senders at once, whose alerts share a transaction."""
    now = utc_now()
    posts = [[_alert(f"service-{n % 5}", f"Slow{n}", now) for n in range(size)] for size in (3, 2)]
    yield [_posted(some) for some in posts]
    teller.told += [one for some in posts for one in some]


def again(teller: Teller) -> Step:
    """An alert that still fires is sent again, with one that nobody sent before."""
    some = teller.chance.sample(teller.told, min(2, len(teller.told)))
    new = _alert("service-1", "Slow1", utc_now())
    yield [_posted([*some, new])]
    teller.told.append(new)


def resolved(teller: Teller) -> Step:
    """Alerts end, each told once or twice."""
    if not teller.told:
        yield from alerts(teller)
    over, teller.told = teller.told[:3], teller.told[3:]
    ended = [{**one, "status": "resolved", "endsAt": rfc3339(utc_now())} for one in over]
    yield [_posted(ended)]
    yield [_posted(ended[:1])]


def expiring(teller: Teller) -> Step:
    """Prometheus says that an alert fires for another moment, and never speaks of it again.

    Asked again it says a later end, as Prometheus does.
    """
    mark = f"mark-{uuid.uuid4().hex}"
    starts_at = utc_now() - timedelta(seconds=5)

    def body() -> list[dict[str, Any]]:
        ends_at = utc_now() + timedelta(seconds=LAST_SECONDS)
        labels = {"alertname": mark, "service": "service-2"}
        return [{"labels": labels, "startsAt": rfc3339(starts_at), "endsAt": rfc3339(ends_at)}]

    yield [Ask("/api/v2/alerts", body, kind="alert", mark=mark)]


def silenced(teller: Teller) -> Step:
    """An alert fires in a silence that is over in a moment, and goes on."""
    now, service = utc_now(), f"quiet-{uuid.uuid4().hex[:12]}"
    terms = {
        "comment": "a moment's work",
        "matchers": [{"label": "service", "value": service}],
        "starts_at": rfc3339(now - timedelta(minutes=1)),
        "ends_at": rfc3339(now + timedelta(seconds=LAST_SECONDS)),
    }
    yield [_command("/v1/silences", terms)]
    yield [_posted([_alert(service, "Quiet", now - timedelta(seconds=5))])]


def correlated(teller: Teller) -> Step:
    """A rule is put about what fired already, and more of the same alert fires."""
    now, service = utc_now(), f"storm-{uuid.uuid4().hex[:12]}"
    alerts = [_alert(service, f"Storm{n}", now - timedelta(seconds=60 - n)) for n in range(4)]
    yield [_posted(alerts[:3])]
    rule = {
        "matchers": [{"label": "service", "value": service}],
        "by": ["service"],
        "within_seconds": 60,
        "span_seconds": 600,
        "at_least": teller.chance.choice([2, 3]),
        "since": rfc3339(now - timedelta(hours=1)),
    }
    yield [Ask("/v1/correlations/storm", rule, method="PUT")]
    yield [_posted(alerts[3:])]


def incident(teller: Teller) -> Step:
    """A person opens an incident and sees it through, asking the same thing twice on the way."""
    mark = f"mark-{uuid.uuid4().hex}"
    opening = {"title": mark, "service": "service-3", "severity": "high"}
    ask = _command("/v1/incidents", opening, "incident", mark)
    (opened,) = yield [ask]
    if opened is None:
        return
    yield [Ask(ask.path, ask.body, key=ask.key, same_as=opened)]
    path = f"/v1/incidents/{opened['id']}"
    yield [_command(f"{path}/acknowledge", {})]
    comment = f"mark-{uuid.uuid4().hex}"
    yield [_command(f"{path}/comments", {"text": comment}, "comment", comment)]
    yield [_command(f"{path}/resolve", {})]


def feedback(teller: Teller) -> Step:
    """A customer says something, and others agree at the same moment."""
    mark = f"mark-{uuid.uuid4().hex}"
    body = {"text": mark, "kind": "customer", "author": "Ada", "service": "service-1"}
    (given,) = yield [_command("/v1/feedback", body, "feedback", mark)]
    if given is None:
        return
    path = f"/v1/feedback/{given['id']}/votes"
    voters = [f"mark-{uuid.uuid4().hex}" for _ in range(2)]
    yield [_command(path, {"voter": voter}, f"vote {mark}", voter) for voter in voters]


def recurring(teller: Teller) -> Step:
    """The same pain on five days: a theme that rises, and a candidate; then what is made of it."""
    now, service = utc_now(), f"pain-{uuid.uuid4().hex[:12]}"
    days = [_alert(service, "Again", now - timedelta(days=day)) for day in DAYS]
    ended = [
        {**one, "status": "resolved", "endsAt": rfc3339(now - timedelta(days=day, hours=-1))}
        for one, day in zip(days, DAYS, strict=True)
    ]
    yield [_posted(days)]
    yield [_posted(ended)]
    found: list[dict[str, Any]] = []
    for _ in range(LOOKS):
        (themes,) = yield [Ask(f"/v1/themes?service={service}", method="GET")]
        found = (themes or {}).get("items", [])
        if found:
            break
    for theme in found[:1]:
        mark = f"mark-{uuid.uuid4().hex}"
        body = {"title": mark, "product": PRODUCT, "theme_ids": [theme["id"]]}
        (item,) = yield [_command("/v1/items", body, "item", mark)]
        if item is None:
            return
        delivery = {"expected_reduction": 0.5, "at": rfc3339(now - timedelta(days=3))}
        yield [_command(f"/v1/items/{item['id']}/deliver", delivery)]


def candidate(teller: Teller) -> Step:
    """A candidate that a person raises, and decides on."""
    mark = f"mark-{uuid.uuid4().hex}"
    body = {"title": mark, "product": PRODUCT, "reason": "seen"}
    (raised,) = yield [_command("/v1/candidates", body, "candidate", mark)]
    if raised is None:
        return
    path = f"/v1/candidates/{raised['id']}"
    if teller.chance.random() < 0.5:
        yield [_command(f"{path}/accept", {"horizon": "next"})]
    else:
        yield [_command(f"{path}/decline", {"reason": "not now"})]


def snooze(teller: Teller) -> Step:
    """A candidate that is to come back in a moment."""
    mark = f"mark-{uuid.uuid4().hex}"
    body = {"title": mark, "product": PRODUCT, "reason": "seen"}
    (raised,) = yield [_command("/v1/candidates", body, "candidate", mark)]
    if raised is None:
        return
    until = {"until": rfc3339(utc_now() + timedelta(seconds=0.4))}
    asleep = _command(f"/v1/candidates/{raised['id']}/snooze", until)
    asleep.may_be_refused = "snooze-ends-at-once"
    yield [asleep]


def adoption(teller: Teller) -> Step:
    """An incident of a service that the catalog learns of afterwards."""
    mark, service = f"mark-{uuid.uuid4().hex}", f"late-{uuid.uuid4().hex[:12]}"
    opening = {"title": mark, "service": service, "severity": "low"}
    yield [_command("/v1/incidents", opening, "incident", mark)]
    yield [Ask(f"/v1/catalog/services/{service}", {"product": PRODUCT}, method="PUT")]


def policy(teller: Teller) -> Step:
    """A person changes what counts as recurring: every theme is judged anew."""
    settings = {"settings": {"on": teller.chance.choice([4, 5]), "off": 2}}
    yield [Ask("/v1/policies/recurrence", settings, method="PUT")]


STEPS: dict[str, Callable[[Teller], Step]] = {
    step.__name__: step
    for step in (
        alerts,
        again,
        resolved,
        expiring,
        silenced,
        correlated,
        incident,
        feedback,
        recurring,
        candidate,
        snooze,
        adoption,
        policy,
    )
}

FOCUS: dict[str, tuple[str, ...]] = {
    "ingest": ("alerts", "again", "resolved", "recurring"),
    "command": ("incident", "feedback", "candidate"),
    "idempotency": ("incident", "feedback", "candidate"),
    "expiry": ("expiring",),
    "silences": ("silenced",),
    "correlations": ("correlated",),
    "wake": ("snooze",),
    "adoption": ("adoption",),
    "review.outcome_saved": ("recurring",),
    "review.reassessed": ("policy", "alerts"),
    "command.answered_before": ("incident",),
}
"""Which steps lead to a failpoint or to those of its area; all of them, where it isn't listed."""


def leading_to(failpoint: str) -> tuple[str, ...]:
    """The kinds of steps to play in a life that is to end at this failpoint."""
    area = failpoint.partition(".")[0]
    return FOCUS.get(failpoint) or FOCUS.get(area) or tuple(STEPS)
