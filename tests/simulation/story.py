"""What happens in a run: alerts of several pains over ten weeks, and what people decide in between.

A story is made from a seed and then only told: in order without a fault, or in any order with all of
them. People decide at rest, between two phases, by what a candidate is about; so both tellings must
come to the same before, and after.
"""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import httpx

from shared.clock import rfc3339
from tests.faults.client import Format, Stated
from tests.simulation.machine import START

BEGINS = START - timedelta(days=75)
HALFTIME = START - timedelta(days=35)
ENDS = START - timedelta(days=2)
"""All of it lies in the past of every clock, however skewed."""

SERVICES = {"checkout-service": "Shop", "search-service": "Shop", "login-service": "Accounts"}
"""What the catalog knows from the beginning."""

LATE_SERVICE = "reports-service"
"""Nobody's, until halftime: then all that was said of it follows to its product."""

PAINS = ("checkout", "search", "login", "reports")

NOT_CRITICAL = {"label": "severity", "op": "!=", "value": "critical"}
SILENCES: tuple[dict[str, Any], ...] = (
    {
        "comment": "everything moves",
        "matchers": [{"label": "service", "op": "=~", "value": "(search|reports)-service"}],
        "starts_at": rfc3339(BEGINS + timedelta(days=24)),
        "ends_at": rfc3339(BEGINS + timedelta(days=29)),
    },
    {
        "comment": "nightly work",
        "matchers": [NOT_CRITICAL, {"label": "service", "value": "checkout-service"}],
        "starts_at": rfc3339(BEGINS),
        "ends_at": rfc3339(ENDS),
        "recurrence": {"days": ["mon", "tue", "fri"], "from": "22:00", "minutes": 600},
    },
)

DAY = 24 * 60 * 60
CORRELATIONS: Mapping[str, dict[str, Any]] = {
    "one-service": {"by": ["service"], "within_seconds": DAY, "span_seconds": DAY},
    "one-product": {
        "matchers": [NOT_CRITICAL],
        "by": ["product"],
        "within_seconds": DAY // 4,
        "span_seconds": DAY // 2,
        "at_least": 3,
    },
}
"""Rules by which, now and then, several alerts are one."""

BLANK = "   "
"""A title that no sender may state: the whole of its post is refused."""


@dataclass(frozen=True, slots=True)
class Post:
    """The signals of one request."""

    format: Format
    signals: tuple[Stated, ...]

    @property
    def is_refused(self) -> bool:
        return any(one.title == BLANK for one in self.signals)


@dataclass(frozen=True, slots=True)
class Story:
    """Two phases of posts, each in the order in which things happened."""

    first: tuple[Post, ...]
    second: tuple[Post, ...]
    silences: tuple[dict[str, Any], ...] = ()
    correlations: tuple[str, ...] = ()
    """Both are made before anything is told."""


def story(dice: random.Random) -> Story:
    """Some pains recur often enough to be raised, some don't; a few posts can't be read."""
    signals: list[Stated] = []
    for pain in PAINS:
        for number in range(dice.choice((1, 6, 8, 11))):
            signals += _alert(dice, pain, number)
    first = [one for one in signals if (one.ends_at or one.starts_at) < HALFTIME]
    second = [one for one in signals if (one.ends_at or one.starts_at) >= HALFTIME]
    told = _posts(dice, first), _posts(dice, second)
    silences = dice.sample(SILENCES, dice.randint(0, len(SILENCES)))
    correlations = dice.sample(sorted(CORRELATIONS), dice.randint(0, len(CORRELATIONS)))
    return Story(*told, tuple(silences), tuple(correlations))


def _alert(dice: random.Random, pain: str, number: int) -> list[Stated]:
    """One alert that fires, and in most cases ends; each is another alert of the same pain."""
    span = (ENDS - BEGINS) / timedelta(seconds=1)
    # Half of them come in a bad fortnight, which is what makes a pain rise.
    starts_at = BEGINS + timedelta(
        seconds=round(
            dice.random() * span if dice.random() < 0.5 else (0.3 + dice.random() / 5) * span
        )
    )
    fires = Stated(
        id=f"sig-{pain}-{number}",
        starts_at=starts_at,
        service=f"{pain}-service",
        alert_name=f"{pain}Slow",
        title=f"{pain} answers slowly",
        severity=dice.choice(("critical", "high", "medium")),
        pain=pain,
    )
    if dice.random() < 0.2:
        return [fires]
    ends_at = min(starts_at + timedelta(minutes=dice.randint(1, 2000)), ENDS)
    return [fires, replace(fires, ends_at=max(ends_at, starts_at))]


