"""Twelve weeks at Lantern: what breaks when, and when Alertmanager would have told. Deterministic.

Times are minutes since the stream's start. The timing follows Alertmanager's own rules for a group
(wait 30 s, changes every 5 min, a repeat every 4 h); the bodies are made by Alertmanager itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from tests.senders.demo_rules import PAIN, Rule

SEED = "lantern-1"
WEEKS = 12
DAY = 24 * 60.0
WEEK = 7 * DAY
END = WEEKS * WEEK
FIX = 8 * WEEK - DAY
"""When the fix of PAIN is delivered: four whole weeks of watching fit behind it."""

GROUP_WAIT, GROUP_INTERVAL, REPEAT_INTERVAL = 0.5, 5.0, 240.0
SHORTEST = 6.0
"""Longer than a group's interval, so that Alertmanager sees each beginning and each end."""

MAX_ALERTS = 5
"""The webhook's `max_alerts`: a larger group comes truncated."""


@dataclass(frozen=True)
class Bout:
    """One alert firing once: one incident, unless it is a flap of the one before."""

    rule: Rule
    host: int
    starts: float
    ends: float
    severity: str
    annotations: tuple[tuple[str, str], ...]
    flap: bool = False

    @property
    def labels(self) -> dict[str, str]:
        key, service = self.rule.service
        labels = {
            "alertname": self.rule.name,
            "instance": f"{_host(self.rule, self.host)}:{self.rule.port}",
            "job": service,
            "region": "eu-north",
            "severity": self.severity,
        }
        return labels | {key: service}


@dataclass(frozen=True)
class Step:
    """One webhook that Alertmanager sends: what was posted to it before, and what it then tells."""

    sent: float
    posts: tuple[tuple[Bout, bool], ...]
    """Alerts to post, each with whether it has ended; empty for a repeat."""
    told: tuple[tuple[Bout, bool], ...]
    """The group's alerts in the message, each with whether it has ended."""


def _host(rule: Rule, number: int) -> str:
    service = rule.service[1]
    stem = "edge" if service == "gateway-edge" else service
    return f"{stem}-{number}.prod.lantern.example"


def bouts(rule: Rule) -> list[Bout]:
    """All firings of a rule in the twelve weeks, by start; at most one at a time on each host."""
    chance = Random(f"{SEED}/{rule.name}")
    free_from: dict[int, float] = {}
    found: list[Bout] = []
    last = [_instant(END - 0.8 * DAY, chance)] if rule.lingers else []
    for start in _starts(rule, chance) + last:
        at = start
        cured_at = None
        together = chance.random() < 0.6
        for host in _struck(rule, chance):
            at = max(at, free_from.get(host, 0.0) + SHORTEST)
            bout = _bout(rule, host, at, chance)
            if together and cured_at is not None:
                bout = replace(bout, ends=max(cured_at, _instant(at + SHORTEST, chance)))
            cured_at = bout.ends
            found.append(bout)
            while chance.random() < rule.flaps:
                again = _instant(bout.ends + chance.uniform(SHORTEST, 9), chance)
                lasts = chance.uniform(SHORTEST, 12)
                bout = _bout(rule, host, again, chance, lasts, bout.severity)
                found.append(bout)
            free_from[host] = bout.ends
            at = _instant(at + (0 if rule.burst > 1 else chance.uniform(1, 12)), chance)
    found = sorted((bout for bout in found if bout.starts < END), key=lambda bout: bout.starts)
    if rule.lingers:
        found[-1] = replace(found[-1], ends=END + DAY)
    return found


def _starts(rule: Rule, chance: Random) -> list[float]:
    if not isinstance(rule.weekly, tuple):
        while not _is_even(starts := _steady(rule.weekly, chance), rule.weekly):
            pass
        return starts
    # Off the hours around midnight, so that no week's count and no day spills over.
    return sorted(
        _instant(week * WEEK + day * DAY + chance.uniform(5, 20) * 60, chance)
        for week, count in enumerate(rule.weekly)
        for day in chance.sample(range(7), count)
    )


def _steady(weekly: float, chance: Random) -> list[float]:
    """A Poisson process of that many a week."""
    starts: list[float] = []
    at = chance.expovariate(weekly / WEEK)
    while at < END:
        starts.append(_instant(at, chance))
        at += chance.expovariate(weekly / WEEK)
    return starts


