"""Lets a Groundswell on any engines live through one history, over HTTP, and says what it then has."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import httpx

from services.feedback import worker as feedback_worker
from services.quiet import MOVED, WAITING, sums
from services.standalone import running
from shared.settings import Settings
from tests.equality.dump import dump
from tests.equality.history import CATALOG, DECIDED, Alert, History, at, history_of

PATIENCE = 90.0
POLL = 0.4


@dataclass(frozen=True)
class Pace:
    """How a history is cut and how often timers look; it must change nothing. `largest`: alerts in one
    request; `pause`: seconds between two requests, at most."""

    largest: int = 40
    pause: float = 0.0
    review: float = 0.3


async def same_history(settings: Settings, seed: int, pace: Pace = Pace()) -> dict[str, Any]:
    """Start a Groundswell over these (empty) engines, tell it the history of this seed, and let people
    decide. Returns what it has once it has come to rest, in a form that is equal on every engine."""
    told = history_of(seed)
    with patch.object(feedback_worker, "REVIEW_SECONDS", pace.review):
        async with running(settings) as groundswell:
            key = {"Authorization": f"Bearer {groundswell.admin_key}"}
            async with httpx.AsyncClient(
                base_url=groundswell.url,
                headers=key,
                trust_env=False,
                timeout=60,
                limits=httpx.Limits(max_connections=8),
            ) as client:
                person = _Person(client, random.Random(pace.largest), pace)
                await person.tell(told)
                return await dump(client)


class _Person:
    """Everybody outside, one after the other."""

    def __init__(self, client: httpx.AsyncClient, rng: random.Random, pace: Pace) -> None:
        self.client, self.rng, self.pace = client, rng, pace

    async def tell(self, told: History) -> None:
        for service, product in CATALOG.items():
            answer = await self.client.put(
                f"/v1/catalog/services/{service}", json={"product": product, "tier": 2}
            )
            assert answer.is_success, answer.text
        await self._send(told.before)
        for body, steps in told.by_hand:
            incident = await self._post("/v1/incidents", body)
            for path, step in steps:
                await self._post(f"/v1/incidents/{incident['id']}/{path}", step)
        await self._rest()
        await self._speak(told.said)
        await self._rest()
        await self._decide()
        await self._rest()
        await self._send(told.after)
        await self._rest()

    async def _send(self, alerts: Sequence[Alert]) -> None:
        for batch in self._cut(alerts):
            await self._post("/v1/signals", batch)
            await asyncio.sleep(self.pace.pause * self.rng.random())

    def _cut(self, alerts: Sequence[Alert]) -> Iterator[list[Alert]]:
        rest = list(alerts)
        while rest:
            size = self.rng.randint(1, self.pace.largest)
            yield rest[:size]
            rest = rest[size:]

    async def _speak(self, said: Sequence[dict[str, Any]]) -> None:
        """People give feedback and vote, and somebody ties it to the theme that hurts most."""
        themes = (await self._get("/v1/themes", service="payments", q="PoolExhausted"))["items"]
        (theme,) = [one for one in themes if one["alert_name"]]
        for number, body in enumerate(said):
            given = await self._post("/v1/feedback", body)
            for voter in range(number + 1):
                await self._post(f"/v1/feedback/{given['id']}/votes", {"voter": f"Eve {voter}"})
            await self._post(f"/v1/feedback/{given['id']}/link", {"theme_id": theme["id"]})

    async def _decide(self) -> None:
        """What people do about what waits, in an order that every engine agrees on. All of it at a
        time that feedback has reached by then: or what one decides would be news to the next."""
        page = await self._get("/v1/candidates", limit=100)
        waiting = sorted(page["items"], key=lambda one: (one["service"], one["title"]))
        when = at(DECIDED)
        for number, one in enumerate(waiting):
            path = f"/v1/candidates/{one['id']}"
            match (one["service"], number % 3):
                case ("payments", _):
                    body = {"at": when, "title": f"Fix {one['title']}"}
                    item = (await self._post(f"{path}/accept", body))["item_id"]
                    await self._post(
                        f"/v1/items/{item}/commit", {"expected_reduction": 0.5, "at": when}
                    )
                    await self._post(f"/v1/items/{item}/start", {"at": when})
                    await self._post(f"/v1/items/{item}/deliver", {"at": when})
                case ("search", _):
                    await self._post(f"{path}/decline", {"reason": "not now", "at": when})
                case (_, 0):
                    total = one["evidence_total"] + 4
                    await self._post(f"{path}/snooze", {"until_total": total, "at": when})
                case (_, 1):
                    await self._post(f"{path}/confirm", {})
                case _:
                    continue

    async def _post(self, path: str, body: Any) -> Any:
        answer = await self.client.post(path, json=body)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def _get(self, path: str, **query: Any) -> Any:
        answer = await self.client.get(path, params=query)
        assert answer.is_success, f"{path}: {answer.text}"
        return answer.json()

    async def _rest(self) -> None:
        """Until nothing waits, and nothing moved in the time in which every timer has looked twice."""
        enough = 3 * self.pace.review + 0.5
        deadline, since = time.monotonic() + PATIENCE, time.monotonic()
        seen: dict[str, float] = {}
        while time.monotonic() < deadline:
            now = sums((await self.client.get("/metrics")).text)
            moved = {name: now[name] for name in (*WAITING, *MOVED)}
            if any(now[name] for name in WAITING) or moved != seen:
                since, seen = time.monotonic(), moved
            elif time.monotonic() - since > enough:
                return
            await asyncio.sleep(POLL)
        raise AssertionError(f"it did not come to rest within {PATIENCE:.0f} s: {seen}")
