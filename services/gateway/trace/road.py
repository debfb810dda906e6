"""Follows one incident through the services, asking each in the name of the caller.

From whichever id one begins, the road leads both ways: back to the signals and on to the outcome. What
doesn't exist yet is None; what could not be asked is named, and the rest is told all the same.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from services.gateway.peers import ask

NOUNS = {
    "sig": ("signal", "/v1/signals/"),
    "inc": ("incident", "/v1/incidents/"),
    "thm": ("theme", "/v1/themes/"),
    "fbk": ("feedback", "/v1/feedback/"),
    "cnd": ("candidate", "/v1/candidates/"),
    "itm": ("item", "/v1/items/"),
}
"""Where the road may be entered: an id's prefix, what it names, and where that is read."""

MOST = 200
LONGEST_MERGE = 10

Json = Any


@dataclass
class Road:
    """What the services said, by part; lists oldest first."""

    parts: dict[str, Json] = field(default_factory=dict[str, Json])
    unavailable: dict[str, str] = field(default_factory=dict[str, str])
    """The parts that a service could not or would not give, and why."""
    more: list[str] = field(default_factory=list[str])
    """The lists that go on; here are their newest entries."""

    def get(self, part: str, key: str) -> Json:
        """A field of a part, or None when there is no such part."""
        return (self.parts.get(part) or {}).get(key)


async def follow(client: httpx.AsyncClient, start: str) -> Road | None:
    """The whole road of the incident, theme, … with this id; None when there is no such thing."""
    road = Road()
    noun = NOUNS.get(start.partition("_")[0])
    if noun is None:
        return None
    part, folder = noun
    await _take(client, road, part, folder + quote(start, safe=""))
    if not road.parts.get(part) and part not in road.unavailable:
        return None
    await _incident(client, road, road.get("signal", "incident_id") or road.get("incident", "id"))
    await _theme(client, road, _theme_id(road))
    if not road.parts.get("incident"):
        await _incident(client, road, _newest_incident(road))
    candidate = road.get("candidate", "id") or road.get("theme", "candidate_id")
    await _candidate(client, road, candidate or _first(road.get("item", "candidate_ids")))
    dealt_with = (road.get("theme", "item") or {}).get("item_id")
    item = road.get("item", "id") or road.get("candidate", "item_id") or dealt_with
    await _item(client, road, item)
    return road


async def _incident(client: httpx.AsyncClient, road: Road, incident_id: str | None) -> None:
    if incident_id:
        path = f"/v1/incidents/{quote(incident_id, safe='')}"
        await asyncio.gather(
            _take(client, road, "incident", path),
            _take(client, road, "timeline", f"{path}/timeline", by="version"),
            _take(client, road, "signals", f"{path}/signals", by="received_at"),
        )


async def _theme(client: httpx.AsyncClient, road: Road, theme_id: str | None) -> None:
    """A merged theme's evidence is where it was merged into: go there."""
    for _ in range(LONGEST_MERGE):
        if not theme_id:
            return
        path = f"/v1/themes/{quote(theme_id, safe='')}"
        await asyncio.gather(
            _take(client, road, "theme", path),
            _take(client, road, "evidence", f"{path}/evidence", by="at"),
            _take(client, road, "escalations", f"{path}/escalations", by="rose_at"),
        )
        theme_id = road.get("theme", "merged_into")


async def _candidate(client: httpx.AsyncClient, road: Road, candidate_id: str | None) -> None:
    if candidate_id:
        path = f"/v1/candidates/{quote(candidate_id, safe='')}"
        await asyncio.gather(
            _take(client, road, "candidate", path),
            _take(client, road, "scores", f"{path}/history", by="version"),
        )


async def _item(client: httpx.AsyncClient, road: Road, item_id: str | None) -> None:
    if item_id:
        path = f"/v1/items/{quote(item_id, safe='')}"
        await asyncio.gather(
            _take(client, road, "item", path),
            _take(client, road, "history", f"{path}/history", by="version"),
            _take(client, road, "outcomes", "/v1/outcomes", by="delivered_at", item_id=item_id),
        )
        road.parts["outcome"] = (road.parts.pop("outcomes", None) or [None])[-1]
        if "outcomes" in road.unavailable:
            road.unavailable["outcome"] = road.unavailable.pop("outcomes")


def _theme_id(road: Road) -> str | None:
    return (
        road.get("theme", "id")
        or road.get("incident", "theme_id")
        or road.get("feedback", "theme_id")
        or road.get("candidate", "theme_id")
        or _first(road.get("item", "theme_ids"))
    )


def _newest_incident(road: Road) -> str | None:
    rows = road.parts.get("evidence") or []
    return next((row["source_id"] for row in reversed(rows) if row["kind"] == "incident"), None)


def _first(values: list[str] | None) -> str | None:
    return values[0] if values else None


async def _take(
    client: httpx.AsyncClient, road: Road, part: str, path: str, *, by: str = "", **query: str
) -> None:
    """Ask for a part and note what came of it. `by`: it is a list, and this field is its order."""
    answer = await ask(client, path, {**query, "limit": MOST} if by else query)
    if answer.problem:
        road.unavailable[part] = answer.problem
    elif by and answer.body is not None:
        road.parts[part] = sorted(answer.body["items"], key=lambda entry: in_order(entry[by]))
        if answer.body["next"]:
            road.more.append(part)
    else:
        road.parts[part] = answer.body


def in_order(value: int | str) -> float:
    """A version, or an RFC 3339 moment, as something that sorts."""
    return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else value