def _is_even(starts: Sequence[float], weekly: float) -> bool:
    """No crowded fortnight, and each third of the twelve weeks near its mean.

    With eleven steady rules, a few would by luck look like a pain that grows or was cured.
    """
    fortnights = [sum(at <= other < at + 2 * WEEK for other in starts) for at in starts]
    thirds = [sum(n * 4 * WEEK <= at < (n + 1) * 4 * WEEK for at in starts) for n in range(3)]
    mean = 4 * weekly
    return max(fortnights, default=0) <= 4 * weekly + 1 and all(
        0.7 * mean <= third <= 1.3 * mean for third in thirds
    )


def _instant(minutes: float, chance: Random) -> float:
    """As rules are evaluated: each 15 seconds, at some millisecond."""
    return round(math.floor(minutes * 4) / 4 + chance.randrange(1_000) / 60_000, 5)


def _struck(rule: Rule, chance: Random) -> list[int]:
    count = rule.burst
    while count < 4 and chance.random() < rule.joins:
        count += 1
    return chance.sample(range(1, rule.hosts + 1), min(count, rule.hosts))


def _bout(
    rule: Rule,
    host: int,
    starts: float,
    chance: Random,
    lasts: float | None = None,
    severity: str | None = None,
) -> Bout:
    lasting = lasts or max(SHORTEST, chance.lognormvariate(math.log(rule.lasts), 0.6))
    value = chance.uniform(*rule.values)
    said = rule.summary.format(
        host=_host(rule, host), port=rule.port, value=f"{value:.{rule.decimals}f}"
    )
    notes = {
        "description": rule.description,
        "runbook_url": f"https://runbooks.lantern.example/{rule.service[1]}/{rule.name}",
        "summary": said,
    }
    if rule.customers:
        notes["customers_affected"] = str(chance.randint(*rule.customers))
    return Bout(
        rule,
        host,
        starts,
        _instant(starts + lasting, chance),
        severity or chance.choice(rule.severities),
        tuple(notes.items()),
        flap=lasts is not None,
    )


def steps(rule: Rule) -> list[Step]:
    """The webhooks of a rule's group, in order."""
    changes = sorted(
        [(bout.starts, bout, False) for bout in bouts(rule)]
        + [(bout.ends, bout, True) for bout in bouts(rule)],
        key=lambda change: (change[0], change[1].host),
    )
    firing: dict[int, Bout] = {}
    told: list[Step] = []
    tick = last = -math.inf
    while changes or firing:
        tick = tick + GROUP_INTERVAL if firing else changes[0][0] + GROUP_WAIT
        if tick >= END:
            break
        due = [change for change in changes if change[0] <= tick]
        if not due and tick - last < REPEAT_INTERVAL:
            continue
        changes = changes[len(due) :]
        firing |= {bout.host: bout for _, bout, ended in due if not ended}
        over = [bout for _, bout, ended in due if ended]
        firing = {host: bout for host, bout in firing.items() if bout not in over}
        states = [(bout, False) for bout in firing.values()] + [(bout, True) for bout in over]
        posts = tuple((bout, ended) for _, bout, ended in due)
        told.append(Step(tick, posts, tuple(states)))
        last = tick
    return told


OUTAGES = ((4 * WEEK + 2 * DAY + 500, 660), (6 * WEEK + 3 * DAY + 420, 600), (10 * WEEK + 600, 720))
"""Start and length of three nights and days on which the relay between Alertmanager and us was
down: what was sent then arrives after it, in no order."""


def deliveries(step: Step, chance: Random) -> list[float]:
    """When a webhook arrives: mostly at once, sometimes twice, sometimes hours late."""
    arrives = step.sent + chance.uniform(0.005, 0.05)
    for start, length in OUTAGES:
        if start <= arrives < start + length:
            arrives = start + length + chance.uniform(0, 2)
    times = [arrives]
    fate = chance.random()
    if fate < 0.03:  # a hop on the way was slow
        times = [arrives + chance.uniform(120, 540)]
    elif fate < 0.07:  # the other one of a pair of Alertmanagers tells it too
        times.append(arrives + chance.uniform(0.1, 1.5))
    elif fate < 0.09:  # a copy that was stuck: it may come after the end of what it tells
        times.append(arrives + chance.uniform(60, 300))
    return [round(at, 3) for at in times if at < END]


def header(recorded_with: str, services: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The stream's first line: where it comes from, and the story it tells."""
    return {
        "name": "lantern",
        "weeks": WEEKS,
        "recorded_with": recorded_with,
        "services": services,
        "fixes": [
            {"alert_name": PAIN.name, "service": PAIN.service[1], "at_minutes": FIX},
        ],
    }
