"""What a running Groundswell answers, by what things are called: without ids, and without whatever says
when something was recorded, or how often it was told."""

import asyncio
from typing import Any

import httpx

from tests.equality.plain import plain

Json = dict[str, Any]
SILENT = frozenset({"id", "version", "recorded_at", "created_at", "correlation_id"})


async def dump(client: httpx.AsyncClient) -> Json:
    """Incidents with their timelines, themes with ledger and rises, candidates, items and outcomes."""
    incidents = await _list(client, "/v1/incidents")
    themes = await _list(client, "/v1/themes")
    candidates = await _list(client, "/v1/candidates", state="any")
    items = await _list(client, "/v1/items")
    said = await _list(client, "/v1/feedback")
    merged = await _list(client, "/v1/themes", state="merged")
    names = {one["id"]: f"{one['fingerprint']}@{one['opened_at']}" for one in incidents}
    names |= {one["id"]: _called(one) for one in themes}
    names |= {one["id"]: names[one["merged_into"]] for one in merged}
    names |= {one["id"]: one["title"] for one in items}
    names |= {one["id"]: one["text"] for one in said}
    names |= {one["id"]: f"{one['title']} {one['state']}" for one in candidates}
    found = {
        "incidents": await _each(client, incidents, _incident, names),
        "themes": await _each(client, themes, _theme, names),
        "feedback": {one["text"]: _without(one) for one in said},
        "candidates": await _candidates(client, candidates, names),
        "items": {one["title"]: await _item(client, one) for one in items},
        "outcomes": await _outcomes(client),
    }
    return plain(found, names)


async def _list(client: httpx.AsyncClient, path: str, **query: Any) -> list[Json]:
    found: list[Json] = []
    query |= {"limit": 200}
    while True:
        page = await _get(client, path, **query)
        found += page["items"]
        if not page["next"]:
            return found
        query["cursor"] = page["next"]


async def _get(client: httpx.AsyncClient, path: str, **query: Any) -> Json:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, f"{path}: {answer.text}"
    return answer.json()


async def _each(
    client: httpx.AsyncClient, things: list[Json], show: Any, names: dict[str, str]
) -> Json:
    shown = await asyncio.gather(*(show(client, one) for one in things))
    found = {names[one["id"]]: what for one, what in zip(things, shown, strict=True)}
    assert len(found) == len(things), (
        "two things are called the same; make the history tell them apart"
    )
    return found


async def _incident(client: httpx.AsyncClient, one: Json) -> Json:
    """With its theme and its item for those that people opened: reading every one takes long."""
    path = f"/v1/incidents/{one['id']}"
    shown = await _get(client, path) if one["external_ref"] else one
    timeline = await _list(client, f"{path}/timeline")
    steps = [_without(step) for step in sorted(timeline, key=lambda step: step["version"])]
    return {**_without(shown), "timeline": steps}


async def _theme(client: httpx.AsyncClient, one: Json) -> Json:
    path = f"/v1/themes/{one['id']}"
    detail, ledger, rises = await asyncio.gather(
        _get(client, path), _list(client, f"{path}/evidence"), _list(client, f"{path}/escalations")
    )
    rows = [_without(row) for row in ledger]
    return {
        **_without(detail, "decisions"),
        "ledger": sorted(rows, key=lambda row: (row["at"], row["title"])),
        "rises": rises,
    }


async def _candidates(
    client: httpx.AsyncClient, candidates: list[Json], names: dict[str, str]
) -> list[Json]:
    """What was raised in error is as if it had never been."""
    shown: list[Json] = []
    for one in candidates:
        if one["state"] == "withdrawn" or (one["decided_by"] or "").startswith("service:"):
            continue
        detail = _without(await _get(client, f"/v1/candidates/{one['id']}"), "decisions", "rank")
        parts = [{**part, "text": ""} for part in detail.pop("breakdown")["parts"]]
        detail |= {"parts": parts, "evidence": _numbers(detail["evidence"]), "score_text": ""}
        if any(reason["detector"] == "outcome" for reason in detail["reasons"]):
            detail["raised_at"] = None  # it depends on when one looked
        shown.append(detail)
    return sorted(shown, key=lambda one: (names[one["theme_id"]], str(one["decided_at"])))


async def _item(client: httpx.AsyncClient, one: Json) -> Json:
    detail = _without(await _get(client, f"/v1/items/{one['id']}"), "outcome", "rank", "power")
    detail.pop("observed_reduction", None)
    return detail


async def _outcomes(client: httpx.AsyncClient) -> Json:
    found = await _list(client, "/v1/outcomes")
    return {one["title"]: _without(one) for one in found}


def _called(theme: Json) -> str:
    return f"{theme['service']}/{theme['alert_name']}/{theme['template']}".casefold()


def _numbers(evidence: Json | None) -> Json:
    """Without what only says as of when they are: equal numbers are not told again."""
    told = evidence or {"opened_14d": 0}
    left_out = {"as_of"} if told["opened_14d"] else {"as_of", "earlier_days"}
    return {name: value for name, value in told.items() if name not in left_out}


def _without(one: Json, *names: str) -> Json:
    return {name: value for name, value in one.items() if name not in SILENT and name not in names}