def _posts(dice: random.Random, signals: Sequence[Stated]) -> tuple[Post, ...]:
    # An alert keeps to one of the two addresses: they are two sources, and would make two of it.
    ordered = sorted(signals, key=lambda one: (one.ends_at or one.starts_at, one.id))
    posts: list[Post] = []
    for format_ in ("native", "alertmanager"):
        rest = [one for one in ordered if _format(one) == format_]
        while rest:
            size = dice.choice((1, 1, 2, 4))
            posts.append(Post(format_, tuple(rest[:size])))
            rest = rest[size:]
    for number in range(dice.randint(0, 3)):
        good = dice.choice(ordered) if ordered else None
        if good is not None:
            id_ = f"sig-refused-{number}-{good.id}"
            bad = replace(good, id=id_, title=BLANK, pain=None)
            also = replace(good, id=f"{id_}-beside", pain=None)
            posts.append(Post("native", (also, bad)))
    return tuple(sorted(posts, key=_when))


def _format(one: Stated) -> Format:
    return "alertmanager" if int(one.id.rsplit("-", 1)[1]) % 3 == 0 else "native"


def _when(post: Post) -> datetime:
    return max(one.ends_at or one.starts_at for one in post.signals)


async def register_services(client: httpx.AsyncClient) -> None:
    """Enter the catalog."""
    for name, product in SERVICES.items():
        await register(client, name, product)


async def register(client: httpx.AsyncClient, name: str, product: str) -> None:
    """Enter one service."""
    body = {"product": product, "tier": 2}
    answer = await client.put(f"/v1/catalog/services/{name}", json=body)
    assert answer.is_success, answer.text


async def make_silences(client: httpx.AsyncClient, story: Story) -> None:
    for one in story.silences:
        answer = await client.post("/v1/silences", json=one)
        assert answer.is_success, answer.text


async def put_correlations(client: httpx.AsyncClient, story: Story) -> None:
    for name in story.correlations:
        body = {**CORRELATIONS[name], "since": rfc3339(BEGINS - timedelta(days=1))}
        answer = await client.put(f"/v1/correlations/{name}", json=body)
        assert answer.is_success, answer.text


Act = Callable[[httpx.AsyncClient, dict[str, Any]], Awaitable[None]]


async def decide(client: httpx.AsyncClient) -> None:
    """At halftime: accept and deliver the first open candidate by title, decline the second, snooze
    the third until its evidence grows by two."""
    answer = await client.get("/v1/candidates", params={"limit": 200})
    assert answer.status_code == 200, answer.text
    found = [one for one in answer.json()["items"] if one["service"] != LATE_SERVICE]
    waiting = sorted(found, key=lambda one: (one["title"], one["product"]))
    for candidate, act in zip(waiting, (_deliver, _decline, _snooze), strict=False):
        await act(client, candidate)


async def _deliver(client: httpx.AsyncClient, candidate: dict[str, Any]) -> None:
    accepted = await _post(
        client, f"/v1/candidates/{candidate['id']}/accept", at=rfc3339(HALFTIME), horizon="now"
    )
    item = f"/v1/items/{accepted['item_id']}"
    days = iter(range(1, 5))
    await _post(client, f"{item}/commit", at=_later(days), expected_reduction=0.5)
    await _post(client, f"{item}/start", at=_later(days))
    await _post(client, f"{item}/deliver", at=_later(days), release="1.2")


async def _decline(client: httpx.AsyncClient, candidate: dict[str, Any]) -> None:
    path = f"/v1/candidates/{candidate['id']}/decline"
    await _post(client, path, at=rfc3339(HALFTIME), reason="not now")


async def _snooze(client: httpx.AsyncClient, candidate: dict[str, Any]) -> None:
    total = candidate["evidence_total"] + 2
    path = f"/v1/candidates/{candidate['id']}/snooze"
    await _post(client, path, at=rfc3339(HALFTIME), until_total=total)


def _later(days: Any) -> str:
    return rfc3339(HALFTIME + timedelta(hours=12 * next(days)))


async def _post(client: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(path, json=body)
    assert answer.is_success, f"{path}: {answer.text}"
    return answer.json()
